use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn data() -> Value {
    let labels: BTreeMap<String, Value> =
        [("com.docker.compose.service", "web"), ("app", "My_App"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.into())).into();
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

/// What Go makes of them, with the functions of sprig.
#[test]
fn templates_as_in_go() {
    for (text, expected) in [
        ("Host(`{{ normalize .Name }}`)", "Host(`web-shop`)"),
        ("Host(`{{ .Name | trimSuffix \"-shop\" }}.example.com`)", "Host(`web.example.com`)"),
        ("{{ index .Labels \"com.docker.compose.service\" }}", "web"),
        ("{{ index .Labels \"none\" }}|{{ .Labels.none }}|{{ .Labels.app }}", "|<no value>|My_App"),
        ("{{ if eq .Name \"web-shop\" }}a{{ else }}b{{ end }}", "a"),
        ("{{ if .Labels.empty }}a{{ else if .Labels.app }}b{{ else }}c{{ end }}", "b"),
        ("{{ with .Labels.app }}{{ . | lower }}{{ end }}", "my_app"),
        ("{{ with .Labels.none }}x{{ else }}{{ .Name }}{{ end }}", "web-shop"),
        ("{{ $n := .ContainerName }}{{ if true }}{{ $n = upper $n }}{{ end }}{{ $n }}", "SHOP-WEB-1"),
        ("{{ range $i, $p := splitList \"-\" .ContainerName }}{{ $i }}={{ $p }};{{ end }}", "0=shop;1=web;2=1;"),
        ("{{ range $k, $v := .Labels }}{{ $k }} {{ end }}", "app com.docker.compose.service empty "),
        ("{{ range .Labels.none }}x{{ else }}none{{ end }}", "none"),
        ("a {{- /* nothing */ -}} b {{- \" c\" }}", "ab c"),
        ("{{ printf \"%s-%03d|%-4s|%q\" .Name 7 \"x\" \"y\" }}", "web-shop-007|x   |\"y\""),
        ("{{ (split \"-\" .ContainerName)._1 }}", "web"),
        ("{{ join \".\" (list \"a\" \"b\") }}", "a.b"),
        ("{{ .Labels.none | default \"d\" }}{{ default \"d\" .Name }}", "dweb-shop"),
        ("{{ coalesce .Labels.none .Labels.empty \"z\" }}", "z"),
        ("{{ regexReplaceAll \"(w)eb\" .Name \"${1}x\" }}", "wx-shop"),
        ("{{ replace \"-\" \".\" .Name }} {{ trunc 3 .Name }} {{ trunc -4 .Name }} {{ substr 1 3 .Name }}", "web.shop web shop eb"),
        ("{{ first (splitList \"-\" .Name) }}{{ last (splitList \"-\" .Name) }}", "webshop"),
        ("{{ hasPrefix \"web\" .Name }} {{ contains \"x\" .Name }} {{ len .Name }}", "true false 8"),
        ("{{ ternary \"y\" \"n\" (hasSuffix \"shop\" .Name) }} {{ and true \"\" \"b\" }}|{{ or \"\" \"b\" }}", "y |b"),
        ("{{ quote .Name }} {{ add 1 2 }} {{ not true }} {{ print 1 \"a\" }}", "\"web-shop\" 3 false 1a"),
        ("{{ \"a}}b\" }}{{ `c` }}", "a}}bc"),
        ("", ""),
        ("no actions", "no actions"),
    ] {
        assert_eq!(render(text), expected, "{text}");
    }
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
