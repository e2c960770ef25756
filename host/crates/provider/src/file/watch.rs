//! Which directories are listened to, and when what was heard is worth a look.

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Nothing may have happened for this long.
const QUIET: Duration = Duration::from_millis(5);

/// After this long what is there is read, however much still happens.
const LONGEST: Duration = Duration::from_millis(100);

/// Symbolic links on one way, at most; as Linux has it.
const LINKS: usize = 40;

/// What the watcher's thread hears.
#[derive(Default)]
pub(super) struct Ears {
    heard: Mutex<Heard>,
    wake: Notify,
}

#[derive(Default)]
struct Heard {
    /// Directories in which everything matters.
    dirs: HashSet<PathBuf>,
    /// Paths that matter by themselves: a file, or a link on the way to one.
    names: HashSet<PathBuf>,
    /// Something happened.
    dirty: bool,
    /// What was removed or renamed: a watch on it is worth nothing any more.
    gone: HashSet<PathBuf>,
    /// Written to and not closed yet.
    writing: HashSet<PathBuf>,
}

impl Ears {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: notify::Result<Event>) {
        let mut heard = self.heard();
        match event {
            Ok(event) if event.need_rescan() => {}
            Ok(event) => {
                let matters = |p: &PathBuf| heard.names.contains(p) || heard.dirs.contains(p) || p.parent().is_some_and(|d| heard.dirs.contains(d));
                let paths: Vec<PathBuf> = event.paths.into_iter().filter(matters).collect();
                match event.kind {
                    _ if paths.is_empty() => return,
                    EventKind::Access(AccessKind::Close(AccessMode::Write)) => paths.iter().for_each(|p| _ = heard.writing.remove(p)),
                    EventKind::Access(_) => return,
                    // Only Linux tells when a writer is done.
                    EventKind::Modify(ModifyKind::Data(_)) if cfg!(target_os = "linux") => heard.writing.extend(paths),
                    EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                        paths.iter().for_each(|p| _ = heard.writing.remove(p));
                        heard.gone.extend(paths);
                    }
                    _ => {}
                }
            }
            Err(error) => tracing::debug!(%error, "the file watcher has trouble"),
        }
        heard.dirty = true;
        drop(heard);
        self.wake.notify_one();
    }

    /// Waits until something that matters has happened, everybody is quiet again, and nobody is in the
    /// middle of writing a file; tells when it began. Whoever takes the result, or drops this halfway, is
    /// to load.
    pub(super) async fn settled(&self) -> Instant {
        while !self.heard().dirty {
            self.wake.notified().await;
        }
        let first = Instant::now();
        while let Some(left) = LONGEST.checked_sub(first.elapsed()) {
            let quiet = tokio::time::timeout(QUIET.min(left), self.wake.notified()).await.is_err();
            if quiet && self.heard().writing.is_empty() {
                break;
            }
        }
        first
    }
}

/// The watches in place. Each is on one directory, never recursive: a directory is listened to before it
/// is listed, so nothing falls between. Paths are free of links, so that events name what was asked for.
pub(super) struct Watches {
    ears: Arc<Ears>,
    watcher: Option<RecommendedWatcher>,
    /// With device and inode, to notice another directory in the same place.
    placed: HashMap<PathBuf, (u64, u64)>,
    wanted: HashSet<PathBuf>,
    dirs: HashSet<PathBuf>,
    names: HashSet<PathBuf>,
    /// Why something cannot be watched.
    pub(super) problem: Option<String>,
}

impl Watches {
    pub(super) fn new(ears: Arc<Ears>) -> Self {
        Watches {
            ears,
            watcher: None,
            placed: HashMap::new(),
            wanted: HashSet::new(),
            dirs: HashSet::new(),
            names: HashSet::new(),
            problem: None,
        }
    }

    /// Before a look around.
    pub(super) fn begin(&mut self) {
        let gone = {
            let mut heard = self.ears.heard();
            heard.dirty = false;
            heard.writing.clear();
            std::mem::take(&mut heard.gone)
        };
        (self.wanted, self.dirs, self.names, self.problem) = Default::default();
        if self.watcher.is_none() {
            let ears = self.ears.clone();
            self.watcher = notify::recommended_watcher(move |event| ears.hear(event)).map_err(|e| self.problem = Some(e.to_string())).ok();
        }
        for path in gone {
            self.unplace(&path);
        }
    }

    /// Everything in a directory matters. `dir` has no links in it.
    pub(super) fn contents(&mut self, dir: &Path) {
        self.ears.heard().dirs.insert(dir.to_owned());
        self.dirs.insert(dir.to_owned());
        self.place(dir, true);
    }

    /// A path matters, and every link on the way to it. Returns where it leads; `must` if not hearing of it
    /// is worth a complaint.
    pub(super) fn path(&mut self, path: &Path, must: bool) -> PathBuf {
        let mut trail = trail(path);
        for (i, p) in trail.iter().enumerate() {
            self.ears.heard().names.insert(p.clone());
            self.names.insert(p.clone());
            if let Some(parent) = p.parent() {
                self.place(parent, must && i + 1 == trail.len());
            }
        }
        trail.pop().unwrap_or_default()
    }

    /// After a look around: what was not asked for this time is left alone from now on.
    pub(super) fn finish(&mut self) {
        {
            let mut heard = self.ears.heard();
            heard.dirs = std::mem::take(&mut self.dirs);
            heard.names = std::mem::take(&mut self.names);
        }
        let stale: Vec<PathBuf> = self.placed.keys().filter(|p| !self.wanted.contains(*p)).cloned().collect();
        stale.iter().for_each(|p| self.unplace(p));
    }

    fn place(&mut self, dir: &Path, must: bool) {
        let Ok(found) = fs::metadata(dir) else { return };
        let id = (found.dev(), found.ino());
        if self.placed.get(dir).is_some_and(|placed| *placed != id) {
            self.unplace(dir);
        }
        if !self.placed.contains_key(dir) {
            // The kernel knows one watch for one directory: the one under its former name has to end first.
            if let Some(former) = self.placed.iter().find(|(_, placed)| **placed == id).map(|(p, _)| p.clone()) {
                self.unplace(&former);
            }
            let Some(watcher) = &mut self.watcher else { return };
            match watcher.watch(dir, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.placed.insert(dir.to_owned(), id),
                Err(e) if must => self.problem = Some(format!("{}: {e}", dir.display())),
                Err(_) => {}
            }
        }
        self.wanted.insert(dir.to_owned());
    }

    fn unplace(&mut self, dir: &Path) {
        if self.placed.remove(dir).is_some()
            && let Some(watcher) = &mut self.watcher
        {
            // It may have ended by itself, with the directory.
            _ = watcher.unwatch(dir);
        }
    }
}

/// Every link on the way of an absolute path, and last where it leads, whether something is there or not.
fn trail(path: &Path) -> Vec<PathBuf> {
    let names = |p: &Path| -> Vec<OsString> {
        let name = |c: Component<'_>| match c {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        };
        p.components().filter_map(name).collect()
    };
    let mut todo: VecDeque<OsString> = names(path).into();
    let mut at = PathBuf::from("/");
    let mut found = Vec::new();
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(name);
        if found.len() < LINKS
            && let Ok(target) = fs::read_link(&at)
        {
            found.push(at.clone());
            if target.is_absolute() {
                at = PathBuf::from("/");
            } else {
                at.pop();
            }
            names(&target).into_iter().rev().for_each(|n| todo.push_front(n));
        }
    }
    found.push(at);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_trail_names_every_link() {
        let tmp = tempfile::tempdir().unwrap();
        let top = tmp.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("v1/sub")).unwrap();
        symlink("v1", top.join("data")).unwrap();
        symlink("data/sub/../a.yml", top.join("a.yml")).unwrap();
        symlink(top.join("loop"), top.join("loop")).unwrap();
        assert_eq!(trail(&top.join("a.yml")), [top.join("a.yml"), top.join("data"), top.join("v1/a.yml")]);
        assert_eq!(trail(&top.join("none/x")), [top.join("none/x")]);
        assert_eq!(trail(&top.join("loop")).len(), LINKS + 1);
    }

    /// Renamed from outside of all that is watched, so that no event tells.
    #[tokio::test]
    async fn a_directory_under_another_name_stays_watched() {
        let tmp = tempfile::tempdir().unwrap();
        let top = tmp.path().canonicalize().unwrap();
        let ears = Arc::new(Ears::default());
        let mut watches = Watches::new(ears.clone());
        fs::create_dir(top.join("a")).unwrap();
        for dir in ["a", "b"] {
            let _renamed = fs::rename(top.join("a"), top.join(dir));
            for _ in 0..2 {
                watches.begin();
                watches.contents(&top.join(dir));
                watches.finish();
                // Lets the events of the renaming pass.
                _ = tokio::time::timeout(LONGEST, ears.settled()).await;
            }
            watches.begin();
            fs::write(top.join(dir).join("x.yml"), dir).unwrap();
            tokio::time::timeout(Duration::from_secs(10), ears.settled()).await.unwrap();
        }
        assert_eq!((watches.placed.len(), watches.problem), (1, None));
    }

    #[tokio::test]
    async fn a_file_being_written_is_waited_for() {
        let ears = Ears::default();
        ears.heard().dirs.insert("/c".into());
        let event = |kind, path: &str| ears.hear(Ok(Event::new(kind).add_path(path.into())));
        let data = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
        event(data, "/elsewhere/a.yml");
        event(EventKind::Access(AccessKind::Open(AccessMode::Any)), "/c/a.yml");
        assert!(!ears.heard().dirty);

        event(data, "/c/a.yml");
        let begun = ears.settled().await;
        assert!(begun.elapsed() >= LONGEST, "an unfinished file is read after {:?}", begun.elapsed());

        event(data, "/c/a.yml");
        event(close, "/c/a.yml");
        let begun = ears.settled().await;
        assert!(begun.elapsed() >= QUIET && begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    }
}
