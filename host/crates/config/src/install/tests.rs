use super::*;
use crate::ByteSize;
use crate::de::from_node;
use crate::node::Node;
use crate::parse::{Format, parse};
use crate::routing::SecretSource;
use crate::schema::{self, Kind, State};
use torana_base::{Diagnostic, GoDuration, Place};

fn try_load(file: Option<(&str, &str)>, env: &[(&str, &str)], args: &[&str]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut sources = Sources {
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        cwd_lookup: false,
    };
    if let Some((name, text)) = file {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        sources.args.push(format!("--configFile={}", path.display()));
    }
    let tidy = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
    load(&sources)
        .map(|mut l| {
            l.origins.retain(|(key, _)| key != "configFile");
            l.origins.iter_mut().for_each(|(_, source)| *source = tidy(source.clone()));
            l.warnings
                .iter_mut()
                .for_each(|w| w.place = w.place.as_ref().map(|p| Place::new(tidy(p.source.to_string()).into(), p.line, p.column)));
            l
        })
        .map_err(|d| tidy(d.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")))
}

fn yaml(text: &str) -> Result<Loaded, String> {
    try_load(Some(("torana.yml", text)), &[], &[])
}

/// A value of the kind that is not the default.
fn sample(path: &str, kind: Kind, default: &str) -> &'static str {
    match (path, kind) {
        ("entryPoints.<name>.address", _) => ":80",
        ("plugins.<name>.failure", _) => "open",
        ("plugins.<name>.rollout.steps", _) => "5, 7",
        ("plugins.<name>.limits.memory" | "plugins.<name>.limits.body" | "plugins.<name>.limits.headers", _) => "7KiB",
        (p, _) if p.ends_with("HeadersStrategy") => "delete",
        (p, _) if p.ends_with("traceVerbosity") => "detailed",
        ("log.level", _) => "debug",
        ("core.defaultRuleSyntax", _) => "v3",
        ("providers.precedence", _) => "file, docker",
        ("metrics.prometheus.buckets" | "metrics.otlp.explicitBoundaries", _) => "0.5, 2",
        (_, Kind::Bool) if default == "true" => "false",
        (_, Kind::Bool | Kind::Block) => "true",
        (_, Kind::Int) => "7",
        (_, Kind::Float) => "0.5",
        (_, Kind::Duration) => "7s",
        (_, Kind::List) => "a, b",
        (_, Kind::String | Kind::Any) => "/x",
    }
}

#[test]
fn every_built_option_is_a_field() {
    let mut seen = 0;
    for row in &schema::install().rows {
        // A list of blocks is not made of samples: flags.rs has a test of it.
        if matches!(row.state, State::Unbuilt { accept: None, .. }) || row.path.contains(".domains") || row.path.contains(".gateways") {
            continue;
        }
        seen += 1;
        let mut node = Node::plain(Place::whole("t"), sample(row.path, row.kind, row.default));
        for part in row.path.replace("<name>", "web").replace("<key>", "x").rsplit('.') {
            let mut up = Node::empty(Place::whole("t"));
            up.insert(crate::node::Key { text: part.to_owned(), place: Place::whole("t") }, node);
            node = up;
        }
        let read = from_node::<InstallConfig>(&node, "").unwrap_or_else(|d| panic!("{}: {d:?}", row.path));
        let told = schema::check(&mut node, &schema::install().root, "");
        assert!(told.iter().all(|d| !d.is_error()), "{}: {told:?}", row.path);
        // blocks, and what is accepted without effect, need not change anything
        if row.state == State::Built && row.kind != Kind::Block && row.path != "core.defaultRuleSyntax" {
            assert_ne!(read, InstallConfig::default(), "{} is not kept", row.path);
        }
    }
    // The list only grows.
    assert!(seen >= 180, "{seen}");
}

#[test]
fn defaults_are_traefiks() {
    let loaded = yaml("entryPoints: {web: {address: ':80'}}\nping: {}\napi: true\nproviders: {file: {directory: /x}}\nplugins: {web: {path: /x, rollout: {}}}").unwrap();
    let c = &loaded.config;
    let web = serde_json::to_string(&c.entry_points["web"]).unwrap();
    // what /api/entrypoints of Traefik 3.7.15 shows
    assert_eq!(
        web,
        r#"{"address":":80","transport":{"lifeCycle":{"graceTimeOut":"10s"},"respondingTimeouts":{"readTimeout":"1m0s","idleTimeout":"3m0s"}},"forwardedHeaders":{},"http":{"sanitizePath":true,"maxHeaderBytes":1048576},"http2":{"maxConcurrentStreams":250,"maxDecoderHeaderTableSize":4096,"maxEncoderHeaderTableSize":4096},"udp":{"timeout":"3s"}}"#
    );
    assert_eq!(
        serde_json::to_string(&(&c.ping, &c.api, &c.providers.file)).unwrap(),
        r#"[{"entryPoint":"traefik","terminatingStatusCode":503},{"basePath":"/","dashboard":true},{"directory":"/x","watch":true}]"#
    );
    assert_eq!(
        serde_json::to_string(&c.plugins["web"]).unwrap(),
        r#"{"path":"/x","failure":"closed","permissions":{},"limits":{"deadline":"50ms","timeout":"5s","start":"2s","memory":"64MiB","body":"1MiB","headers":"64KiB","instances":64},"rollout":{"steps":[5,25,50],"interval":"30s","minimumCalls":20,"tolerance":1.0}}"#
    );
    for row in &schema::install().rows {
        if row.default == "-" || row.kind == Kind::Block || matches!(row.state, State::Unbuilt { accept: None, .. }) {
            continue;
        }
        let json = serde_json::to_value(c).unwrap();
        let pointer = format!("/{}", row.path.replace("<name>", "web").replace('.', "/"));
        if let Some(found) = json.pointer(&pointer) {
            let text = match found {
                serde_json::Value::String(s) => s.clone(),
                serde_json::Value::Array(a) => {
                    a.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
                }
                other => other.to_string(),
            };
            let same = text == row.default || row.kind == Kind::Duration && text.parse::<GoDuration>() == row.default.parse();
            assert!(same, "{}: {text}, not {}", row.path, row.default);
        }
    }
}

#[test]
fn the_form_of_blocks_that_are_written() {
    let c = yaml(
        "entryPoints:\n  web:\n    address: 127.0.0.1:81/tcp\n    asDefault: true\n    forwardedHeaders: {trustedIPs: '10.0.0.1,10.0.0.0/8'}\n    http:\n      redirections: {entryPoint: {to: webs}}\n      encodedCharacters: {allowEncodedHash: false}\n      middlewares: [a@file]\n    observability: {tracing: false}\n  webs: {address: ':82'}\n",
    )
    .unwrap()
    .config;
    assert_eq!(
        serde_json::to_string(&c.entry_points["web"]).unwrap(),
        r#"{"address":"127.0.0.1:81/tcp","asDefault":true,"transport":{"lifeCycle":{"graceTimeOut":"10s"},"respondingTimeouts":{"readTimeout":"1m0s","idleTimeout":"3m0s"}},"forwardedHeaders":{"trustedIPs":["10.0.0.1","10.0.0.0/8"]},"http":{"redirections":{"entryPoint":{"to":"webs","scheme":"https","permanent":true,"priority":9223372036854775806}},"middlewares":["a@file"],"encodedCharacters":{"allowEncodedSlash":true,"allowEncodedBackSlash":true,"allowEncodedNullCharacter":true,"allowEncodedSemicolon":true,"allowEncodedPercent":true,"allowEncodedQuestionMark":true},"sanitizePath":true,"maxHeaderBytes":1048576},"http2":{"maxConcurrentStreams":250,"maxDecoderHeaderTableSize":4096,"maxEncoderHeaderTableSize":4096},"udp":{"timeout":"3s"},"observability":{"accessLogs":true,"metrics":true,"tracing":false,"traceVerbosity":"minimal"}}"#
    );
    assert_eq!(c.default_entry_points(), ["web"]);
}

#[test]
fn entry_points_that_nobody_wrote() {
    for (text, names, default) in [
        ("log: {}", &["http=:80"][..], &["http"][..]),
        ("ping: {}", &["http=:80", "traefik=:8080"], &["http"]),
        ("ping: {manualRouting: true}", &["http=:80"], &["http"]),
        ("api: {insecure: true}\nentryPoints: {b: {address: ':1'}, a: {address: ':2'}}", &["a=:2", "b=:1", "traefik=:8080"], &["a", "b"]),
        ("api: {insecure: true}\nentryPoints: {traefik: {address: ':1'}}", &["traefik=:1"], &[]),
        ("ping: {entryPoint: a}\nentryPoints: {a: {address: ':1'}, b: {address: ':2', asDefault: true}}", &["a=:1", "b=:2"], &["b"]),
    ] {
        let c = yaml(text).unwrap().config;
        let all: Vec<_> = c.entry_points.iter().map(|(n, e)| format!("{n}={}", e.address)).collect();
        assert_eq!(
            (all, c.default_entry_points()),
            (names.iter().map(|n| (*n).to_owned()).collect(), default.iter().map(|n| (*n).to_owned()).collect()),
            "{text}"
        );
    }
}

#[test]
fn sources_are_laid_over_each_other() {
    let loaded = try_load(
        Some((
            "torana.toml",
            "[entryPoints.Web]\naddress = ':80'\n[log]\nlevel = 'INFO'\nformat = 'json'\n[providers.file]\nfilename = 'x.yml'\n",
        )),
        &[
            ("TRAEFIK_LOG_LEVEL", "WARN"),
            ("TORANA_LOG_LEVEL", "DEBUG"),
            ("TRAEFIK_ENTRYPOINTS_WEB_ASDEFAULT", "true"),
            ("TRAEFIK_VERSION", "3"),
            ("TORANA_LOGO", "x"),
        ],
        &["--entrypoints.web.address=:81", "--ping"],
    )
    .unwrap();
    let c = &loaded.config;
    assert_eq!(c.entry_points.keys().collect::<Vec<_>>(), ["Web", "traefik"]);
    assert_eq!(
        (c.entry_points["Web"].address.port, c.entry_points["Web"].as_default, c.log.level, c.log.is_json()),
        (81, true, LogLevel::Debug, true)
    );
    assert_eq!(
        loaded.origins_summary(),
        "environment: entryPoints.Web.asDefault, log.level; flags: entryPoints.Web.address, ping; torana.toml: log.format, providers.file.filename"
    );
    assert_eq!(
        loaded.warnings.iter().map(Diagnostic::to_string).collect::<Vec<_>>(),
        ["warning: environment variable `TORANA_LOGO` is ignored\n  at  environment TORANA_LOGO\n  hint: did you mean `log`?"]
    );
    assert_eq!(loaded.node.at("log.level").and_then(Node::as_str), Some("DEBUG"));
    let lists = try_load(
        Some(("t.yml", "entryPoints: {w: {address: ':1', http: {middlewares: [a, b]}}}")),
        &[],
        &["--entrypoints.w.http.middlewares=c"],
    );
    assert_eq!(lists.unwrap().config.entry_points["w"].http.middlewares, ["c"]);
}

#[test]
fn mistakes_are_all_told() {
    for (text, told) in [
        (
            "entryPoints: {web: {}}",
            "error: entry point `web` has no address\n  at  entryPoints.web  (torana.yml:1:20)\n  hint: write `address`, such as `:80`",
        ),
        (
            "entryPoints: {web: {address: ':80/foo'}}",
            "error: `:80/foo` is no listening address, `foo` is no protocol\n  at  entryPoints.web.address  (torana.yml:1:30)\n  hint: write `[host]:port`, optionally with `/tcp` or `/udp`, as in `:80`",
        ),
        (
            "entryPoints: {dns: {address: ':53/udp', udp: {timeout: 0s}}}",
            "error: `0s` is not above 0\n  at  entryPoints.dns.udp.timeout  (torana.yml:1:56)\n  hint: leave it out for 3s",
        ),
        (
            "entryPoints: {web: {address: ':80', forwardedHeaders: {trustedIPs: [10.0.0.0/33]}}}",
            "error: `10.0.0.0/33` is no IP address or range\n  at  entryPoints.web.forwardedHeaders.trustedIPs[0]  (torana.yml:1:69)\n  hint: write an address or a range such as `10.0.0.0/8`",
        ),
        (
            "entryPoints: {web: {address: ':80', http2: {maxConcurrentStreams: -1}}}",
            "error: `-1` is below 0\n  at  entryPoints.web.http2.maxConcurrentStreams  (torana.yml:1:67)\n  hint: write 0 or more",
        ),
        (
            "entryPoints: {web: {address: ':80', http3: {advertisedPort: -1}}}",
            "error: `-1` is below 0\n  at  entryPoints.web.http3.advertisedPort  (torana.yml:1:61)\n  hint: write a port, or leave it out",
        ),
        (
            "entryPoints: {web: {address: ':80', http: {underscoreHeadersStrategy: keep, aliasHeadersStrategy: reject}}}",
            "error: it contradicts `aliasHeadersStrategy`\n  at  entryPoints.web.http.underscoreHeadersStrategy  (torana.yml:1:71)\n  hint: keep `aliasHeadersStrategy` only; it covers underscores too",
        ),
        (
            "entryPoints: {web: {address: ':80', http: {aliasHeadersStrategy: drop}}}",
            "error: `drop` is not known here\n  at  entryPoints.web.http.aliasHeadersStrategy  (torana.yml:1:66)\n  hint: known here: keep, delete, reject",
        ),
        (
            "api: {basePath: x}",
            "error: `x` is no path that the API can be served under\n  at  api.basePath  (torana.yml:1:17)\n  hint: begin with `/`, and use only letters, digits and `/ _ . : ~ -`",
        ),
        (
            "providers: {precedence: [file, dokcer]}",
            "error: unknown provider `dokcer`\n  at  providers.precedence[1]  (torana.yml:1:32)\n  hint: did you mean `docker`?",
        ),
        (
            "core: {defaultRuleSyntax: v1}",
            "error: `v1` is not known here\n  at  core.defaultRuleSyntax  (torana.yml:1:27)\n  hint: did you mean `v2`? known here: v2, v3",
        ),
        (
            "accessLog: {otlp: {}}",
            "error: logs are sent to OpenTelemetry collectors only where that is allowed\n  at  accessLog.otlp  (torana.yml:1:19)\n  hint: add `experimental: {otlplogs: true}`",
        ),
        (
            "tracing: {jaeger: {}}",
            "error: `tracing.jaeger` was removed in Traefik v3\n  at  tracing.jaeger  (torana.yml:1:11)\n  hint: send traces with `tracing.otlp`",
        ),
        ("pilot: {token: x}\nping: {}", "error: `pilot` was removed in Traefik v3\n  at  pilot  (torana.yml:1:1)\n  hint: remove it"),
        (
            "pong: {}",
            "warning: unknown option `pong` is ignored\n  at  pong  (torana.yml:1:1)\n  hint: did you mean `ping`?\nerror: no option stands in the file\n  at  torana.yml:1:1\n  hint: write at least one, such as `entryPoints: {web: {address: \":80\"}}`",
        ),
        (
            "ping: {port: 1, manualRouting: maybe}",
            "error: unknown option `port`\n  at  ping.port  (torana.yml:1:8)\n  hint: known here: entryPoint, manualRouting, terminatingStatusCode\nerror: `true` or `false` belongs here, not `maybe`\n  at  ping.manualRouting  (torana.yml:1:32)",
        ),
        (
            "entryPoints: [\n  oops: {\n",
            "error: not valid YAML: while parsing a node, did not find expected node content\n  at  torana.yml:3:1",
        ),
    ] {
        assert_eq!(yaml(text).map(|l| l.config).unwrap_err(), told, "{text}");
    }
    for (args, told) in [
        (
            &["--configfile=/no/such.yml"][..],
            "error: cannot read `/no/such.yml`: No such file or directory (os error 2)\n  at  configFile  (flag --configfile)\n  hint: name a file that is there and may be read",
        ),
        (
            &["--configFile=/etc/hostname"],
            "error: `/etc/hostname` is no configuration file\n  at  configFile  (flag --configFile)\n  hint: its name must end in .yml, .yaml or .toml",
        ),
    ] {
        assert_eq!(try_load(None, &[], args).map(|l| l.config).unwrap_err(), told);
    }
}

#[test]
fn plugins_from_every_source() {
    let json = |c: &InstallConfig| serde_json::to_string(&(&c.plugins, &c.providers.plugin)).unwrap();
    let local = |c: &InstallConfig| {
        let e = &c.experimental;
        let all: Vec<_> = e.local_plugins.iter().map(|(n, l)| format!("{n}={} {:?}", l.module_name, l.settings.envs)).collect();
        (all.join("; "), e.abort_on_plugin_failure)
    };
    let expected = r#"[{"auth":{"path":"a.wasm","config":{"realm":"x"},"failure":"open","permissions":{"http":["a:1","*.b"],"secrets":{"key":{"value":"xxxx"}}},"limits":{"deadline":"50ms","timeout":"5s","start":"2s","memory":"8MiB","body":"1MiB","headers":"64KiB","instances":64}}},{"demo":{"poll":{"every":5}}}]"#;
    let flags = [
        "--plugins.auth.path=a.wasm",
        "--plugins.auth.config.realm=x",
        "--plugins.auth.failure=OPEN",
        "--plugins.auth.permissions.http=a:1",
        "--plugins.auth.permissions.http=*.b",
        "--plugins.auth.permissions.secrets.key.value=hush",
        "--plugins.auth.limits.memory=8MiB",
        "--providers.plugin.demo.poll.every=5",
        "--experimental.localPlugins.l.moduleName=a.b/c",
        "--experimental.localplugins.l.settings.envs=A,B",
        "--experimental.abortOnPluginFailure",
    ];
    let upper = |flag: &&str| {
        let (name, value) = flag.trim_start_matches('-').split_once('=').unwrap_or((flag, "true"));
        (format!("TORANA_{}", name.trim_start_matches('-').replace('.', "_").to_uppercase()), value.to_owned())
    };
    let mut env: BTreeMap<_, _> = flags.iter().map(upper).collect();
    env.insert("TORANA_PLUGINS_AUTH_PERMISSIONS_HTTP".into(), "a:1,*.b".into());
    let env: Vec<_> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let yaml = "plugins: {auth: {path: a.wasm, config: {realm: x}, Failure: open, permissions: {http: ['a:1', '*.b'], secrets: {key: {value: hush}}}, limits: {memory: 8388608}}}\nproviders: {plugin: {demo: {poll: {every: 5}}}}\nexperimental: {localPlugins: {l: {moduleName: a.b/c, settings: {envs: [A, B]}}}, abortOnPluginFailure: true}";
    let toml = "[plugins.auth]\npath = 'a.wasm'\nfailure = 'open'\n[plugins.auth.config]\nrealm = 'x'\n[plugins.auth.permissions]\nhttp = ['a:1', '*.b']\n[plugins.auth.permissions.secrets.key]\nvalue = 'hush'\n[plugins.auth.limits]\nmemory = '8MiB'\n[providers.plugin.demo.poll]\nevery = 5\n[experimental]\nabortOnPluginFailure = true\n[experimental.localPlugins.l]\nmoduleName = 'a.b/c'\n[experimental.localPlugins.l.settings]\nenvs = 'A, B'\n";
    for (source, loaded) in [
        ("yaml", try_load(Some(("t.yml", yaml)), &[], &[])),
        ("toml", try_load(Some(("t.toml", toml)), &[], &[])),
        ("flags", try_load(None, &[], &flags)),
        ("env", try_load(None, &env, &[])),
    ] {
        let loaded = loaded.unwrap_or_else(|e| panic!("{source}: {e}"));
        let c = &loaded.config;
        assert_eq!(
            (json(c).as_str(), local(c), loaded.warnings),
            (expected, (r#"l=a.b/c ["A", "B"]"#.to_owned(), true), vec![]),
            "{source}"
        );
        assert_eq!(c.plugins["auth"].permissions.secrets["key"], SecretSource::Value(torana_base::Secret::new("hush")), "{source}");
        assert!(!format!("{c:?}").contains("hush"), "{source}");
    }
    let c = try_load(
        Some((
            "t.yml",
            "plugins: {Auth: {path: /a, config: {B: 1, b: ~}}}\nproviders: {precedence: [plugin-auth, file], plugin: {Auth: , off: false}}",
        )),
        &[],
        &["--plugins.auth.limits.instances=1"],
    )
    .unwrap();
    let auth = &c.config.plugins["Auth"];
    assert_eq!((auth.limits.instances, auth.path.as_str(), c.config.plugins.len()), (1, "/a", 1));
    assert_eq!(
        auth.config.as_ref().map(|n| (n.to_json().to_string(), n.place.to_string())),
        c.node.at("plugins.Auth.config").map(|n| (r#"{"B":1,"b":null}"#.to_owned(), n.place.to_string()))
    );
    let items = c.plugins();
    assert_eq!((&items["Auth"].config, items.len()), (auth, 1));
    assert_eq!(
        ["", "path", "limits"].map(|option| items["Auth"].place_of(option).to_string().rsplit('/').next().unwrap_or_default().to_owned()),
        ["t.yml:1:11", "t.yml:1:24", "flag --plugins.auth.limits.instances"]
    );
    assert_eq!(items["Auth"].digest, c.node.at("plugins.Auth").unwrap().digest());
    assert_eq!(c.config.providers.plugin.iter().map(|(n, o)| format!("{n}={}", o.to_json())).collect::<Vec<_>>(), ["Auth={}"]);
}

#[test]
fn a_local_plugin_is_a_plugin() {
    let settings = PluginSettings { envs: vec!["A".into()], mounts: vec!["/x:ro".into()], use_unsafe: false };
    let local = LocalPluginConfig { module_name: "a/b".into(), settings };
    let mut expected = PluginConfig { path: "x/plugin.wasm".into(), ..PluginConfig::default() };
    expected.permissions.env.push("A".into());
    expected.permissions.mounts.push("/x:ro".into());
    let limits = &mut expected.limits;
    (limits.deadline, limits.start) = (GoDuration::from_secs(1), GoDuration::from_secs(10));
    (limits.memory, limits.body) = (ByteSize::from_mib(256), ByteSize::from_mib(64));
    assert_eq!(PluginConfig::from_local(&local, "x/plugin.wasm".into()), expected);
}

#[test]
fn mistakes_of_plugins() {
    for (text, told) in [
        (
            "plugins: {2a: {}, b: {path: /b, permissions: {http: '*'}}}",
            "error: `2a` is no name of a plugin\n  at  plugins.2a  (torana.yml:1:11)\n  hint: begin with a letter, and use only letters, digits, `_` and `-`\nerror: the plugin has no path\n  at  plugins.2a.path  (torana.yml:1:11)\n  hint: write `path`, the file of the component, such as `plugins/auth.wasm`\nerror: `*` is no host\n  at  plugins.b.permissions.http[0]  (torana.yml:1:53)\n  hint: write `host`, `host:port` or `*.domain`, without scheme and path",
        ),
        (
            "plugins: {a: {path: /a, permissions: {secrets: {k: {env: A, value: hush}}}}}",
            "error: the secret has more than one source\n  at  plugins.a.permissions.secrets.k  (torana.yml:1:52)\n  hint: write only one of `env`, `file` and `value`",
        ),
        (
            "plugins: {a: {path: /a, permissions: {secrets: {k: hush}}}}",
            "error: a block of options belongs here, not a single value\n  at  plugins.a.permissions.secrets.k  (torana.yml:1:52)",
        ),
        (
            "plugins: {a: {path: /a, limits: {memory: lots}}}",
            "error: `lots` is not a size\n  at  plugins.a.limits.memory  (torana.yml:1:42)\n  hint: write `64MiB`, `512KiB`, or whole bytes",
        ),
        (
            "providers: {plugin: {x: [1]}}",
            "error: a block of options belongs here, not a list\n  at  providers.plugin.x  (torana.yml:1:25)",
        ),
        (
            "providers: {knative: {}}",
            "error: the provider is experimental and has to be allowed\n  at  providers.knative  (torana.yml:1:22)\n  hint: write `experimental: {knative: true}`",
        ),
        (
            "providers: {precedence: [plugin-x]}",
            "error: unknown provider `plugin-x`\n  at  providers.precedence[0]  (torana.yml:1:26)\n  hint: known here: kubernetesgateway, kubernetescrd, kubernetes, kubernetesingressnginx, swarm, docker, file, redis, knative, consul, consulcatalog, nomad, etcd, ecs, http, zookeeper, rest",
        ),
        (
            "experimental: {plugins: {demo: {moduleName: github.com/a/b, version: v0.1.0, hash: x, settings: {envs: [A]}}}}",
            "error: `demo` is Go source of Traefik's catalogue, but Torana runs WebAssembly components\n  at  experimental.plugins.demo  (torana.yml:1:32)\n  hint: remove it, and write `plugins: {demo: {path: plugins/demo.wasm}}` for a component that does the same",
        ),
        (
            "experimental: {localPlugins: {a: {}, b: {moduleName: /b}, c: {moduleName: c/}, d: {moduleName: d/../e}}}",
            "error: local plugin `a` has no module name\n  at  experimental.localPlugins.a  (torana.yml:1:34)\n  hint: write `moduleName`, its directory below `plugins-local/src`, such as `github.com/you/demo`\nerror: `/b` is no module name\n  at  experimental.localPlugins.b.moduleName  (torana.yml:1:54)\n  hint: write a directory below `plugins-local/src`, without `/` at either end and without `..`\nerror: `c/` is no module name\n  at  experimental.localPlugins.c.moduleName  (torana.yml:1:75)\n  hint: write a directory below `plugins-local/src`, without `/` at either end and without `..`\nerror: `d/../e` is no module name\n  at  experimental.localPlugins.d.moduleName  (torana.yml:1:96)\n  hint: write a directory below `plugins-local/src`, without `/` at either end and without `..`",
        ),
        (
            "experimental: {localPlugins: {a.b: {moduleName: x}}}",
            "error: `a.b` is no name of a plugin\n  at  experimental.localPlugins.a.b  (torana.yml:1:30)\n  hint: begin with a letter, and use only letters, digits, `_` and `-`",
        ),
        (
            "experimental: {localPlugins: {a: {moduleName: x, settings: {useUnsafe: true, mounts: [/x], envs: [A=1]}}}}",
            "error: `A=1` is no name of an environment variable\n  at  experimental.localPlugins.a.settings.envs[0]  (torana.yml:1:99)\n  hint: write the name alone, such as `REGION`\nerror: WebAssembly has nothing unsafe to allow\n  at  experimental.localPlugins.a.settings.useUnsafe  (torana.yml:1:72)\n  hint: remove it",
        ),
        (
            "experimental: {localPlugins: {a: {moduleName: x}}}\nplugins: {a: {path: /a}}",
            "error: `plugins` has a plugin `a` too\n  at  experimental.localPlugins.a  (torana.yml:1:34)\n  hint: give one of them another name",
        ),
        (
            "experimental: {localPlugins: {a: {moduleName: x}}, plugins: {a: {}}}",
            "error: `a` is Go source of Traefik's catalogue, but Torana runs WebAssembly components\n  at  experimental.plugins.a  (torana.yml:1:65)\n  hint: remove it, and write `plugins: {a: {path: plugins/a.wasm}}` for a component that does the same\nerror: `experimental.plugins` has a plugin `a` too\n  at  experimental.localPlugins.a  (torana.yml:1:34)\n  hint: give one of them another name",
        ),
    ] {
        assert_eq!(yaml(text).map(|l| l.config).unwrap_err(), told, "{text}");
    }
}

#[test]
fn warnings_do_not_keep_from_starting() {
    for (text, told) in [
        (
            "log: {level: loud}",
            "warning: `loud` is not known here: ERROR is used\n  at  log.level  (torana.yml:1:14)\n  hint: known here: TRACE, DEBUG, INFO, WARN, ERROR, FATAL, PANIC",
        ),
        (
            "x-mine: {}\nping: {entryPoint: wbe}\nentryPoints: {web: {address: ':1'}}",
            "warning: unknown entry point `wbe`: ping is not served\n  at  ping.entryPoint  (torana.yml:2:20)\n  hint: did you mean `web`? known here: web",
        ),
        (
            "providers: {file: {}}",
            "warning: the file provider has nothing to read\n  at  providers.file  (torana.yml:1:19)\n  hint: write `filename` or `directory`",
        ),
        (
            "experimental: {knative: true}\nproviders: {knative: {publicService: {name: x}}}",
            "warning: no status names it: it needs a name and a namespace\n  at  providers.knative.publicService  (torana.yml:2:38)\n  hint: write both `name` and `namespace`",
        ),
        (
            "experimental: {kubernetesGateway: true}",
            "warning: `kubernetesGateway` has no effect\n  at  experimental.kubernetesGateway  (torana.yml:1:16)\n  hint: Needed no more.",
        ),
    ] {
        let loaded = yaml(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(loaded.warnings.iter().map(Diagnostic::to_string).collect::<Vec<_>>(), [told], "{text}");
    }
}

#[test]
fn the_file_is_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let xdg = dir.path().join("xdg");
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join(".config")).unwrap();
    std::fs::create_dir_all(&xdg).unwrap();
    std::fs::write(home.join(".config/traefik.toml"), "[ping]\nentryPoint = 'home'\n").unwrap();
    let found = |cwd_lookup| {
        let env = [("XDG_CONFIG_HOME", &xdg), ("HOME", &home)].map(|(k, v)| (k.to_owned(), v.display().to_string()));
        let loaded = load(&Sources { args: vec![], env: env.into(), cwd_lookup }).unwrap();
        loaded.config.ping.map(|p| p.entry_point)
    };
    assert_eq!(found(true).as_deref(), Some("home"));
    std::fs::write(xdg.join("traefik.yaml"), "ping: {entryPoint: xdg}").unwrap();
    assert_eq!(found(true).as_deref(), Some("xdg"));
    std::fs::write(xdg.join("torana.yml"), "ping: {entryPoint: ours}").unwrap();
    assert_eq!(found(true).as_deref(), Some("ours"));
    assert_eq!(found(false), None);
}

#[test]
fn any_tree_can_be_read() {
    for text in ["[]", "a", "5", "entryPoints: 5", "entryPoints: {web: 5}", "entryPoints: {web: ~}", "log: [1]", "api: {insecure: {}}"] {
        let node = parse(text, Format::Yaml, "t".into()).unwrap();
        let _ = from_node::<InstallConfig>(&node, "");
        let _ = yaml(text);
    }
}

#[test]
fn metrics_that_cannot_be_counted_are_refused() {
    for (prometheus, expected) in [
        ("buckets: [0.1, 1]", None),
        ("buckets: [1, 1]", Some("`1` is not above the bound before it")),
        ("headerLabels: {ua: User-Agent}", None),
        ("headerLabels: {1a: User-Agent}", Some("`1a` is no name of a label")),
        ("headerLabels: {code: User-Agent}", Some("`code` is a label already")),
        ("headerLabels: {ua: 'a b'}", Some("`a b` is not a header name")),
    ] {
        let text = format!("entryPoints: {{web: {{address: ':1'}}}}\nmetrics: {{prometheus: {{{prometheus}}}}}");
        match (yaml(&text), expected) {
            (Ok(loaded), None) => assert_eq!(loaded.config.entry_points["traefik"].address.to_string(), ":8080"),
            (Err(told), Some(expected)) => assert!(told.contains(expected) && told.contains("(torana.yml:2:"), "{told}"),
            (other, _) => panic!("{prometheus}: {other:?}"),
        }
    }
    let told = yaml("entryPoints: {web: {address: ':1'}}\nmetrics: {prometheus: {entryPoint: wbe}}").unwrap().warnings;
    assert!(told[0].to_string().contains("metrics are not served") && told[0].to_string().contains("did you mean `web`"), "{told:?}");
}

#[test]
fn reports_have_a_time_between_them() {
    for (sink, interval, good) in [("datadog", "1s", true), ("statsD", "0", false), ("influxDB2", "-1s", false)] {
        let text = format!("entryPoints: {{web: {{address: ':1'}}}}\nmetrics: {{{sink}: {{pushInterval: {interval}}}}}");
        match yaml(&text) {
            Ok(_) => assert!(good, "{sink}"),
            Err(told) => assert!(!good && told.contains(&format!("metrics.{sink}.pushInterval")), "{told}"),
        }
    }
}

#[test]
fn logs_are_sent_where_that_is_allowed() {
    for key in ["log", "accessLog"] {
        let text = format!("entryPoints: {{web: {{address: ':1'}}}}\n{key}: {{otlp: {{}}}}");
        assert!(yaml(&text).unwrap_err().contains("experimental: {otlplogs: true}"), "{key}");
        assert!(yaml(&format!("{text}\nexperimental: {{otlpLogs: true}}")).is_ok(), "{key}");
    }
}

#[test]
fn options_of_catalogues_that_contradict_each_other() {
    let told = |text: &str| match yaml(text) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(told) => told,
    };
    for (text, expected) in [
        ("providers: {consulCatalog: {stale: true, requireConsistent: true}}", "providers.consulCatalog.requireConsistent"),
        ("providers: {consulCatalog: {endpoint: {scheme: ftp}}}", "`ftp` is no scheme"),
        ("providers: {consulCatalog: {strictChecks: [passing, good]}}", "no instance is ever `good`"),
        ("providers: {consulCatalog: {connectByDefault: true}}", "without `connectAware`"),
        ("providers: {consulCatalog: {refreshInterval: 0s}}", "providers.consulCatalog.refreshInterval"),
        ("providers: {nomad: {throttleDuration: 1s}}", "without `watch`"),
        ("providers: {nomad: {namespaces: ['*']}}", "providers.nomad.namespaces[0]"),
        ("providers: {ecs: {accessKeyID: x}}", "providers.ecs.accessKeyID"),
    ] {
        assert!(told(text).contains(expected), "{text}: {}", told(text));
    }
    assert_eq!(told("providers: {consulCatalog: {}, nomad: {watch: true, throttleDuration: 1s}, ecs: {}}"), "");
}

#[test]
fn references_are_followed_and_shown_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let (token, port, file) = (dir.path().join("token"), dir.path().join("port"), dir.path().join("torana.yml"));
    std::fs::write(&token, "hunter2hunter2\n").unwrap();
    std::fs::write(&port, "8443").unwrap();
    let text = format!(
        "entryPoints: {{web: {{address: ':${{file:{p}}}'}}}}\nserversTransport: {{rootCAs: ['${{file:{t}}}']}}\nproviders: {{providersThrottleDuration: '${{file:{p}}}'}}\nlog: {{filePath: '$${{file:x}}'}}\n",
        p = port.display(),
        t = token.display()
    );
    let load_it = |text: &str, flags: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let args = [&[&*format!("--configFile={}", file.display())], flags].concat().iter().map(|a| (*a).to_owned()).collect();
        load(&Sources { args, ..Sources::default() })
    };
    let config = Arc::new(load_it(&text, &[]).unwrap().config);
    assert_eq!(config.entry_points["web"].address.port, 8443);
    assert_eq!(config.servers_transport.root_cas, ["hunter2hunter2"]);
    assert_eq!(config.log.file_path, "${file:x}");
    let shown = serde_json::to_string(&*config.shown()).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains(&format!("${{file:{}}}", token.display())), "{shown}");
    assert!(shown.contains(":8443") && shown.contains("8443s") || shown.contains("2h20m43s"), "{shown}");
    let plain = Arc::new(load_it("ping: {}", &[]).unwrap().config);
    assert!(Arc::ptr_eq(&plain.shown(), &plain));

    let told = |text: &str, flags: &[&str]| load_it(text, flags).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    std::fs::remove_file(&port).unwrap();
    let wrong = told(&text, &[]);
    assert!(wrong[0].starts_with(&format!("error: the file `{}` cannot be read: ", port.display())), "{wrong:?}");
    assert!(wrong[0].contains(&format!("at  entryPoints.web.address  ({}:1:30)", file.display())), "{wrong:?}");
    let wrong = told("ping: {}", &["--api.basePath=${env:TORANA_IS_NOT_SET}"]);
    assert!(
        wrong[0].starts_with("error: the environment variable `TORANA_IS_NOT_SET` is not set\n  at  api.basePath  (flag "),
        "{wrong:?}"
    );
    let wrong = told(&format!("ping: {{terminatingStatusCode: '${{file:{}}}'}}", token.display()), &[]);
    assert!(!wrong.concat().contains("hunter2") && wrong[0].contains("not `${file:"), "{wrong:?}");
    let wrong = told("secrets: {allow: {dokcer: {files: [run]}, docker: {env: ['A B']}}}", &[]);
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong.concat().contains("did you mean `docker`?"));
}
