//! The files and what was last read from each.

use super::{RETRY, template};
use super::watch::{Ears, Watches};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use torana_base::{Diagnostic, Place};
use torana_config::install::FileProviderConfig;
use torana_config::parse::{self, Format};
use torana_config::routing::{self, Incremental, RoutingConfig};

/// How long a file that had content may be empty before that is believed: editors and scripts truncate
/// first and write then.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often to look when something cannot be watched.
const POLL: Duration = Duration::from_secs(2);

/// Bytes of one file, at most.
const LARGEST: u64 = 64 << 20;

/// What is to be read, as an absolute path.
pub(super) enum Root {
    Directory(PathBuf),
    File(PathBuf),
}

impl Root {
    /// The directory wins; `None` when nothing is set.
    pub(super) fn of(config: &FileProviderConfig) -> Option<Self> {
        let absolute = |p: &str| std::path::absolute(p).unwrap_or_else(|_| PathBuf::from(p));
        match (config.directory.as_str(), config.filename.as_str()) {
            ("", "") => None,
            ("", file) => Some(Root::File(absolute(file))),
            (directory, _) => Some(Root::Directory(absolute(directory))),
        }
    }
}

/// What came of a look around.
pub(super) enum Loaded {
    /// Nothing new.
    Same,
    New(Box<RoutingConfig>, Vec<Diagnostic>),
    /// The root cannot be read; what was published before stays.
    Failed(String),
}

pub(super) struct Sources {
    root: Root,
    watches: Option<Watches>,
    /// By path below the root, whose order is the order of merging; empty path for a single file.
    files: BTreeMap<PathBuf, Source>,
    /// What is wrong with directories and watches.
    wrong: Vec<Diagnostic>,
    /// The last look succeeded.
    readable: bool,
    /// `debugLogGeneratedTemplate`.
    log_templates: bool,
}

/// One look at all files.
#[derive(Clone, Copy)]
struct Look {
    now: Instant,
    log: bool,
}

impl Sources {
    /// With `ears` everything that is read is also watched.
    pub(super) fn new(root: Root, ears: Option<Arc<Ears>>) -> Self {
        Sources { root, watches: ears.map(Watches::new), files: BTreeMap::new(), wrong: Vec::new(), readable: false, log_templates: false }
    }

    /// Logs templates and what they come to.
    pub(super) fn log_templates(self, log_templates: bool) -> Self {
        Sources { log_templates, ..self }
    }

    /// Looks at everything again, and parses what has changed. Also tells when to look again without being
    /// asked. Blocks on the file system.
    pub(super) fn load(&mut self, now: Instant) -> (Loaded, Option<Duration>) {
        if let Some(w) = &mut self.watches {
            w.begin();
        }
        let look = Look { now, log: self.log_templates };
        let looked = match &self.root {
            Root::Directory(root) => self.directory(&root.clone(), look),
            Root::File(path) => self.file(&path.clone(), look),
        };
        if let Some(w) = &mut self.watches {
            w.finish();
        }
        let changed = match looked {
            Ok(changed) => changed,
            Err(error) => {
                self.readable = false;
                return (Loaded::Failed(error), Some(RETRY));
            }
        };
        let blind = self.watches.as_ref().is_some_and(|w| w.problem.is_some());
        let again = self.files.values().filter_map(|f| Some(PATIENCE.saturating_sub(now.saturating_duration_since(f.empty_since?))));
        let again = again.chain(blind.then_some(POLL)).min();
        if !changed && std::mem::replace(&mut self.readable, true) {
            return (Loaded::Same, again);
        }
        self.readable = true;
        let merged = routing::merge_first_wins(self.files.values().filter_map(|f| f.good.clone()).collect());
        let mut diagnostics = self.wrong.clone();
        diagnostics.extend(self.files.values().flat_map(|f| f.wrong.iter().cloned()));
        diagnostics.extend(merged.diagnostics);
        (Loaded::New(Box::new(merged.value), diagnostics), again)
    }

    fn file(&mut self, path: &Path, look: Look) -> Result<bool, String> {
        let shown = || path.display();
        let Some(format) = format_of(path) else {
            return Err(format!("{} is neither YAML nor TOML: its name has to end in .yaml, .yml or .toml", shown()));
        };
        if let Some(w) = &mut self.watches {
            w.path(path, true);
        }
        let text = read(path).map_err(|e| format!("{} cannot be read: {e}", shown()))?;
        let wrong = self.unwatched(path);
        let changed = wrong != self.wrong;
        self.wrong = wrong;
        Ok(self.files.entry(PathBuf::new()).or_default().update(Ok(text), format, &shown().to_string(), look) | changed)
    }

    fn directory(&mut self, root: &Path, look: Look) -> Result<bool, String> {
        let real = self.watches.as_mut().map_or_else(|| root.to_owned(), |w| w.path(root, false));
        let mut tour = Tour { watches: self.watches.as_mut(), root, files: BTreeMap::new(), kept: Vec::new(), wrong: Vec::new() };
        tour.visit(&real, Path::new("")).map_err(|e| format!("{} cannot be read: {e}", root.display()))?;
        let Tour { files, kept, mut wrong, .. } = tour;
        wrong.extend(self.unwatched(root));
        let mut changed = wrong != self.wrong;
        self.wrong = wrong;
        let before = self.files.len();
        self.files.retain(|key, _| files.contains_key(key) || kept.iter().any(|dir| key.starts_with(dir)));
        changed |= self.files.len() != before;
        for (key, (path, format)) in files {
            let text = read(&path);
            if !self.files.contains_key(&key) && text.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound && !path.is_symlink()) {
                continue; // gone since it was listed
            }
            let shown = root.join(&key).display().to_string();
            changed |= self.files.entry(key).or_default().update(text, format, &shown, look);
        }
        Ok(changed)
    }

    fn unwatched(&self, root: &Path) -> Vec<Diagnostic> {
        let problem = self.watches.as_ref().and_then(|w| w.problem.as_ref());
        let warning = |p| {
            Diagnostic::warning("providers.file.watch", format!("changes cannot be watched: {p}"))
                .at(&Place::whole(root.display().to_string()))
                .hint(format!("the files are looked at every {} seconds instead", POLL.as_secs()))
        };
        problem.map(warning).into_iter().collect()
    }
}

/// A walk through a directory and what is below it.
struct Tour<'a> {
    watches: Option<&'a mut Watches>,
    root: &'a Path,
    /// Path below the root to where it is and what it holds.
    files: BTreeMap<PathBuf, (PathBuf, Format)>,
    /// Directories, below the root, that cannot be listed now: their files stay as they were.
    kept: Vec<PathBuf>,
    wrong: Vec<Diagnostic>,
}

impl Tour<'_> {
    fn visit(&mut self, dir: &Path, below: &Path) -> io::Result<()> {
        if let Some(w) = &mut self.watches {
            w.contents(dir);
        }
        for name in fs::read_dir(dir)?.map(|e| e.map(|e| e.file_name())).collect::<io::Result<BTreeSet<_>>>()? {
            // `..data` and its like are Kubernetes' own, and lead to files seen here anyway; `.#` are locks of
            // editors.
            let start = name.as_encoded_bytes();
            if start.starts_with(b"..") || start.starts_with(b".#") {
                continue;
            }
            let (path, key) = (dir.join(&name), below.join(&name));
            // Links to directories are not followed.
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => match self.visit(&path, &key) {
                    Err(e) if e.kind() != ErrorKind::NotFound => {
                        let at = Place::whole(self.root.join(&key).display().to_string());
                        self.wrong.push(Diagnostic::error("", format!("the directory cannot be read: {e}")).at(&at));
                        self.kept.push(key);
                    }
                    _ => {}
                },
                Ok(found) => {
                    let Some(format) = format_of(&path) else { continue };
                    if let (true, Some(w)) = (found.is_symlink(), &mut self.watches) {
                        w.path(&path, true);
                    }
                    self.files.insert(key, (path, format));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// One file.
#[derive(Default)]
struct Source {
    /// Of the text that was looked at last.
    digest: Option<u64>,
    reader: Incremental,
    /// What it contributes: its last good version.
    good: Option<RoutingConfig>,
    /// The good version has no content.
    blank: bool,
    empty_since: Option<Instant>,
    wrong: Vec<Diagnostic>,
}

impl Source {
    /// True if what the file contributes, or what is wrong with it, is new.
    fn update(&mut self, text: io::Result<String>, format: Format, shown: &str, look: Look) -> bool {
        let now = look.now;
        let whole = |d: Diagnostic| d.at(&Place::whole(shown));
        let text = match text {
            Ok(text) => text,
            Err(e) => {
                self.digest = None;
                self.empty_since = None;
                return self.blame(vec![whole(Diagnostic::error("", format!("the file cannot be read: {e}")))], shown);
            }
        };
        let blank = text.trim().is_empty();
        if blank && self.good.is_some() && !self.blank && now.saturating_duration_since(*self.empty_since.get_or_insert(now)) < PATIENCE {
            self.digest = None;
            let d = Diagnostic::warning("", "the file has become empty");
            return self.blame(vec![whole(d.hint("its content is dropped if it stays so"))], shown);
        }
        self.empty_since = None;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let digest = Some(hasher.finish());
        if digest == self.digest {
            return false;
        }
        self.digest = digest;
        let (config, wrong) = decode(&mut self.reader, &text, format, shown, look.log);
        // With mistakes in the document as a whole, what could be read of it serves only if nothing did before.
        match config {
            Some(config) if self.good.is_none() || !wrong.iter().any(Diagnostic::is_error) => {
                let news = self.good.as_ref() != Some(&config) || self.wrong != wrong;
                (self.good, self.blank, self.wrong) = (Some(config), blank, wrong);
                news
            }
            _ => self.blame(wrong, shown),
        }
    }

    /// Leaves the last good version in place.
    fn blame(&mut self, mut wrong: Vec<Diagnostic>, shown: &str) -> bool {
        if self.good.is_some() {
            wrong.push(Diagnostic::warning("", "the last good version of the file stays in use").at(&Place::whole(shown)));
        }
        let news = self.wrong != wrong;
        self.wrong = wrong;
        news
    }
}

fn decode(reader: &mut Incremental, text: &str, format: Format, shown: &str, log: bool) -> (Option<RoutingConfig>, Vec<Diagnostic>) {
    let decoded = if parse::has_template(text) {
        let rendered = match template::render(text, shown) {
            Ok(rendered) => rendered,
            Err(d) => return (None, vec![d]),
        };
        if log {
            tracing::debug!(providerName = super::NAME, file = shown, "template:\n{text}\nrendered:\n{rendered}");
        }
        reader.decode(&rendered, format, template::source(text, &rendered, shown))
    } else {
        reader.decode(text, format, shown.into())
    };
    match decoded {
        Ok(decoded) => (Some(decoded.value), decoded.diagnostics),
        Err(d) => (None, vec![d]),
    }
}

/// YAML and TOML only, as in Traefik.
fn format_of(path: &Path) -> Option<Format> {
    Format::of_path(path).filter(|f| matches!(f, Format::Yaml | Format::Toml))
}

/// Refuses what would block, like a pipe, or fill the memory.
fn read(path: &Path) -> io::Result<String> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.len() > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    String::from_utf8(fs::read(path)?).map_err(|e| io::Error::other(format!("byte {} is not UTF-8", e.utf8_error().valid_up_to())))
}
