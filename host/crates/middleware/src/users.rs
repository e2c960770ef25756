//! Lists of users for basic and digest authentication: from the configuration, from a file, or both.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use torana_base::Secret;
use torana_extend::BuildError;

/// Bytes of a file of users, at most.
const MAX_FILE: u64 = 16 << 20;

/// Users by what stands before the last of `parts` colon-separated parts: the name for basic
/// authentication (2), name and realm for digest (3). The list wins over the file; no user is an error.
/// Messages never hold what was written, since it is a secret.
pub(crate) fn load(list: &[Secret], file: &str, parts: usize) -> Result<BTreeMap<String, Secret>, BuildError> {
    let users = read(list, file, parts)?;
    if users.is_empty() {
        return Err(BuildError::new("users", "there is no user").hint("list some in `users`, or name a file in `usersFile`"));
    }
    Ok(users)
}

/// The same, with or without users.
pub(crate) fn read(list: &[Secret], file: &str, parts: usize) -> Result<BTreeMap<String, Secret>, BuildError> {
    let mut users = BTreeMap::new();
    let mut add = |line: &str| {
        let line = line.trim();
        let valid = line.split(':').count() == parts;
        let (name, secret) = line.rsplit_once(':').filter(|_| valid)?;
        users.insert(name.to_owned(), Secret::new(secret));
        Some(())
    };
    if !file.is_empty() {
        let refuse = |message: String| BuildError::new("usersFile", message);
        let mut text = String::new();
        let read = File::open(file).and_then(|f| f.take(MAX_FILE).read_to_string(&mut text));
        read.map_err(|e| refuse(format!("cannot read `{file}`: {e}")))?;
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                add(line).ok_or_else(|| refuse(format!("`{file}`, line {}: {}", i + 1, shape(parts))))?;
            }
        }
    }
    for (i, entry) in list.iter().enumerate() {
        add(entry.expose()).ok_or_else(|| BuildError::new(format!("users[{i}]"), shape(parts)))?;
    }
    Ok(users)
}

fn shape(parts: usize) -> &'static str {
    if parts == 2 { "an entry is `name:hash`" } else { "an entry is `name:realm:hash`" }
}

/// For `#[serde(serialize_with = ...)]`: the API shows entries as they were written, as Traefik's does.
pub(crate) fn show<S: serde::Serializer>(list: &[Secret], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(list.iter().map(Secret::expose))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(list: &[&str]) -> Vec<Secret> {
        list.iter().map(|t| Secret::new(*t)).collect()
    }

    #[test]
    fn list_and_file() {
        let path = std::env::temp_dir().join(format!("torana-users-{}", std::process::id()));
        std::fs::write(&path, "# comment\n\nfile:1\n  sp:2  \nboth:3\n").unwrap();
        let file = path.to_str().unwrap();
        let users = load(&secrets(&["both:4", " x:5 ", "dup:6", "dup:7", ":8"]), file, 2).unwrap();
        let all: Vec<_> = users.iter().map(|(n, s)| format!("{n}={}", s.expose())).collect();
        assert_eq!(all, ["=8", "both=4", "dup=7", "file=1", "sp=2", "x=5"]);
        assert!(load(&[], file, 3).unwrap_err().message.contains("line 3"));
        std::fs::write(&path, "\n#x\n").unwrap();
        assert_eq!(load(&[], file, 2).unwrap_err().key, "users");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(load(&[], file, 2).unwrap_err().key, "usersFile");
        assert_eq!(load(&secrets(&["a:r:1"]), "", 3).unwrap().keys().collect::<Vec<_>>(), ["a:r"]);
    }

    #[test]
    fn messages_hold_no_secret() {
        for entry in ["name:realm:secret", "secret"] {
            let e = load(&secrets(&["ok:1", entry]), "", 2).unwrap_err();
            assert_eq!(e.key, "users[1]");
            assert!(!format!("{e:?}").contains("secret"));
        }
    }
}
