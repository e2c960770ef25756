use super::*;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tokio::sync::mpsc;
use torana_extend::Event;

/// A running provider.
struct Running {
    events: mpsc::Receiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(config: FileProviderConfig) -> Self {
        let (out, events) = ProviderOut::channel(4);
        let task = tokio::spawn(async move { FileProvider::new(config).run(out).await });
        Running { events, task }
    }

    fn directory(path: &Path) -> Self {
        Self::start(FileProviderConfig { directory: path.display().to_string(), ..Default::default() })
    }

    fn file(path: &Path, watch: bool) -> Self {
        Self::start(FileProviderConfig { filename: path.display().to_string(), watch, ..Default::default() })
    }

    async fn event(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await.expect("no event").expect("the provider ended")
    }

    async fn document(&mut self) -> Document {
        match self.event().await {
            Event::Document(d) => *d,
            Event::Failed { error, .. } => panic!("failed: {error}"),
            Event::Connected { .. } | Event::Refused { .. } => panic!("files have no connection"),
        }
    }

    async fn failure(&mut self) -> String {
        match self.event().await {
            Event::Failed { error, .. } => error,
            Event::Document(d) => panic!("published {:?}", names(&d)),
            Event::Connected { .. } | Event::Refused { .. } => panic!("files have no connection"),
        }
    }

    /// Waits for the document with exactly these routers; on the way there may be others.
    async fn routers(&mut self, wanted: &[&str]) -> Document {
        loop {
            let d = self.document().await;
            if names(&d) == wanted {
                return d;
            }
        }
    }

    async fn end(self) {
        self.task.abort();
        assert!(tokio::time::timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap_err().is_cancelled());
    }
}

fn names(d: &Document) -> Vec<&str> {
    d.config.http.routers.keys().map(String::as_str).collect()
}

fn said(d: &Document) -> String {
    d.diagnostics.iter().map(|d| format!("{d}\n")).collect()
}

/// One router for each name.
fn yaml(routers: &[&str]) -> String {
    let one = |n: &&str| format!("    {n}: {{rule: \"Host(`{n}`)\", service: s}}\n");
    format!("http:\n  routers:\n{}", routers.iter().map(one).collect::<String>())
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_file_renamed_rewritten_and_removed() {
    let tmp = dir();
    let path = tmp.path().join("dyn.yml");
    fs::write(&path, yaml(&["a"])).unwrap();
    let mut p = Running::file(&path, true);
    p.routers(&["a"]).await;
    for i in 0..20 {
        let name = format!("r{i}");
        let text = yaml(&[&name]);
        let begun = Instant::now();
        if i % 2 == 0 { replace(&path, &text) } else { fs::write(&path, &text).unwrap() }
        let d = p.document().await;
        let took = begun.elapsed();
        assert_eq!((names(&d), said(&d)), (vec![name.as_str()], String::new()), "the first document after a change is the right one");
        println!("{}: write to document {took:?}", if i % 2 == 0 { "renamed" } else { "rewritten" });
    }
    fs::remove_file(&path).unwrap();
    assert!(p.failure().await.contains("dyn.yml cannot be read"));
    fs::write(&path, yaml(&["r19"])).unwrap();
    assert_eq!(names(&p.document().await), ["r19"], "being readable again is news");
    p.end().await;
}

#[tokio::test]
async fn a_file_written_in_pieces_is_read_whole() {
    let tmp = dir();
    let path = tmp.path().join("dyn.yml");
    let text = yaml(&["a", "b", "c"]);
    fs::write(&path, &text).unwrap();
    let mut p = Running::file(&path, true);
    p.routers(&["a", "b", "c"]).await;
    let mut file = fs::File::create(&path).unwrap();
    let text = yaml(&["a", "b", "c", "d"]);
    for line in text.split_inclusive('\n') {
        file.write_all(line.as_bytes()).unwrap();
        file.sync_all().unwrap();
        tokio::task::yield_now().await;
    }
    drop(file);
    p.routers(&["a", "b", "c", "d"]).await;
    p.end().await;
}

#[tokio::test]
async fn a_directory_merges_in_order_and_follows_each_file() {
    let tmp = dir();
    let at = |n: &str| tmp.path().join(n);
    fs::write(at("a.yml"), yaml(&["one", "both"])).unwrap();
    fs::write(at("b.toml"), "[http.routers.both]\nrule = \"Host(`late`)\"\nservice = \"s\"\n").unwrap();
    fs::write(at("c.txt"), "not: [ours").unwrap();
    fs::write(at("d.json"), "{}").unwrap();
    let mut p = Running::directory(tmp.path());
    let d = p.document().await;
    assert_eq!(names(&d), ["both", "one"]);
    assert_eq!(d.config.http.routers["both"].place.to_string(), format!("{}:4:5", at("a.yml").display()));
    assert_eq!(d.diagnostics.len(), 1);
    assert!(said(&d).contains("b.toml:1:"), "{}", said(&d));

    fs::remove_file(at("a.yml")).unwrap();
    let d = p.routers(&["both"]).await;
    assert!(d.diagnostics.is_empty());
    fs::write(at("z.YAML"), yaml(&["new"])).unwrap();
    p.routers(&["both", "new"]).await;
    p.end().await;
}

#[tokio::test]
async fn a_bad_file_keeps_its_last_good_version_and_harms_no_other() {
    let tmp = dir();
    let at = |n: &str| tmp.path().join(n);
    fs::write(at("a.yml"), yaml(&["a"])).unwrap();
    fs::write(at("b.yml"), "http:\n  routers: [\n").unwrap();
    let mut p = Running::directory(tmp.path());
    let d = p.document().await;
    assert_eq!(names(&d), ["a"]);
    assert!(said(&d).contains("b.yml:"), "{}", said(&d));

    replace(&at("b.yml"), &yaml(&["b"]));
    assert!(p.routers(&["a", "b"]).await.diagnostics.is_empty());
    for bad in ["http:\n  routers: {", "http:\n  routerz: {}\n", "- 1\n", "http:\n  x: {{ env `A` }}\n"] {
        replace(&at("b.yml"), bad);
        let d = p.document().await;
        assert_eq!(names(&d), ["a", "b"], "{bad}");
        assert!(said(&d).contains("b.yml:") && said(&d).contains("stays in use"), "{}", said(&d));
    }
    replace(&at("a.yml"), &yaml(&["a2"]));
    assert_eq!(names(&p.document().await), ["a2", "b"], "the other file goes on");
    replace(&at("b.yml"), &yaml(&["b"]));
    assert!(p.document().await.diagnostics.is_empty());
    p.end().await;
}

#[tokio::test]
async fn an_empty_file_is_believed_only_after_a_while() {
    let tmp = dir();
    let path = tmp.path().join("a.yml");
    fs::write(&path, yaml(&["a"])).unwrap();
    let mut p = Running::directory(tmp.path());
    p.routers(&["a"]).await;

    fs::write(&path, "").unwrap();
    let d = p.document().await;
    assert_eq!(names(&d), ["a"]);
    assert!(said(&d).contains("has become empty"));
    fs::write(&path, yaml(&["a"])).unwrap();
    let d = p.document().await;
    assert!(names(&d) == ["a"] && d.diagnostics.is_empty());

    let begun = Instant::now();
    fs::write(&path, "\n").unwrap();
    assert_eq!(names(&p.document().await), ["a"]);
    let d = p.routers(&[]).await;
    assert!(begun.elapsed() >= Duration::from_millis(500) && d.diagnostics.is_empty());
    fs::write(&path, yaml(&["b"])).unwrap();
    p.routers(&["b"]).await;
    p.end().await;
}

/// A mounted ConfigMap: `..data` is a link to a directory, and is switched by a rename.
#[tokio::test]
async fn the_link_switch_of_kubernetes() {
    let tmp = dir();
    let at = |n: &str| tmp.path().join(n);
    let version = |v: &str, routers: &[&str]| {
        fs::create_dir(at(v)).unwrap();
        fs::write(at(v).join("dyn.yml"), yaml(routers)).unwrap();
    };
    version("..1", &["a"]);
    symlink("..1", at("..data")).unwrap();
    symlink("..data/dyn.yml", at("dyn.yml")).unwrap();
    let mut whole = Running::directory(tmp.path());
    let mut single = Running::file(&at("dyn.yml"), true);
    assert!(whole.routers(&["a"]).await.diagnostics.is_empty(), "the files behind `..data` are not read twice");
    single.routers(&["a"]).await;

    for (old, new, router) in [("..1", "..2", "b"), ("..2", "..3", "c")] {
        version(new, &[router]);
        symlink(new, at("..data_tmp")).unwrap();
        let begun = Instant::now();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(names(&whole.document().await), [router]);
        println!("link switched: {:?}", begun.elapsed());
        assert_eq!(names(&single.document().await), [router]);
        fs::remove_dir_all(at(old)).unwrap();
    }
    whole.end().await;
    single.end().await;
}

#[tokio::test]
async fn what_links_lead_to_is_watched_too() {
    let (tmp, other) = (dir(), dir());
    let at = |n: &str| tmp.path().join(n);
    for v in ["v1", "v2"] {
        fs::create_dir(at(v)).unwrap();
        fs::write(at(v).join("a.yml"), yaml(&[v])).unwrap();
    }
    let target = other.path().join("shared.yml");
    fs::write(&target, yaml(&["x"])).unwrap();
    symlink(&target, at("v1").join("l.yml")).unwrap();
    symlink("v1", at("now")).unwrap();
    let mut p = Running::directory(&at("now"));
    p.routers(&["v1", "x"]).await;
    fs::write(&target, yaml(&["y"])).unwrap();
    p.routers(&["v1", "y"]).await;
    symlink("v2", at("next")).unwrap();
    fs::rename(at("next"), at("now")).unwrap();
    p.routers(&["v2"]).await;
    replace(&at("v2").join("a.yml"), &yaml(&["v2", "z"]));
    p.routers(&["v2", "z"]).await;
    p.end().await;
}

#[tokio::test]
async fn sub_directories_come_and_go() {
    let tmp = dir();
    let at = |n: &str| tmp.path().join(n);
    let mut p = Running::directory(tmp.path());
    p.routers(&[]).await;
    for round in ["x1", "x2"] {
        fs::create_dir_all(at("sub/deep")).unwrap();
        fs::write(at("sub/deep/a.yml"), yaml(&["a"])).unwrap();
        p.routers(&["a"]).await;
        fs::write(at("sub/deep/a.yml"), yaml(&[round])).unwrap();
        p.routers(&[round]).await;
        fs::rename(at("sub"), at("moved")).unwrap();
        fs::write(at("moved/deep/b.yml"), yaml(&["b"])).unwrap();
        p.routers(&["b", round]).await;
        replace(&at("moved/deep/b.yml"), &yaml(&["b2"]));
        p.routers(&["b2", round]).await;
        fs::remove_dir_all(at("moved")).unwrap();
        p.routers(&[]).await;
    }
    p.end().await;
}

#[tokio::test]
async fn the_directory_itself_comes_and_goes() {
    let tmp = dir();
    let conf = tmp.path().join("conf");
    let mut p = Running::directory(&conf);
    assert!(p.failure().await.contains("conf cannot be read"));
    for name in ["a", "b"] {
        fs::create_dir(&conf).unwrap();
        fs::write(conf.join("a.yml"), yaml(&[name])).unwrap();
        p.routers(&[name]).await;
        fs::remove_dir_all(&conf).unwrap();
        while let Event::Document(_) = p.event().await {}
    }
    p.end().await;
}

#[tokio::test]
async fn hangup_reloads_without_a_watch_and_the_same_bytes_are_no_news() {
    let tmp = dir();
    let path = tmp.path().join("a.yml");
    fs::write(&path, yaml(&["a"])).unwrap();
    let mut p = Running::file(&path, false);
    p.routers(&["a"]).await;
    let hangup = || assert!(Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap().success());
    fs::write(&path, yaml(&["b"])).unwrap();
    assert!(p.events.try_recv().is_err(), "nobody watches");
    hangup();
    assert_eq!(names(&p.document().await), ["b"]);
    hangup();
    fs::write(&path, yaml(&["b"])).unwrap();
    hangup();
    replace(&path, &yaml(&["c"]));
    hangup();
    assert_eq!(names(&p.document().await), ["c"]);
    p.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let mut p = Running::start(FileProviderConfig::default());
    assert!(p.failure().await.contains("providers.file.directory"));
    p.end().await;
    let tmp = dir();
    let path = tmp.path().join("a.json");
    fs::write(&path, "{}").unwrap();
    let mut p = Running::file(&path, true);
    assert!(p.failure().await.contains(".yaml, .yml or .toml"));
    p.end().await;
    // The directory wins over the file.
    fs::write(tmp.path().join("b.yml"), yaml(&["b"])).unwrap();
    fs::write(tmp.path().join("u.yml"), b"a: \xff").unwrap();
    assert!(Command::new("mkfifo").arg(tmp.path().join("p.yml")).status().unwrap().success());
    symlink("nowhere", tmp.path().join("n.yml")).unwrap();
    let both = FileProviderConfig { filename: path.display().to_string(), directory: tmp.path().display().to_string(), ..FileProviderConfig::default() };
    let mut p = Running::start(both);
    let d = p.routers(&["b"]).await;
    let said = said(&d);
    assert!(said.contains("UTF-8") && said.contains("regular file") && said.contains("n.yml") && d.diagnostics.len() == 3, "{said}");
    p.end().await;
}

#[test]
fn the_registry_builds_what_is_switched_on() {
    assert!(crate::configured(&ProvidersConfig::default()).is_empty());
    let config = ProvidersConfig { file: Some(FileProviderConfig::default()), ..Default::default() };
    let all = crate::configured(&config);
    assert_eq!(all.iter().map(|p| p.name()).collect::<Vec<_>>(), ["file"]);
}
