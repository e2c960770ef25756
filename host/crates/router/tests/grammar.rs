//! What is a rule and what is not; every row was observed with Traefik 3.7.15.

use torana_router::{MATCHERS, Rule, RuleError, compile, parse};

fn check(rule: &str) -> Result<Rule, RuleError> {
    let parsed = parse(rule)?;
    compile(&parsed)?;
    Ok(parsed)
}

#[test]
fn accepted() {
    for rule in [
        "Host(`a`)",
        "Host(\"a\")",
        "Host(`a`)&&Path(`/x`)",
        "hostregexp(`a`)",
        "HOSTREGEXP(`a`)",
        "Hostregexp(`a`)",
        "clientip(`1.2.3.4`)",
        "Clientip(`1.2.3.4`)",
        "ClientIP(`1.2.3.4/24`)",
        "ClientIP(`::1`)",
        "ClientIP(`::ffff:1.2.3.4`)",
        "ClientIP(`::ffff:1.2.3.0/120`)",
        "ClientIP(`1.2.3.4/024`)",
        "Host(`a`,)",
        "Host( `a` , )",
        "Query(`a`)",
        "Query(`a`,`b`)",
        "QueryRegexp(`a`)",
        "Header(`a b`,`b`)",
        "Host(`*`)",
        "Host(`**`)",
        "Host(`**.a.test`)",
        "Host(`a.*.test`)",
        "Host(`*a.test`)",
        "Host(`/`)",
        "Host(`a b`)",
        "Host(`a:80`)",
        "!Host(`a`)",
        "!!Host(`a`)",
        "! ( Host(`a`) )",
        "((((Host(`a`)))))",
        "(Path(`/a`)) && !(!Path(`/b`))",
        "Host(`a`) &&\n Path(`/a`)",
        "Host(`a`) &&\r\n Path(`/b`)",
        "Host(`a`)\n",
        "Host(`a`)\n\n\n",
        "\nHost(`a`)",
        "Host(\n`a`)",
        "Host(`a`,\n)",
        "(\nHost(`a`))",
        "!\nHost(`a`)",
        "Host(`a`\t)",
        "Host(`a`) // comment",
        "Host(`a`) /* c */ && Path(`/a`)",
        "// x\nHost(`a`)",
        "/* c\n */ Host(`a`)",
        "Host(`a`) /* \n */",
        "\u{feff}Host(`a`)",
        "Host(\"a\\x62\")",
        "Path(\"/\\u00fc\")",
        "Path(\"/\\xff\")",
        "Path(\"/\\101\")",
        "Path(\"/\\\"\")",
        "Path(`/a\nb`)",
        "Path(`/é`)",
        "Path(`/a`...)",
        "Path(`/a`...,)",
    ] {
        assert!(check(rule).is_ok(), "{rule:?}: {}", check(rule).unwrap_err());
    }
}

#[test]
fn refused_with_a_reason() {
    // rule, where the caret stands, a part of the message, a part of the hint
    for (rule, offset, message, hint) in [
        ("", 0, "expected a matcher", ""),
        ("   ", 3, "found the end of the rule", ""),
        ("Host('a')", 5, "single quotes", "`a`"),
        ("Host(`a`) && ", 13, "expected a matcher", ""),
        ("&& Path(`/a`)", 0, "found `&&`", ""),
        ("Path(`/a`) && !", 15, "found the end", ""),
        ("Foo(`a`)", 0, "unknown matcher `Foo`", "known here: Host,"),
        ("hOst(`a`)", 0, "unknown matcher `hOst`", "did you mean `Host`"),
        ("hostRegexp(`a`)", 0, "unknown matcher", "did you mean `HostRegexp`"),
        ("Headers(`a`, `b`)", 0, "unknown matcher", "did you mean `Header`"),
        ("PathPrefx(`/a`)", 0, "unknown matcher", "did you mean `PathPrefix`"),
        ("Host(`a`) && pathprefi(`/a`)", 13, "unknown matcher", "did you mean `PathPrefix`"),
        ("_(`a`)", 0, "unknown matcher", ""),
        ("and(`a`)", 0, "unknown matcher", ""),
        ("Host()", 0, "takes 1 argument, not 0", "for example"),
        ("Host(``)", 5, "empty", ""),
        ("Query(`a`,``)", 10, "empty", ""),
        ("Host(`a`,`b`)", 0, "takes 1 argument, not 2", "Host(`..`) || Host(`..`)"),
        ("Header(`a`)", 0, "takes 2 arguments, not 1", "for example Header("),
        ("Query(`a`,`b`,`c`)", 0, "takes 1 to 2 arguments, not 3", ""),
        ("Method(`GET`,`POST`)", 0, "takes 1 argument", "||"),
        ("Path(`x`)", 0, "begin with a slash", ""),
        ("Host(`y`) && PathPrefix(`x`)", 13, "write `/x`", ""),
        ("Host(`ü.de`)", 0, "punycode", ""),
        ("HostRegexp(`ü`)", 0, "punycode", ""),
        ("ClientIP(`1.2.3.4/33`)", 0, "neither an IP address", ""),
        ("ClientIP(`fe80::1%eth0`)", 0, "neither", ""),
        ("ClientIP(`01.2.3.4`)", 0, "neither", ""),
        ("ClientIP(` 1.2.3.4`)", 0, "neither", ""),
        ("ClientIP(`1.2.3.4/+24`)", 0, "neither", ""),
        ("ClientIP(`1.2.3`)", 0, "neither", ""),
        ("ClientIP(`1.2.3.4/`)", 0, "neither", ""),
        ("HeaderRegexp(`a`,`(`)", 0, "HeaderRegexp: `(` is not a regular expression: a `(` is not closed", ""),
        ("Host(`a`) | Host(`b`)", 10, "found `|`", "write `||`"),
        ("Host(`a`) & Host(`b`)", 10, "found `&`", "write `&&`"),
        ("Host(`a`) and Host(`b`)", 10, "found `and`", "write `&&`"),
        ("Host(`a`) OR Host(`b`)", 10, "found `OR`", "write `||`"),
        ("not Host(`a`)", 0, "unknown matcher `not`", "write `!`"),
        ("Host(`a`) == Host(`b`)", 10, "found `==`", "not compared"),
        ("Host(`a`), Host(`b`)", 9, "found `,`", "join matchers"),
        ("Host(`a`);", 9, "found `;`", "join matchers"),
        ("Host(a)", 5, "a string in quotes, not a", "`a`"),
        ("Host(1)", 5, "a string in quotes, not 1", "`1`"),
        ("Host(a.example.com)", 5, "a string in quotes", ""),
        ("Host((`a`))", 5, "expected a string", ""),
        ("Host(!`a`)", 5, "expected a string", ""),
        ("Host(,`a`)", 5, "expected a string", ""),
        ("Host(`a` `b`)", 9, "expected `,` or `)`", ""),
        ("Host(`a`+`b`)", 8, "expected `,` or `)`", ""),
        ("`a`", 0, "found a string", ""),
        ("Host", 4, "expected `(` after Host", "for example"),
        ("Host\n(`a`)", 4, "expected `(`", ""),
        ("Host(`a`) Host(`b`)", 10, "found `Host`", ""),
        ("Host(`a`)\n&& Path(`/a`)", 10, "the line before", "end the line with"),
        ("Host(`a`)\r\n && Path(`/b`)", 12, "the line before", ""),
        ("Host(`a`\n)", 8, "found the end of the line", ""),
        ("(Host(`a`)\n)", 10, "found the end of the line", "still open"),
        ("(Host(`a`) /* \n */ )", 17, "found the end of the line", ""),
        ("(Path(`/a`)", 11, "found the end of the rule", "still open"),
        ("Path(`/a`))", 10, "found `)`", ""),
        ("Path(`/a`", 9, "expected `,` or `)`", ""),
        ("Path(`/a", 5, "not closed", "close it with `"),
        ("Path(\"/a", 5, "not closed", ""),
        ("Path(\"/a\nb\")", 5, "not closed", ""),
        ("Host(`a`) /* c", 10, "comment is not closed", ""),
        ("Path(\"/\\q\")", 7, "unknown escape", "back-quotes"),
        ("Path(\"/\\'\")", 7, "unknown escape", ""),
        ("Path(\"/\\U00110000\")", 7, "unknown escape", ""),
        ("Path(\"/\\ud800\")", 7, "unknown escape", ""),
        ("Path(\"/\\400\")", 7, "unknown escape", ""),
        ("Path(`/a`...,`/b`)", 13, "expected `)`", ""),
        ("Path[`/a`]", 4, "expected `(`", ""),
        ("-Path(`/a`)", 0, "found `-`", ""),
        ("Host(`a`)#", 9, "found `#`", ""),
        ("Host(`a`)\u{feff}", 9, "byte order mark", ""),
        ("Host(`a\u{feff}`)", 5, "byte order mark", ""),
        ("Host(`a`)\0", 9, "NUL", ""),
        ("Host(`a`)\u{a0}&& Path(`/a`)", 9, "found", ""),
        ("Host(`a`)\u{c}", 9, "found", ""),
    ] {
        let e = check(rule).expect_err(rule);
        assert_eq!(e.offset, offset, "{rule:?}: {e}");
        assert!(e.message.contains(message), "{rule:?}: {e}");
        assert!(e.hint.as_deref().unwrap_or_default().contains(hint), "{rule:?}: {e}");
        assert!(e.caret(rule).ends_with('^'), "{rule:?}");
    }
}

#[test]
fn the_caret_counts_characters_of_its_line() {
    let rule = "Path(`/é`) &&\n Path(`/é`) ||\tFoo(`x`)";
    let e = parse(rule).unwrap_err();
    assert_eq!(e.caret(rule), " Path(`/é`) || Foo(`x`)\n               ^");
    assert_eq!(RuleError { offset: 999, ..e.clone() }.caret("x"), "x\n ^");
    let d = e.to_diagnostic("http.routers.r.rule", rule).to_string();
    assert!(d.contains("unknown matcher `Foo`\n       Path") && d.contains("at  http.routers.r.rule") && d.contains("hint:"), "{d}");
}

#[test]
fn precedence_and_de_morgan() {
    for (rule, printed) in [
        ("Host(`a`) || Path(`/a`) && Method(`GET`)", "Host(`a`) || Path(`/a`) && Method(`GET`)"),
        ("(Host(`a`) || Path(`/a`)) && Method(`GET`)", "(Host(`a`) || Path(`/a`)) && Method(`GET`)"),
        ("!Host(`a`) && Path(`/a`)", "!Host(`a`) && Path(`/a`)"),
        ("!(Host(`a`) || Path(`/a`))", "!Host(`a`) && !Path(`/a`)"),
        ("!(Host(`a`) && !Path(`/a`))", "!Host(`a`) || Path(`/a`)"),
        ("!(!(Host(`a`) && Path(`/a`)))", "Host(`a`) && Path(`/a`)"),
        ("!(Host(`a`) && (Path(`/a`) || !!Path(`/b`))) && Path(`/c`)", "(!Host(`a`) || !Path(`/a`) && !Path(`/b`)) && Path(`/c`)"),
        ("HOST(\"a\") && (Path(`/b`) && Path(`/c`))", "Host(`a`) && Path(`/b`) && Path(`/c`)"),
        ("Path(\"/`\\t\\\"\\\\\")", "Path(\"/`\\x09\\\"\\\\\")"),
        ("Path(`/a\r\nb`)", "Path(`/a\nb`)"),
    ] {
        let parsed = parse(rule).unwrap();
        assert_eq!(parsed.to_string(), printed, "{rule}");
        assert_eq!(parse(printed).unwrap(), parsed, "{rule}");
    }
}

#[test]
fn deep_and_wide_rules_do_not_exhaust_anything() {
    let deep = |n: usize| format!("{}Host(`a`){}", "(".repeat(n), ")".repeat(n));
    assert!(check(&deep(200)).is_ok());
    assert!(check(&deep(201)).unwrap_err().message.contains("more than 200 parentheses"));
    assert!(check(&deep(1_000_000)).is_err());
    assert!(check(&"(".repeat(1_000_000)).is_err());
    assert!(check(&format!("{}Host(`a`)", "!".repeat(1_000_001))).is_ok());
    assert!(check(&format!("{}Host(`a`){}", "!(".repeat(150), ")".repeat(150))).is_ok());
    let wide = vec!["Host(`a`)"; 100_000].join(" || ");
    let Rule::Or(list) = check(&wide).unwrap() else { panic!("no Or") };
    assert_eq!(list.len(), 100_000);
}

#[test]
fn every_matcher_has_an_example_that_builds() {
    for kind in MATCHERS {
        let rule = check(kind.example).unwrap_or_else(|e| panic!("{}: {e}", kind.name));
        assert!(matches!(rule, Rule::Matcher { name, .. } if name == kind.name));
        assert!(!kind.doc.is_empty());
    }
}

#[test]
fn a_rule_made_by_hand_is_checked_too() {
    let made = |name, args: &[&str]| Rule::Matcher {
        name: std::borrow::Cow::Borrowed(name),
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        at: Default::default(),
    };
    for bad in [made("Host", &[]), made("Header", &["x"]), made("Host", &[""]), made("Nothing", &["x"])] {
        assert!(compile(&bad).is_err(), "{bad}");
    }
    let not = Rule::Not(Box::new(Rule::And(vec![made("Host", &["a"]), made("Path", &["/x"])])));
    assert!(compile(&not).is_ok());
    assert_eq!(not.to_string(), "!(Host(`a`) && Path(`/x`))");
}
