//! `torana plugin new`: a project from the templates in the binary.

use crate::embedded::{SDK, TEMPLATES, WIT};
use crate::{io, say, wrong};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use torana_base::{Diagnostic, closest};
use torana_extend::{PluginKind, valid_name};

pub const DEFAULT_LANG: &str = "rust";
pub const DEFAULT_KIND: &str = "middleware";

/// Names that are Rust's own.
const RESERVED: [&str; 42] = [
    "alloc",
    "as",
    "async",
    "await",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
];

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Made if it is not there; must be empty if it is.
    pub folder: &'a Path,
    pub name: &'a str,
    /// One of [`languages`].
    pub lang: &'a str,
    pub kind: &'a str,
}

/// The languages that there are templates for.
pub fn languages() -> Vec<&'static str> {
    let all: BTreeSet<_> = TEMPLATES.iter().filter_map(|(path, _)| path.split_once('/')).map(|(lang, _)| lang).collect();
    all.into_iter().filter(|lang| *lang != ANY && !kinds(lang).is_empty()).collect()
}

/// The kinds that there are templates for in a language.
fn kinds(lang: &str) -> Vec<&'static str> {
    let has = |kind: &&str| TEMPLATES.iter().any(|(path, _)| below(path, lang, kind).is_some());
    PluginKind::ALL.into_iter().map(PluginKind::name).filter(has).collect()
}

/// What all kinds of a language have in common, unless a kind has a file of that name itself.
const COMMON: &str = "_common";
/// In the place of a language: what a kind has in all of them, unless a template has a file of that name itself.
const ANY: &str = "_any";

/// The path of a file within the template.
fn below<'a>(path: &'a str, lang: &str, kind: &str) -> Option<&'a str> {
    path.strip_prefix(lang)?.strip_prefix('/')?.strip_prefix(kind)?.strip_prefix('/')
}

/// Writes the project and says how to go on. Nothing is written when the name, language, kind or folder is refused.
pub fn new(what: &New<'_>, out: &mut dyn Write) -> Result<(), Diagnostic> {
    let New { folder, name, lang, kind } = *what;
    valid_name(name)?;
    let known = languages();
    let Some(lang) = known.iter().copied().find(|l| *l == lang) else {
        return Err(wrong("--lang", format!("there is no template in the language `{lang}`"), near(lang, &known)));
    };
    let kind = PluginKind::parse(kind).map(PluginKind::name).map_err(|d| Diagnostic { key: "--kind".to_owned(), ..d })?;
    let of = |lang: &'static str, part: &'static str| {
        TEMPLATES.iter().filter_map(move |(path, content)| Some((below(path, lang, part)?, *content)))
    };
    let part = |part: &'static str| of(lang, part);
    if part(kind).next().is_none() {
        let message = format!("there is no template of a {kind} in {lang}");
        return Err(wrong("--kind", message, format!("there are {}; or choose another --lang", kinds(lang).join(", "))));
    }
    if lang == "rust" && RESERVED.contains(&name) {
        return Err(wrong("name", format!("cargo refuses a crate of the name `{name}`"), format!("choose another, as `{name}-{kind}`")));
    }
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => {
            let message = format!("{} is not empty", folder.display());
            return Err(wrong("", message, "choose another name, or with --path a folder that is empty or does not exist"));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(io("use", folder, &e).hint("give a folder that is empty or does not exist")),
    }
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{ident}}", &name.replace('-', "_")).replace("{{kind}}", kind);
    let files: BTreeMap<_, _> = of(ANY, kind).chain(part(COMMON)).chain(part(kind)).collect();
    for (path, content) in files {
        match std::str::from_utf8(content) {
            Ok(text) => write(folder, &fill(path), fill(text).as_bytes())?,
            Err(_) => write(folder, &fill(path), content)?,
        }
    }
    for (path, content) in WIT {
        write(folder, &format!("wit/{path}"), content)?;
    }
    if lang == "rust" {
        for (path, content) in SDK {
            write(folder, &format!(".torana/sdk/{path}"), content)?;
        }
    }
    say!(out, "made {} ({kind}, {lang}) in {}\n\nNext:\n  cd {}", name, folder.display(), folder.display());
    for (command, does) in [
        ("torana plugin build", "makes a component of it"),
        ("torana plugin test", "builds it, and plays tests/*.yml against it"),
        ("torana plugin dev", "serves it, and builds it again after each change"),
    ] {
        say!(out, "  {command:<20}  {does}");
    }
    Ok(())
}

fn near(word: &str, known: &[&'static str]) -> String {
    // What people call them.
    let alias = match word.to_ascii_lowercase().as_str() {
        "javascript" | "typescript" | "ts" | "node" => Some("js"),
        "py" | "python3" => Some("python"),
        "rs" => Some("rust"),
        "c++" | "cpp" | "zig" => Some("c"),
        _ => None,
    };
    match alias.filter(|a| known.contains(a)).or_else(|| closest(word, known.iter().copied())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", known.join(", ")),
    }
}

fn write(folder: &Path, below: &str, content: &[u8]) -> Result<(), Diagnostic> {
    let path = folder.join(below);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| io("make", parent, &e))?;
    }
    std::fs::write(&path, content).map_err(|e| io("write", &path, &e))?;
    executable(&path, content).map_err(|e| io("write", &path, &e))
}

/// Scripts may be run.
#[cfg(unix)]
fn executable(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if content.starts_with(b"#!") {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn executable(_: &Path, _: &[u8]) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(folder: &Path, name: &str, lang: &str, kind: &str) -> Result<String, String> {
        let mut out = Vec::new();
        new(&New { folder, name, lang, kind }, &mut out).map_err(|d| d.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_template_becomes_a_project() {
        for lang in languages() {
            for kind in kinds(lang) {
                let root = tempfile::tempdir().unwrap();
                let folder = root.path().join("ab-test");
                let told = make(&folder, "ab-test", lang, kind).unwrap();
                assert!(told.contains("torana plugin build"), "{told}");
                let project = crate::Project::find(&folder).unwrap_or_else(|wrong| panic!("{lang}/{kind}: {wrong:?}"));
                assert_eq!((project.manifest.name.as_str(), project.manifest.kind.name()), ("ab-test", kind), "{lang}/{kind}");
                assert!(lang == "rust" || project.build.output.is_some(), "{lang}/{kind}: nobody knows what its build makes");
                // A provider brings its routing along.
                let routing = if kind == "provider" { "torana.yml" } else { "routing.yml" };
                for file in ["README.md", "torana.yml", routing, ".gitignore", "wit/worlds.wit"] {
                    assert!(folder.join(file).is_file(), "{lang}/{kind}: {file}");
                }
                let text = std::fs::read_to_string(folder.join("tests/example.yml")).unwrap_or_else(|e| panic!("{lang}/{kind}: {e}"));
                let read = crate::transcript::Transcript::read(&text, "tests/example.yml", project.manifest.kind);
                assert!(read.as_ref().is_ok_and(|t| !t.steps.is_empty()), "{lang}/{kind}: {read:?}");
                let left = left_over(&folder);
                assert!(left.is_empty(), "{lang}/{kind}: {left:?}");
                if lang == "rust" {
                    assert!(folder.join(".torana/sdk/src/lib.rs").is_file() && folder.join("src/lib.rs").is_file());
                }
                assert!(make(&folder, "ab-test", lang, kind).unwrap_err().contains("is not empty"));
            }
        }
    }

    /// Files in which a placeholder still stands, beside those that are copied as they are.
    fn left_over(folder: &Path) -> Vec<std::path::PathBuf> {
        let mut left = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != ".torana" {
                    left.extend(left_over(&path));
                }
            } else if std::fs::read_to_string(&path)
                .is_ok_and(|text| text.contains("{{name}}") || text.contains("{{ident}}") || text.contains("{{kind}}"))
            {
                left.push(path);
            }
        }
        left
    }

    #[test]
    fn every_kind_is_there_in_rust() {
        assert_eq!(kinds("rust"), PluginKind::ALL.map(PluginKind::name));
    }

    #[test]
    fn refuses_before_it_writes() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("x");
        for (name, lang, kind, expected) in [
            ("Ab", "rust", "middleware", "`Ab` cannot be the name"),
            ("../x", "rust", "middleware", "cannot be the name"),
            ("test", "rust", "middleware", "choose another, as `test-middleware`"),
            ("ab", "rsut", "middleware", "did you mean `rust`?"),
            ("ab", "rs", "middleware", "did you mean `rust`?"),
            ("ab", "cobol", "middleware", "write one of"),
            ("ab", "rust", "midleware", "--kind\n  hint: did you mean `middleware`?"),
        ] {
            let wrong = make(&folder, name, lang, kind).unwrap_err();
            assert!(wrong.contains(expected), "{wrong}");
            assert!(!folder.exists());
        }
        std::fs::write(&folder, "").unwrap();
        assert!(make(&folder, "ab", "rust", "middleware").unwrap_err().contains("cannot use"));
    }
}
