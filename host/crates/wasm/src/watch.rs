//! Whether a file has changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells two states of a file apart: through links, renames and rewriting. Looked at again and again
/// instead of being notified, which misses switched links, network file systems and bind mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` while there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Stamp> {
        let m = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewritten_renamed_and_switched() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("l"));
        assert_eq!(Stamp::of(&file), None);
        std::fs::write(&file, "1").unwrap();
        let first = Stamp::of(&file);
        assert_eq!(first, Stamp::of(&file));
        std::fs::write(dir.path().join("b"), "1").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let through = Stamp::of(&link);
        assert_eq!(first, through);
        std::fs::rename(dir.path().join("b"), &file).unwrap();
        assert_ne!(first, Stamp::of(&file));
        assert_ne!(through, Stamp::of(&link));
    }
}
