//! `secrets`: which providers may refer to which files and variables. What the operator writes himself (the
//! install configuration and the files of the file provider) may refer to all.

use super::effective::Validate;
use super::{PRECEDENCE, is_zero};
use crate::reference::Reference;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use torana_base::{Diagnostic, closest};

/// `secrets`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecretsConfig {
    /// By provider; one that is not named may refer to nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allow: BTreeMap<String, AllowedSecretsConfig>,
}

/// `secrets.allow.<provider>`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AllowedSecretsConfig {
    /// Absolute paths of files, and of folders with all that is in them.
    #[serde(skip_serializing_if = "is_zero")]
    pub files: Vec<String>,
    /// Environment variables; `APP_*` for all that begin with `APP_`.
    #[serde(skip_serializing_if = "is_zero")]
    pub env: Vec<String>,
}

impl SecretsConfig {
    /// Whether a provider may follow a reference. Links are followed before a file counts as inside a folder.
    pub fn allows(&self, provider: &str, reference: &Reference) -> bool {
        if matches!(provider, "file" | "internal") {
            return true;
        }
        let Some((_, allowed)) = self.allow.iter().find(|(name, _)| name.eq_ignore_ascii_case(provider)) else { return false };
        match reference {
            Reference::Env(name) => allowed.env.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            }),
            Reference::File(path) => {
                if !path.is_absolute() || path.components().any(|c| c.as_os_str() == "..") {
                    return false;
                }
                // Of a file that is not there only its folder can be real.
                let real = |p: &Path| p.canonicalize().ok().or_else(|| Some(p.parent()?.canonicalize().ok()?.join(p.file_name()?)));
                let Some(file) = real(path) else { return false };
                allowed.files.iter().filter_map(|f| real(Path::new(f))).any(|folder| file.starts_with(folder))
            }
        }
    }
}

impl Validate<'_> {
    pub(super) fn secrets(&mut self) {
        let config = self.config;
        for (name, allowed) in &config.secrets.allow {
            let key = format!("secrets.allow.{name}");
            let lower = name.to_ascii_lowercase();
            let known = PRECEDENCE.contains(&lower.as_str())
                || ["plugin-", "consul-", "consulcatalog-", "nomad-"].iter().any(|start| lower.starts_with(start));
            if lower == "file" {
                let d = Diagnostic::warning(&*key, "the file provider may refer to everything");
                self.push(d, "remove it; write here what other providers may refer to");
            } else if !known {
                let near = closest(&lower, PRECEDENCE)
                    .map_or_else(|| format!("known here: {}", PRECEDENCE.join(", ")), |n| format!("did you mean `{n}`?"));
                self.push(Diagnostic::error(&*key, format!("unknown provider `{name}`")), &near);
            }
            for (i, path) in allowed.files.iter().enumerate().filter(|(_, p)| !Path::new(p).is_absolute()) {
                let d = Diagnostic::error(format!("{key}.files[{i}]"), format!("`{path}` is no absolute path"));
                self.push(d, "begin with `/`, as in `/run/secrets`");
            }
            for (i, pattern) in allowed.env.iter().enumerate() {
                let start = pattern.strip_suffix('*').unwrap_or(pattern);
                if start.is_empty() || !start.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    let d = Diagnostic::error(format!("{key}.env[{i}]"), format!("`{pattern}` names no environment variables"));
                    self.push(d, "write a name, or how names begin, as in `APP_*`");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn nothing_is_allowed_that_was_not_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("in"), root.join("out"));
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        for file in [inside.join("deep/a"), outside.join("b"), root.join("in-b")] {
            fs::write(file, "x").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("b"), inside.join("link")).unwrap();
        let allowed = AllowedSecretsConfig {
            files: vec![inside.display().to_string(), root.join("alone").display().to_string()],
            env: vec!["ONE".into(), "APP_*".into()],
        };
        let config = SecretsConfig { allow: BTreeMap::from([("Docker".to_owned(), allowed)]) };
        let file = |p: &Path| config.allows("docker", &Reference::File(p.to_owned()));
        assert!(file(&inside.join("deep/a")) && file(&inside.join("none-yet")) && file(&root.join("alone")));
        for denied in ["in/link", "in/../out/b", "out/b", "in-b", "in/none/../deep/a"] {
            assert!(!file(&root.join(denied)), "{denied}");
        }
        assert!(!file(Path::new("in/deep/a")) && !file(Path::new("/etc/passwd")));
        let env = |provider: &str, name: &str| config.allows(provider, &Reference::Env(name.to_owned()));
        assert!(env("docker", "ONE") && env("docker", "APP_KEY") && env("file", "ANY") && env("internal", "ANY"));
        assert!(!env("docker", "ONE_MORE") && !env("docker", "HOME") && !env("etcd", "ONE"));
    }
}
