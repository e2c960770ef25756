//! The file of the log, begun anew when it is large (`log.maxSize` and what goes with it). Names and rules are those
//! of Traefik: `torana.log` becomes `torana-2026-01-02T15-04-05.000.log`, in UTC, and then `....log.gz`.

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// When the file is begun anew, and what becomes of the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes that a file has at most.
    pub max_size: u64,
    /// Older ones are deleted; `None`: none.
    pub max_age: Option<Duration>,
    /// How many are kept; `None`: all.
    pub max_backups: Option<usize>,
    /// With gzip.
    pub compress: bool,
}

impl Default for Rotation {
    /// At 100 MiB; all are kept, compressed.
    fn default() -> Self {
        Rotation { max_size: 100 << 20, max_age: None, max_backups: None, compress: true }
    }
}

/// The moment in the name of an old file.
const MOMENT: &str = "%Y-%m-%dT%H-%M-%S%.3f";

#[derive(Debug)]
struct Open {
    file: File,
    written: AtomicU64,
}

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    /// Locked for writing only while it is opened again.
    open: RwLock<Open>,
    /// One at a time looks after the old files.
    tidying: Mutex<()>,
}

impl LogFile {
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Arc<LogFile>> {
        let path = std::path::absolute(path)?;
        let open = RwLock::new(open(&path)?);
        let file = Arc::new(LogFile { path, rotation, open, tidying: Mutex::default() });
        file.tidy();
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn reopen(&self) -> io::Result<()> {
        let new = open(&self.path)?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// A line that cannot be written is lost: there is nowhere to say so.
    pub(super) fn write(self: &Arc<Self>, line: &[u8]) {
        let length = line.len() as u64;
        let mut open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_full(&open, length) {
            drop(open);
            self.rotate(length);
            open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        }
        open.written.fetch_add(length, Relaxed);
        _ = (&open.file).write_all(line);
    }

    fn is_full(&self, open: &Open, length: u64) -> bool {
        let written = open.written.load(Relaxed);
        written > 0 && written.saturating_add(length) > self.rotation.max_size
    }

    /// Moves the file away and begins another one, unless another thread has. If that cannot be, the old one goes on.
    fn rotate(self: &Arc<Self>, length: u64) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if !self.is_full(&open, length) {
            return;
        }
        let mut at = Timestamp::now();
        let old = loop {
            let old = self.backup(at);
            if !old.exists() && !zipped(&old).exists() {
                break old;
            }
            at += Duration::from_millis(1);
        };
        match fs::rename(&self.path, old).and_then(|()| self::open(&self.path)) {
            Ok(new) => *open = new,
            // Tried again when as much has been written once more.
            Err(_) => open.written.store(0, Relaxed),
        }
        drop(open);
        self.tidy();
    }

    /// Compresses and deletes old files, on a thread of its own.
    fn tidy(self: &Arc<Self>) {
        let file = self.clone();
        // Without a thread they wait for the next time.
        _ = std::thread::Builder::new().name("log-files".into()).spawn(move || {
            let _alone = file.tidying.lock().unwrap_or_else(PoisonError::into_inner);
            _ = file.tidy_now(Timestamp::now());
        });
    }

    fn tidy_now(&self, now: Timestamp) -> io::Result<()> {
        let mut moments = Vec::new();
        for entry in fs::read_dir(self.path.parent().unwrap_or(Path::new("/")))? {
            let path = entry?.path();
            moments.extend(self.moment(&path));
        }
        moments.sort_unstable();
        moments.dedup();
        for (newer, at) in moments.into_iter().rev().enumerate() {
            let old = self.backup(at);
            let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
            if self.rotation.max_backups.is_some_and(|n| newer >= n) || self.rotation.max_age.is_some_and(|most| age > most) {
                for path in [zipped(&old), old] {
                    _ = fs::remove_file(path);
                }
            } else if self.rotation.compress && old.exists() {
                compress(&old)?;
            }
        }
        Ok(())
    }

    fn stem_and_extension(&self) -> (String, String) {
        let part = |p: Option<&std::ffi::OsStr>| p.map(|p| p.to_string_lossy().into_owned());
        (part(self.path.file_stem()).unwrap_or_default(), part(self.path.extension()).map(|e| format!(".{e}")).unwrap_or_default())
    }

    /// The name of the file that was moved away at a moment.
    fn backup(&self, at: Timestamp) -> PathBuf {
        let (stem, extension) = self.stem_and_extension();
        self.path.with_file_name(format!("{stem}-{}{extension}", at.strftime(MOMENT)))
    }

    /// When a file was moved away, if it is one of ours.
    fn moment(&self, path: &Path) -> Option<Timestamp> {
        let (stem, extension) = self.stem_and_extension();
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let text = name.strip_prefix(&stem)?.strip_prefix('-')?.strip_suffix(&extension)?;
        let at = jiff::civil::DateTime::strptime(MOMENT, text).ok()?;
        jiff::tz::Offset::UTC.to_timestamp(at).ok()
    }
}

fn zipped(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

fn compress(path: &Path) -> io::Result<()> {
    let target = zipped(path);
    let new = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&target)?;
    let mut encoder = GzEncoder::new(new, Compression::default());
    let done = File::open(path).and_then(|mut old| io::copy(&mut old, &mut encoder)).and_then(|_| encoder.finish());
    match done {
        Ok(_) => fs::remove_file(path),
        Err(e) => {
            _ = fs::remove_file(target);
            Err(e)
        }
    }
}

/// Appends; readable by the owner alone, as Traefik's log file is.
fn open(path: &Path) -> io::Result<Open> {
    let told = |e: io::Error| io::Error::new(e.kind(), format!("log file {}: {e}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(told)?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(told)?;
    let written = file.metadata().map_or(0, |m| m.len());
    Ok(Open { file, written: written.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    const NEVER: Rotation = Rotation { max_size: 10, max_age: None, max_backups: None, compress: false };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn tidied(file: &LogFile, now: Timestamp) -> Vec<String> {
        let _alone = file.tidying.lock().unwrap();
        file.tidy_now(now).unwrap();
        names(file.path.parent().unwrap())
    }

    #[test]
    fn a_full_file_is_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.b.log");
        let file = LogFile::open(&path, NEVER).unwrap();
        for line in ["12345\n", "123\n", "1\n", "a line that is longer than a file may be\n", "2\n"] {
            file.write(line.as_bytes());
        }
        let names = names(folder.path());
        let texts: Vec<String> = names.iter().map(|n| fs::read_to_string(folder.path().join(n)).unwrap()).collect();
        assert_eq!(texts, ["12345\n123\n", "1\n", "a line that is longer than a file may be\n", "2\n"], "{names:?}");
        assert!(names[..3].iter().all(|n| file.moment(Path::new(n)).is_some_and(|at| file.backup(at).ends_with(n))), "{names:?}");
    }

    #[test]
    fn what_was_there_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "0123456\n").unwrap();
        LogFile::open(&path, NEVER).unwrap().write(b"12\n");
        assert_eq!((fs::read_to_string(&path).unwrap(), names(folder.path()).len()), ("12\n".into(), 2));
    }

    #[test]
    fn old_files_are_compressed_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.log");
        let others = ["t-x.log", "t-2026-01-02T15-04-05.000.txt", "u-2026-01-02T15-04-05.000.log"];
        let ours = ["t-2026-01-02T15-04-05.000.log", "t-2026-01-03T15-04-05.120.log", "t-2026-01-04T15-04-05.000.log.gz"];
        others.iter().chain(&ours).for_each(|n| fs::write(folder.path().join(n), n).unwrap());
        let now: Timestamp = "2026-01-05T15:04:05Z".parse().unwrap();
        let at = |rotation| LogFile { path: path.clone(), rotation, open: RwLock::new(open(&path).unwrap()), tidying: Mutex::default() };
        let left = |names: Vec<String>| names.into_iter().filter(|n| n.starts_with("t-2026") && !n.ends_with("txt")).collect::<Vec<_>>();

        assert_eq!(left(tidied(&at(NEVER), now)), ours);
        let day = Duration::from_secs(86_400);
        assert_eq!(
            left(tidied(&at(Rotation { max_age: Some(2 * day), compress: true, ..NEVER }), now)),
            ["t-2026-01-03T15-04-05.120.log.gz", ours[2]]
        );
        let mut text = String::new();
        let gz = File::open(folder.path().join("t-2026-01-03T15-04-05.120.log.gz")).unwrap();
        GzDecoder::new(gz).read_to_string(&mut text).unwrap();
        assert_eq!(text, ours[1]);
        assert_eq!(left(tidied(&at(Rotation { max_backups: Some(1), ..NEVER }), now)), [ours[2]]);
        assert!(others.iter().all(|n| folder.path().join(n).exists()));
    }

    #[test]
    fn no_line_is_lost_between_threads() {
        let folder = tempfile::tempdir().unwrap();
        let file = LogFile::open(&folder.path().join("log"), Rotation { max_size: 1000, ..NEVER }).unwrap();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..500).for_each(|n| file.write(format!("{n}\n").as_bytes())));
            }
        });
        let mut lines: Vec<u32> = names(folder.path())
            .iter()
            .flat_map(|n| fs::read_to_string(folder.path().join(n)).unwrap().lines().map(|l| l.parse().unwrap()).collect::<Vec<_>>())
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, (0..500).flat_map(|n| [n; 4]).collect::<Vec<_>>());
    }
}
