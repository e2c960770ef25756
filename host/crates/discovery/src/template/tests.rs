use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn data() -> Value {
    let labels: BTreeMap<String, Value> =
        [("com.docker.compose.service", "web"), ("com.docker.compose.project", "shop"), ("app", "My_App"), ("empty", "")]
            .map(|(k, v)| (k.to_owned(), v.into()))
            .into();
    let fields = [("Name", "web-shop"), ("ContainerName", "shop-web-1")].map(|(k, v)| (k.to_owned(), v.into()));
    let labels = [("Labels".to_owned(), Value::Map(Arc::new(labels)))];
    Value::Map(Arc::new(fields.into_iter().chain(labels).collect()))
}

fn render(text: &str) -> String {
    match Template::parse(text).and_then(|t| t.render(&data())) {
        Ok(made) => made,
        Err(e) => match e.hint.clone() {
            Some(hint) => format!("{e}; {hint}"),
            None => e.to_string(),
        },
    }
}

/// Templates, and what Traefik 3.7.15 made of them for a container with these labels.
#[test]
fn templates_as_in_traefik() {
    let all: Vec<(String, String)> = serde_json::from_str(include_str!("../testdata/templates.json")).unwrap();
    let wrong: Vec<String> = all
        .iter()
        .filter(|(text, expected)| render(text) != *expected)
        .map(|(text, expected)| format!("{text}: {expected:?} there, {:?} here", render(text)))
        .collect();
    assert!(all.len() > 40 && wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(render("") + &render("no actions"), "no actions");
}

#[test]
fn mistakes_tell_the_column() {
    for (text, expected) in [
        ("Host(`{{ normalise .Name }}`)", "unknown function `normalise` (column 10); did you mean `normalize`?"),
        ("{{ .Name", "the action has no end (column 1); write `}}` behind it"),
        ("{{ if .Name }}x", "`if` has no end (column 4); write `{{ end }}` behind what belongs to it"),
        ("x{{ end }}", "`end` has no beginning (column 5)"),
        ("{{ template \"x\" }}", "`template` is not built (column 4); write the rule with `if`, `with` and `range`"),
        ("{{ $x }}", "the variable `$x` is not there (column 4); write `$x := ...` first"),
        ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "the variable `$x` is not there (column 39); write `$x := ...` first"),
        ("{{ trimPrefix \"a\" }}", "`trimPrefix` takes 2 values, not 1 (column 4)"),
        ("{{ .Name .Name }}", "only functions take arguments (column 10); write the name of the function first"),
        ("{{ .Nam }}", "there is no `.Nam` (column 4); there are `.ContainerName`, `.Labels`, `.Name`"),
        ("{{ .Labels.none | lower }}", "lower: value 1 is not there; a text belongs here (column 19)"),
        ("{{ }}", "a value belongs here (column 4)"),
        ("{{ \"a }}", "the quoted text has no end (column 4)"),
        ("{{ eq 1 \"a\" }}", "eq: int and string cannot be compared (column 4)"),
    ] {
        assert_eq!(render(text), expected, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_template_panics(text in "(\\{\\{-? ?(if |with |range |else |end|\\$x := |\\$x|\\.Name|\\.|normalize |trunc -3 |printf \"%5s\" |substr 1 9 |\\(|\\)|\\||\"é\"| |[ -~]){0,6} ?-?\\}\\}|[a-c`é]){0,6}") {
        let _ = render(&text);
    }
}

#[test]
fn files_have_a_split_of_their_own_and_make_more() {
    let render = |text: &str| Template::parse_file(text).and_then(|t| t.render(&Value::Bool(false)));
    for (text, expected) in [
        ("{{ range $i, $e := split \"a,b\" \",\" }}{{ $i }}={{ $e }};{{ end }}", "0=a;1=b;"),
        ("{{ range until 3 }}{{ . }} {{ end }}{{ len (until 0) }}{{ until -2 }}", "0 1 2 0[0 -1]"),
        ("{{ untilStep 3 10 3 }}{{ untilStep 5 0 -2 }}{{ untilStep 0 5 0 }}{{ untilStep 0 5 -1 }}", "[3 6 9][5 3 1][][]"),
        ("{{ indent 2 \"a\\nb\" }}|{{ \"c\" | nindent 1 }}", "  a\n  b|\n c"),
        ("{{ add1 4 }}{{ max 1 7 3 }}{{ min 4 2 }}", "572"),
        ("{{ . }}", "false"),
    ] {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
    assert!(render("{{ until 100000000 }}").is_err() && render("{{ indent 100000 \"a\" }}").is_err());
    assert_eq!(render("{{ range until 10000 }}{{ repeat 20 \"a\" }}{{ end }}").map(|t| t.len()), Ok(200_000));
}

#[test]
fn what_is_too_large_is_never_made() {
    let long = "(repeat 65536 \"a\")";
    for (text, expected) in [
        (format!("{{{{ replace \"a\" (repeat 65536 \"b\") {long} }}}}"), "replace: the text is too long"),
        (format!("{{{{ replace \"\" (repeat 65536 \"b\") {long} }}}}"), "replace: the text is too long"),
        (format!("{{{{ regexReplaceAll \"a\" {long} {long} }}}}"), "regexReplaceAll: the text is too long"),
        (format!("{{{{ regexReplaceAll \"a+\" {long} (repeat 30000 \"$0\") }}}}"), "regexReplaceAll: the text is too long"),
        (format!("{{{{ regexReplaceAllLiteral \"a\" {long} {long} }}}}"), "regexReplaceAllLiteral: the text is too long"),
        (format!("{{{{ join {long} (until 65536) }}}}"), "join: the text is too long"),
        ("{{ repeat 9223372036854775807 \"ab\" }}".to_owned(), "repeat: the text is too long"),
        ("{{ indent 1000 (repeat 65536 \"\\n\") }}".to_owned(), "indent: the text is too long"),
        ("{{ $l := list 1 }}{{ range until 60 }}{{ $l = list $l $l }}{{ end }}".to_owned(), "list: the values are too many"),
        ("{{ $l := dict }}{{ range until 60 }}{{ $l = dict \"a\" $l \"b\" $l }}{{ end }}".to_owned(), "dict: the values are too many"),
    ] {
        let said = render(&text);
        assert!(said.starts_with(expected), "{text}: {:.200}", said);
    }
    assert_eq!(render("{{ repeat 9223372036854775807 \"\" }}{{ repeat -1 \"a\" }}{{ repeat 2 \"ab\" }}"), "abab");
    assert_eq!(render("{{ replace \"\" \"-\" \"ab\" }} {{ regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W\" }}"), "-a-b- -W-xxW-");
    assert_eq!(render("{{ regexReplaceAllLiteral \"a(x*)b\" \"-ab-axxb-\" \"${1}\" }} {{ join \", \" (list 1 2) }}"), "-${1}-${1}- 1, 2");
}
