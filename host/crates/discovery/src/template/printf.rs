use super::Value;

/// Go's `printf` for `%s %v %d %q %t %x %%`, with width, `-` and `0`, and a precision of texts.
pub(super) fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut left, mut zero) = (false, false);
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0' | '+' | ' ' | '#')) {
            left |= flag == '-';
            zero |= flag == '0';
        }
        let width = count(&mut chars).unwrap_or(0);
        let precision = chars.next_if(|c| *c == '.').map(|_| count(&mut chars).unwrap_or(0));
        let verb = chars.next().ok_or("the format ends with `%`")?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| format!("there is no value for `%{verb}`"))?;
        let mut shown = match (verb, value) {
            ('s', Value::Text(_) | Value::List(_) | Value::Map(_)) | ('v', _) => value.to_string(),
            ('d', Value::Int(n)) => n.to_string(),
            ('x', Value::Int(n)) => format!("{n:x}"),
            ('x', Value::Text(t)) => t.bytes().map(|b| format!("{b:02x}")).collect(),
            ('q', Value::Text(t)) => format!("{t:?}"),
            ('t', Value::Bool(b)) => b.to_string(),
            ('s' | 'd' | 'x' | 'q' | 't', other) => return Err(format!("`%{verb}` does not print {}", other.kind())),
            (other, _) => return Err(format!("`%{other}` is not known here; there are s, v, d, q, t and x")),
        };
        if let Some(most) = precision {
            shown = shown.chars().take(most).collect();
        }
        let missing = width.saturating_sub(shown.chars().count());
        let fill = if zero && !left && matches!(verb, 'd' | 'x') { "0" } else { " " };
        if left {
            out.push_str(&shown);
            out.push_str(&" ".repeat(missing));
        } else {
            out.push_str(&fill.repeat(missing));
            out.push_str(&shown);
        }
    }
    if values.next().is_some() {
        return Err("there are more values than the format prints".into());
    }
    Ok(out)
}

/// A number, if one stands here.
fn count(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut n = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        n = Some((n.unwrap_or(0) * 10 + digit as usize - '0' as usize).min(1000));
    }
    n
}
