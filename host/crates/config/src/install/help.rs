//! `torana --help`: every static option that is built.

use crate::schema::{self, Kind, Row, State};
use std::fmt::Write;

/// Heading and first part of the paths below it.
const GROUPS: [(&str, &str); 20] = [
    ("Configuration file", "configFile"),
    ("Entry points", "entryPoints"),
    ("Providers", "providers"),
    ("Plugins", "plugins"),
    ("Certificate resolvers", "certificatesResolvers"),
    ("OCSP", "ocsp"),
    ("Backends", "serversTransport"),
    ("TCP backends", "tcpServersTransport"),
    ("SPIFFE", "spiffe"),
    ("API", "api"),
    ("Ping", "ping"),
    ("Metrics", "metrics"),
    ("Log", "log"),
    ("Access log", "accessLog"),
    ("Tracing", "tracing"),
    ("Core", "core"),
    ("Host resolver", "hostResolver"),
    ("Global", "global"),
    ("Secrets", "secrets"),
    ("Experimental", "experimental"),
];

/// The options as flags with type, default and a line of help, wrapped at `width` columns.
pub fn help(width: usize) -> String {
    let mut out = String::new();
    for (title, group) in GROUPS {
        let rows = schema::install().rows.iter().filter(|r| r.path.split('.').next() == Some(group) && shown(r));
        let _ = writeln!(out, "{title}:");
        for row in rows {
            let _ = write!(out, "  --{}  {}", row.path.to_ascii_lowercase(), row.kind.name());
            if row.default != "-" && row.kind != Kind::Block && row.path != "providers.precedence" {
                let _ = write!(out, "  (default {})", row.default);
            }
            out.push('\n');
            wrap(row.help, width, &mut out);
        }
        out.push('\n');
    }
    out.push_str(
        "The same options stand in the configuration file as a tree (entryPoints: {web: {address: \":80\"}}) and in the\n\
         environment as TORANA_ENTRYPOINTS_WEB_ADDRESS (or TRAEFIK_...). Flags win over the environment, the environment\n\
         over the file; options of Traefik that are not listed here are not built yet and refused.\n",
    );
    out
}

fn shown(row: &Row) -> bool {
    match row.state {
        State::Built | State::NoOp => true,
        State::Unbuilt { accept, .. } => accept.is_some(),
    }
}

fn wrap(text: &str, width: usize, out: &mut String) {
    const INDENT: &str = "        ";
    let limit = width.max(40);
    let mut column = 0;
    for word in text.split_whitespace() {
        if column == 0 || column + 1 + word.len() > limit {
            if column > 0 {
                out.push('\n');
            }
            out.push_str(INDENT);
            column = INDENT.len();
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_option_is_listed_once() {
        let text = help(100);
        for row in schema::install().rows.iter().filter(|r| shown(r)) {
            let flag = format!("  --{}  ", row.path.to_ascii_lowercase());
            assert_eq!(text.matches(&flag).count(), 1, "{flag}");
        }
        assert!(text.contains("--entrypoints.<name>.address") && text.contains("--configfile"));
        assert!(!text.contains("--experimental.fastproxy"));
        assert!(text.lines().filter(|l| l.starts_with("        ")).all(|l| l.len() <= 100));
    }
}
