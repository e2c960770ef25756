//! An API server for tests, and what is put into it.

use crate::harness::{Backend, Setup, free_port, root};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An API server of its own, loudly missing at home, an error where `CI` is set.
pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    ports: Vec<u16>,
    /// `KUBECONFIG`, `URL`, `CA` and others.
    pub(crate) env: BTreeMap<String, String>,
    /// Ends the server when this process ends, however that comes.
    _guard: Child,
}

const PORTS: [&str; 3] = ["PORT", "PORT_ETCD", "PORT_PEER"];

impl Cluster {
    pub(crate) fn start() -> Option<Cluster> {
        let mut tries = 0;
        let said = loop {
            let dir = tempfile::tempdir().unwrap();
            let ports: Vec<u16> = PORTS.iter().map(|_| free_port()).collect();
            let output = script(&dir, &ports, "start").output().unwrap();
            if output.status.success() {
                let text = std::fs::read_to_string(dir.path().join("env")).unwrap();
                let env = text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
                let mut guard = Command::new("bash");
                let stop = root().join("tests/services/k8s.sh");
                guard.args(["-c", "read -r _; exec \"$0\" stop \"$1\""]).arg(stop).arg(dir.path()).stdin(Stdio::piped());
                // A group of its own: what ends the tests by a signal must not end it.
                std::os::unix::process::CommandExt::process_group(&mut guard, 0);
                let cluster = Cluster { dir, ports, env, _guard: guard.spawn().unwrap() };
                cluster.apply(&std::fs::read_to_string(root().join("examples/kubernetes/crds.yaml")).unwrap());
                cluster.kubectl(&["wait", "--for", "condition=established", "--timeout", "30s", "crd", "--all"], "");
                return Some(cluster);
            }
            tries += 1;
            if tries == 2 {
                break String::from_utf8_lossy(&output.stderr).into_owned();
            }
        };
        assert!(std::env::var_os("CI").is_none(), "k8s.sh: {said}");
        eprintln!("SKIPPED: tests of Kubernetes need an API server: {said}");
        None
    }

    /// One that many tests use, each in a namespace of its own.
    pub(crate) fn shared() -> Option<&'static Cluster> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Cluster::start).as_ref()
    }

    pub(crate) fn script(&self, verb: &str) {
        let output = script(&self.dir, &self.ports, verb).output().unwrap();
        assert!(output.status.success(), "k8s.sh {verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> String {
        let mut c = Command::new(&self.env["KUBECTL"]);
        c.args(["--kubeconfig", &self.env["KUBECONFIG"]]).args(args);
        let mut child = c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn apply(&self, yaml: &str) {
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], yaml);
    }

    /// A namespace; its name. Names without one in what is applied to it are there.
    #[track_caller]
    pub(crate) fn namespace(&self) -> Namespace<'_> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("n{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"));
        Namespace { cluster: self, name }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = script(&self.dir, &self.ports, "stop").output();
    }
}

fn script(dir: &tempfile::TempDir, ports: &[u16], verb: &str) -> Command {
    let mut c = Command::new(root().join("tests/services/k8s.sh"));
    c.arg(verb).arg(dir.path()).envs(PORTS.iter().zip(ports).map(|(n, p)| (n, p.to_string())));
    c
}

/// A namespace of a test.
pub(crate) struct Namespace<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) name: String,
}

impl Namespace<'_> {
    #[track_caller]
    pub(crate) fn apply(&self, yaml: &str) {
        self.cluster.kubectl(&["apply", "-n", &self.name, "--server-side", "--force-conflicts", "-f", "-"], yaml);
    }

    #[track_caller]
    pub(crate) fn delete(&self, what: &[&str]) {
        self.cluster.kubectl(&[&["delete", "-n", &self.name][..], what].concat(), "");
    }

    /// A gateway that reads this namespace; `provider` is `kubernetescrd` or `kubernetesingress`.
    pub(crate) fn setup(&self, provider: &str) -> Setup {
        Setup::new()
            .env("KUBECONFIG", self.cluster.env["KUBECONFIG"].clone())
            .flag(format!("--providers.{provider}=true"))
            .flag(format!("--providers.{provider}.namespaces={}", self.name))
    }
}

/// A service with a port `http` (80), and a slice for each server.
pub(crate) fn service(name: &str, servers: &[SocketAddr]) -> String {
    let mut text =
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: 80, protocol: TCP}}]}}\n");
    for (i, s) in servers.iter().enumerate() {
        text += &slice(name, i, *s, "ready: true, serving: true, terminating: false");
    }
    text
}

pub(crate) fn slice(service: &str, i: usize, server: SocketAddr, conditions: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {service}-{i}, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: {}}}]\nendpoints: [{{addresses: ['{}'], conditions: {{{conditions}}}}}]\n",
        server.port(),
        server.ip()
    )
}

pub(crate) fn address(b: &Backend) -> SocketAddr {
    b.url().rsplit('/').next().unwrap().parse().unwrap()
}

pub(crate) fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: traefik.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

pub(crate) fn route(name: &str, routes: &str) -> String {
    object("IngressRoute", name, &format!("routes: [{routes}]"))
}
