//! The syntax of nginx: words, quotes, blocks and comments.

/// `name parameter...;`, or with a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) parameters: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
}

/// Blocks stand in each other so deep at most.
const MOST_DEPTH: usize = 16;

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    End,
    Open,
    Close,
}

/// The directives of a text, or what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Directive>, String> {
    let mut tokens = tokens(text)?.into_iter();
    block(&mut tokens, 0)
}

fn block(tokens: &mut impl Iterator<Item = Token>, depth: usize) -> Result<Vec<Directive>, String> {
    if depth > MOST_DEPTH {
        return Err("blocks stand too deep in each other".into());
    }
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    while let Some(token) = tokens.next() {
        let block = match token {
            Token::Word(word) => {
                words.push(word);
                continue;
            }
            Token::Close if depth == 0 => return Err("`}` closes a block that nobody has opened".into()),
            Token::Close if words.is_empty() => return Ok(all),
            Token::Close => return Err(format!("`{}` is not closed by `;`", words.join(" "))),
            Token::End if words.is_empty() => continue,
            Token::Open if words.is_empty() => return Err("`{` opens a block without a name".into()),
            Token::End => None,
            Token::Open => Some(block(tokens, depth + 1)?),
        };
        let mut words = std::mem::take(&mut words).into_iter();
        let name = words.next().unwrap_or_default();
        all.push(Directive { name, parameters: words.collect(), block });
    }
    match (words.is_empty(), depth) {
        (false, _) => Err(format!("`{}` is not closed by `;`", words.join(" "))),
        (true, 0) => Ok(all),
        (true, _) => Err("a block is not closed by `}`".into()),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '#' => _ = chars.by_ref().find(|c| *c == '\n'),
            ';' => tokens.push(Token::End),
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            quote @ ('"' | '\'') => tokens.push(Token::Word(quoted(&mut chars, quote)?)),
            c => {
                let mut word = String::from(c);
                if c == '\\' {
                    word.extend(chars.next());
                }
                while let Some(&c) = chars.peek() {
                    if c.is_whitespace() || c == ';' || c == '}' || (c == '{' && !word.ends_with('$')) {
                        break;
                    }
                    word.push(c);
                    chars.next();
                    if c == '{' {
                        // `${name}` is one word.
                        for c in chars.by_ref() {
                            word.push(c);
                            if c == '}' {
                                break;
                            }
                        }
                    } else if c == '\\' {
                        word.extend(chars.next());
                    }
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

/// What stands between quotes; a backslash before one of them leaves it there.
fn quoted(chars: &mut impl Iterator<Item = char>, quote: char) -> Result<String, String> {
    let mut word = String::new();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok(word),
            '\\' => match chars.next() {
                Some(c) if c == quote => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(format!("`{quote}{}` is not closed", word.chars().take(20).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str, parameters: &[&str]) -> Directive {
        Directive { name: name.into(), parameters: parameters.iter().map(|p| (*p).to_owned()).collect(), block: None }
    }

    #[test]
    fn words_quotes_and_blocks() {
        let text = "# a comment; {\nset $a \"x; {y}\" ;; add_header 'X-A' ${b}c always;\nif ($a ~ \"^/(a|b)$\") { return 403; }\nx \\; \"a\\\"b\\d\";";
        let parsed = parse(text).unwrap();
        assert_eq!(parsed[0], plain("set", &["$a", "x; {y}"]));
        assert_eq!(parsed[1], plain("add_header", &["X-A", "${b}c", "always"]));
        assert_eq!(parsed[2].parameters.concat(), "($a~^/(a|b)$)");
        assert_eq!(parsed[2].block, Some(vec![plain("return", &["403"])]));
        assert_eq!(parsed[3], plain("x", &["\\;", "a\"b\\d"]));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, why) in [
            ("set $a", "`set $a` is not closed by `;`"),
            ("if ($a) {", "not closed by `}`"),
            ("}", "nobody has opened"),
            ("{}", "without a name"),
            ("set $a \"b;", "is not closed"),
            ("if ($a) { set $a b }", "`set $a b` is not closed"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}: {:?}", parse(text));
        }
        assert!(parse(&"a {".repeat(40)).unwrap_err().contains("too deep"));
    }
}
