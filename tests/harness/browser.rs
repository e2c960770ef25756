//! A real browser, headless (`tests/services/browser.sh`), driven by its developer protocol over pipes:
//! messages are JSON, each ended by a zero byte.

use super::{PATIENCE, eventually, lock, root};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::{Condvar, Mutex};

/// What the browser has said and nobody has taken.
#[derive(Default)]
struct Said {
    messages: Mutex<Vec<Value>>,
    more: Condvar,
}

pub(crate) struct Browser {
    child: Child,
    to: Mutex<(ChildStdin, u64)>,
    said: Arc<Said>,
    _folder: tempfile::TempDir,
}

/// One page, with a width as of a desk or a phone.
pub(crate) struct Page<'a> {
    browser: &'a Browser,
    session: String,
}

impl Browser {
    /// Loudly missing at home, an error where `CI` is set.
    pub(crate) fn start() -> Option<Browser> {
        let script = root().join("tests/services/browser.sh");
        let output = Command::new(&script).arg("install").output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(std::env::var_os("CI").is_none(), "browser.sh: {said}");
            eprintln!("SKIPPED: tests of the dashboard need a browser: {said}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut c = Command::new(&script);
        c.arg("run").arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = c.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let said = Arc::new(Said::default());
        let heard = said.clone();
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                lock(&heard.messages).extend(serde_json::from_slice(&message));
                heard.more.notify_all();
            }
        });
        Some(Browser { child, to: Mutex::new((to, 0)), said, _folder: folder })
    }

    /// The result of a command, or the browser's error.
    #[track_caller]
    fn command(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, Value> {
        let id = {
            let mut to = lock(&self.to);
            to.1 += 1;
            let mut message = json!({"id": to.1, "method": method, "params": params});
            if let Some(session) = session {
                message["sessionId"] = session.into();
            }
            to.0.write_all(format!("{message}\0").as_bytes()).unwrap();
            to.1
        };
        let mut answer = None;
        let find = |messages: &mut Vec<Value>| {
            answer = messages.iter().position(|m| m["id"] == id).map(|i| messages.swap_remove(i));
            answer.is_none()
        };
        drop(self.said.more.wait_timeout_while(lock(&self.said.messages), PATIENCE, find));
        let mut answer = answer.unwrap_or_else(|| panic!("the browser does not answer {method}"));
        if answer["error"].is_null() { Ok(answer["result"].take()) } else { Err(answer["error"].take()) }
    }

    /// A new page, `width` points wide.
    #[track_caller]
    pub(crate) fn page(&self, width: u32) -> Page<'_> {
        let target = self.command(None, "Target.createTarget", json!({"url": "about:blank"})).unwrap()["targetId"].clone();
        let attached = self.command(None, "Target.attachToTarget", json!({"targetId": target, "flatten": true})).unwrap();
        let page = Page { browser: self, session: attached["sessionId"].as_str().unwrap().to_owned() };
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        page.command("Emulation.setDeviceMetricsOverride", metrics);
        page.command("Runtime.enable", json!({}));
        page.command("Log.enable", json!({}));
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own children.
        let _ = lock(&self.to).0.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.wait();
    }
}

impl Page<'_> {
    #[track_caller]
    fn command(&self, method: &str, params: Value) -> Value {
        self.browser.command(Some(&self.session), method, params).unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        let told = self.command("Page.navigate", json!({ "url": url }));
        assert!(told["errorText"].is_null(), "{url}: {told}");
    }

    /// The value of an expression, which may be a promise.
    #[track_caller]
    pub(crate) fn eval(&self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    #[track_caller]
    fn try_eval(&self, expression: &str) -> Result<Value, Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut told = self.browser.command(Some(&self.session), "Runtime.evaluate", params)?;
        if told["exceptionDetails"].is_null() { Ok(told["result"]["value"].take()) } else { Err(told["exceptionDetails"].take()) }
    }

    /// Waits until an expression is true. While a page loads there may be nothing yet that it speaks of.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) {
        eventually(expression, || (self.try_eval(expression) == Ok(Value::Bool(true))).then_some(()));
    }

    /// Waits until the page shows a text.
    #[track_caller]
    pub(crate) fn wait_text(&self, text: &str) {
        self.wait(&format!("document.body.innerText.includes({})", json!(text)));
    }

    #[track_caller]
    pub(crate) fn press(&self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if key == "Enter" { "\r" } else { "" };
            let code = if key == "Enter" { 13 } else { 9 };
            self.command(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code}),
            );
        }
    }

    /// Errors of scripts and of what the page's policy forbids, so far.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let messages = lock(&self.browser.said.messages);
        let own = messages.iter().filter(|m| m["sessionId"] == *self.session);
        own.filter_map(|m| match m["method"].as_str()? {
            "Runtime.exceptionThrown" => Some(m["params"]["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if m["params"]["type"] == "error" => Some(m["params"]["args"].to_string()),
            "Log.entryAdded" if m["params"]["entry"]["source"] == "security" => Some(m["params"]["entry"]["text"].to_string()),
            _ => None,
        })
        .collect()
    }
}
