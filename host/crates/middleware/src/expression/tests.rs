use super::*;

/// Calls: `T()` is true, `N()` 2, `F()` 0.5, `M()` the text `GET`, `Sum(a, b)` the sum of whole numbers.
fn read(text: &str) -> Result<Expression<(String, i64)>, String> {
    parse(text, &mut |name, arguments| {
        let ints: Option<Vec<i64>> = arguments.iter().map(int).collect();
        let kind = match (name, ints.as_deref()) {
            ("T", Some([])) => Kind::Truth,
            ("N", Some([])) | ("Sum", Some([_, _])) => Kind::Int,
            ("F", Some([])) => Kind::Float,
            ("M", Some([])) => Kind::Text,
            _ => return Err(format!("no `{name}`")),
        };
        Ok(((name.to_owned(), ints.unwrap_or_default().iter().sum()), kind))
    })
}

fn holds(text: &str) -> bool {
    read(text).unwrap_or_else(|e| panic!("{text}: {e}")).holds(&|(name, sum)| match name.as_str() {
        "T" => Value::Truth(true),
        "N" => Value::Int(2),
        "F" => Value::Float(0.5),
        "M" => Value::Text("GET"),
        _ => Value::Int(*sum),
    })
}

#[test]
fn means_what_go_means() {
    for (text, result) in [
        ("T()", true),
        ("((((T()))))", true),
        ("N() < 2", false),
        ("N() <= 2", true),
        ("N() == 02", true),
        ("(N()) != (3)", true),
        ("N() > 1 && N() >= 2", true),
        ("F() > .4", true),
        ("F() > 5e-1", false),
        ("F() < 1.", true),
        ("F() < 1_0.5", true),
        ("M() == \"GET\"", true),
        ("M() == `GET`", true),
        ("M() != \"G\\\"\"", true),
        // `&&` before `||`
        ("T() || N() > 5 && N() > 5", true),
        ("(T() || N() > 5) && N() > 5", false),
        ("N()<1||N()>=2&&T()", true),
        ("T() &&\n  T()\n", true),
        ("T() // because\n", true),
        ("T() /* x */ && T()", true),
        ("Sum(1, 2) == 3", true),
        ("Sum(1, 2,) == 3", true),
    ] {
        assert_eq!(holds(text), result, "{text}");
    }
}

/// Refused by Traefik 3.7.15 too.
#[test]
fn refuses() {
    for text in [
        "",
        "!T()",
        "T() && !T()",
        "N()",
        "true",
        "T",
        "T() == 1",
        "N() < 3 < 4",
        "N() < -1",
        "N() < 0x10",
        "N() < 1_0",
        "N() < 2.0",
        "F() < 1",
        "1 < N()",
        "N() < N()",
        "T(1)",
        "t()",
        "a.N() < 2",
        "N() = 2",
        "T() & T()",
        "T() T()",
        "T() extra",
        "T()\n&& T()",
        "N(,) < 2",
        "N() > 'a'",
        "M() < \"a\"",
        "M() == 1",
        "N() == \"a\"",
        "N() < 99999999999999999999",
        "Sum((1), 2) > 1",
        "Sum(-1, 2) > 1",
        "Sum(1 2) > 1",
        "(T()",
        "T())",
        "F() > 1i",
        "M() == \"a",
        "M() == `a",
        "/* T()",
        "T() ||",
        "&& T()",
        "#",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read(&("(".repeat(5000) + "T()")).unwrap_err().contains("parentheses"));
}
