//! `torana plugin test`: transcripts against a plugin, in the engine of a gateway and without its sockets.

mod check;
mod log;
mod outgoing;
mod play;
mod show;

use crate::cli::print;
use play::{Played, play};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use torana_base::{Diagnostic, Place};
use torana_devkit::transcript::{Transcript, Wanted};
use torana_devkit::{Build, Format, Project, Report};
use torana_extend::{Manifest, PluginKind};

/// Something that is otherwise than expected.
#[derive(Clone, Debug)]
pub(crate) struct Miss {
    pub(crate) key: String,
    pub(crate) place: Option<Place>,
    pub(crate) wanted: String,
    pub(crate) got: String,
}

impl Miss {
    /// Several lines are those of one header; none is nothing.
    fn unless(wanted: &Wanted, got: &[String]) -> Option<Miss> {
        if wanted.rule.holds(got) {
            return None;
        }
        let got = if got.is_empty() { "nothing".to_owned() } else { got.join(", ") };
        Some(Miss { key: wanted.key.clone(), place: Some(wanted.place.clone()), wanted: wanted.rule.to_string(), got })
    }
}

/// What is tested.
pub(crate) struct Asked<'a> {
    /// Transcripts, components (`.wasm`) and folders of projects.
    pub(crate) what: &'a [&'a str],
    /// Part of the name or of the file of the transcripts.
    pub(crate) name: Option<&'a str>,
    pub(crate) json: bool,
}

/// A component and its transcripts.
struct Job {
    component: PathBuf,
    files: Vec<PathBuf>,
}

/// One transcript that was read.
struct Tested {
    file: String,
    name: String,
    steps: usize,
    outcome: Result<Played, Vec<Diagnostic>>,
    /// Of a plugin that could not be configured.
    log: Vec<String>,
}

/// Whether all went as written.
pub(crate) fn run(asked: &Asked<'_>, build: &dyn Fn(&Project) -> Result<(), Vec<Diagnostic>>) -> Result<bool, Vec<Diagnostic>> {
    // Of this process, which does nothing else.
    let _ = tracing::subscriber::set_global_default(log::Keeper);
    let mut all = Vec::new();
    for job in jobs(asked, build)? {
        let plugin = Plugin::read(&job.component).map_err(|d| vec![d])?;
        for file in &job.files {
            let tested = test(&plugin, file, asked.name);
            if let Some(tested) = tested {
                if !asked.json {
                    print(&show::text(&tested));
                }
                all.push(tested);
            }
        }
    }
    if all.is_empty() {
        let d = Diagnostic::error(
            "",
            match asked.name {
                Some(name) => format!("no transcript has `{name}` in its name or in that of its file"),
                None => "there is no transcript".to_owned(),
            },
        );
        return Err(vec![
            d.hint("transcripts are `tests/*.yml` in the plugin's folder; docs/plugins/testing.md tells what stands in them"),
        ]);
    }
    print(&if asked.json { show::json(&all) } else { show::summary(&all) });
    Ok(all.iter().all(Tested::passed))
}

impl Tested {
    fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|p| p.failed.is_empty())
    }
}

/// `None`: it was not meant.
fn test(plugin: &Plugin, file: &Path, name: Option<&str>) -> Option<Tested> {
    let shown = shown(file);
    let read = std::fs::read_to_string(file)
        .map_err(|e| vec![Diagnostic::error("", format!("cannot read {shown}: {e}"))])
        .and_then(|text| Transcript::read(&text, &shown, plugin.kind));
    let transcript = match read {
        Ok(t) if name.is_some_and(|n| !t.name.contains(n) && !shown.contains(n)) => return None,
        Ok(t) => t,
        Err(_) if name.is_some_and(|n| !shown.contains(n)) => return None,
        Err(wrong) => return Some(Tested { name: String::new(), file: shown, steps: 0, outcome: Err(wrong), log: Vec::new() }),
    };
    log::taken();
    let outcome = play(&transcript, plugin.kind, &plugin.path, plugin.manifest.as_ref());
    let log = if outcome.is_err() { log::shown(&log::taken()) } else { Vec::new() };
    Some(Tested { file: shown, name: transcript.name, steps: transcript.steps.len(), outcome, log })
}

/// A path as short as it can be told.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

struct Plugin {
    path: String,
    kind: PluginKind,
    manifest: Option<Manifest>,
}

impl Plugin {
    fn read(path: &Path) -> Result<Plugin, Diagnostic> {
        let wrong = |e: String| Diagnostic::error("", format!("{}: {e}", shown(path)));
        let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()).hint("build it: `torana plugin build`"))?;
        let Format::Plugin(kind, _) = Report::of(&bytes).map_err(wrong)?.format else {
            return Err(wrong("this is not a plugin".to_owned()).hint("`torana plugin inspect` says what it is"));
        };
        let manifest = match Manifest::read(&bytes).map_err(wrong)? {
            Some(m) => Some(m),
            None => torana_wasm::describe(&bytes).map_err(wrong)?,
        };
        Ok(Plugin { path: path.display().to_string(), kind, manifest })
    }
}

/// Sorts out what is named: whose transcripts, and with which component.
fn jobs(asked: &Asked<'_>, build: &dyn Fn(&Project) -> Result<(), Vec<Diagnostic>>) -> Result<Vec<Job>, Vec<Diagnostic>> {
    let is_component = |p: &Path| p.extension().is_some_and(|e| e == "wasm");
    let paths: Vec<PathBuf> = asked.what.iter().map(PathBuf::from).collect();
    let (components, others): (Vec<_>, Vec<_>) = paths.into_iter().partition(|p| is_component(p));
    let here = [PathBuf::from(".")];
    let others = if others.is_empty() { here.as_slice() } else { &others };
    let mut projects: BTreeMap<PathBuf, (Option<Project>, Vec<PathBuf>)> = BTreeMap::new();
    for path in others {
        let folder = if path.is_dir() {
            path.clone()
        } else {
            path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
        };
        let (project, key) = match components.is_empty() {
            // With a component named, no project is needed.
            false => (None, PathBuf::new()),
            true => {
                let p = Project::find(&folder)?;
                let key = p.folder.clone();
                (Some(p), key)
            }
        };
        let root = project.as_ref().map_or(folder, |p| p.folder.clone());
        let files = if path.is_dir() { transcripts(&root) } else { vec![path.clone()] };
        projects.entry(key).or_insert_with(|| (project, Vec::new())).1.extend(files);
    }
    if let [_, second, ..] = components.as_slice() {
        let d = Diagnostic::error("FILE", format!("{} is one component too many", second.display()));
        return Err(vec![d.hint("test one component at a time")]);
    }
    let mut jobs = Vec::new();
    for (project, files) in projects.into_values() {
        let component = match (&project, components.first()) {
            (_, Some(named)) => named.clone(),
            (Some(project), None) => {
                if stale(project) {
                    build(project)?;
                }
                project.component()
            }
            (None, None) => continue,
        };
        jobs.push(Job { component, files });
    }
    Ok(jobs)
}

/// The transcripts of a project.
fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("tests")).into_iter().flatten().flatten();
    let is_one = |p: &PathBuf| p.extension().is_some_and(|e| ["yml", "yaml", "toml", "json"].iter().any(|k| e == *k));
    let mut files: Vec<_> = entries.map(|e| e.path()).filter(is_one).collect();
    files.sort();
    files
}

/// Whether a source is newer than the component.
fn stale(project: &Project) -> bool {
    let built: Option<SystemTime> = project.component().metadata().and_then(|m| m.modified()).ok();
    built.is_none_or(|built| crate::plugin::newest(&project.folder).is_some_and(|source| source > built))
}

/// Builds a project; what the tools say goes to standard error, so that JSON stays JSON.
pub(crate) fn build(project: &Project, describe: &torana_devkit::Describe<'_>) -> Result<(), Vec<Diagnostic>> {
    torana_devkit::build(&Build { folder: &project.folder, describe, aside: true }, &mut std::io::stderr()).map(|_| ())
}
