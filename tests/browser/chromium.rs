//! A headless Chromium with one page, driven over its debugging pipe: objects of JSON, each ended
//! by a zero byte, on descriptors 3 and 4 of the browser.
//! (<https://chromedevtools.github.io/devtools-protocol/>)

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// At the limit a test fails. A browser on a busy machine takes its time to begin.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a page waits for in [`Page::until`], in milliseconds; less than [`PATIENCE`].
const PAGE_PATIENCE: u32 = 20_000;

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// True if there is a browser. Without one it says so, and panics where the variable `CI` is set.
pub(crate) fn is_installed() -> bool {
    let is_there = find().is_some();
    if !is_there {
        let advice = "Chromium is not installed; install it with \
                      `apt-get install --no-install-recommends chromium`";
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        let _ = writeln!(std::io::stderr(), "skipped: {advice}");
    }
    is_there
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)))
        .find(|program| program.is_file())
}

/// How large a page is, and in which colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_dark: bool,
}

impl View {
    /// On a wall.
    pub(crate) const WIDE: View = View { width: 1280, height: 900, is_dark: false };
}

/// A page in a browser of its own. Dropping it ends the browser.
pub(crate) struct Page {
    child: Child,
    pipe: ChildStdin,
    messages: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    /// What went wrong in the page: exceptions, errors on its console, refused loads.
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Page {
    /// Opens `url`.
    #[track_caller]
    pub(crate) fn open(url: &str, view: View) -> Page {
        let profile = tempfile::tempdir().unwrap();
        let mut child = browser(&profile).spawn().unwrap();
        let (pipe, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            let parts = BufReader::new(stdout).split(0).map_while(Result::ok);
            parts
                .map_while(|part| serde_json::from_slice(&part).ok())
                .try_for_each(|message| sender.send(message))
        });
        let (complaints, session) = (Vec::new(), None);
        let mut page =
            Page { child, pipe, messages, calls: 0, session, complaints, _profile: profile };
        page.attach();
        page.look_as(view);
        page.go(url);
        page
    }

    /// Opens `url` in the place of what was shown.
    #[track_caller]
    pub(crate) fn go(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
        self.until("document.readyState === 'complete'");
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.call("Target.attachToTarget", &attach);
        self.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
    }

    /// Makes the page as large as that, and as dark.
    #[track_caller]
    pub(crate) fn look_as(&mut self, view: View) {
        let View { width, height, is_dark } = view;
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", &json!({"features": [feature]}));
    }

    /// Gives the browser these languages from the next page on: `de-AT,en`.
    #[track_caller]
    pub(crate) fn speak(&mut self, languages: &str) {
        let agent = self.value("navigator.userAgent");
        let speak = json!({"userAgent": agent, "acceptLanguage": languages});
        self.call("Network.setUserAgentOverride", &speak);
    }

    /// Runs a script in each page that is opened from now on, before its own.
    #[allow(dead_code, reason = "the playground's tests use it")]
    #[track_caller]
    pub(crate) fn prepare(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script}));
    }

    /// The reader wants no motion.
    #[track_caller]
    pub(crate) fn prefer_no_motion(&mut self) {
        let feature = json!({"name": "prefers-reduced-motion", "value": "reduce"});
        self.call("Emulation.setEmulatedMedia", &json!({"features": [feature]}));
    }

    /// Calls a method, and waits for its result.
    #[track_caller]
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.pipe.write_all(format!("{call}\0").as_bytes()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(message) = self.messages.recv_timeout(left) else {
                panic!("the browser does not answer {method}");
            };
            if message["id"] == self.calls {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        let is_complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            Some("Log.entryAdded") => {
                matches!(parameters["entry"]["level"].as_str(), Some("error" | "warning"))
            }
            _ => false,
        };
        if is_complaint {
            self.complaints.push(parameters.to_string());
        }
    }

    /// The value of a JavaScript expression; of its result, if that is a promise.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", &parameters);
        let thrown = result.get("exceptionDetails");
        assert!(thrown.is_none(), "{expression}\n{}", thrown.unwrap_or(&Value::Null));
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true, and gives its value.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) -> Value {
        let value = self.value(&format!(
            "new Promise((found, failed) => {{
                const began = performance.now();
                const look = () => {{
                    const value = ({expression});
                    if (value) found(value);
                    else if (performance.now() - began > {PAGE_PATIENCE}) found(null);
                    else setTimeout(look, 10);
                }};
                look();
            }})"
        ));
        if value.is_null() {
            let shown = self.value("document.body.innerText");
            panic!("never was {expression}; the page shows\n{}", shown.as_str().unwrap_or("?"));
        }
        value
    }

    /// Clicks what a selector finds, once it is there and not disabled.
    #[track_caller]
    pub(crate) fn press(&mut self, selector: &str) {
        let element = format!("document.querySelector({})", json!(selector));
        self.until(&format!("{element} && !{element}.disabled"));
        self.value(&format!("{element}.click()"));
    }

    /// The text of an element, as it is shown.
    #[track_caller]
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap().to_owned()
    }

    /// Types a key; `Shift+Tab` with the shift.
    #[track_caller]
    pub(crate) fn key(&mut self, key: &str) {
        let (key, shift) = match key.strip_prefix("Shift+") {
            Some(key) => (key, 8),
            None => (key, 0),
        };
        let mut down = json!({"type": "keyDown", "key": key, "modifiers": shift});
        // Without its code and its character, a key is not what buttons and the order of focus wait for.
        let known = match key {
            "Tab" => Some((9, None)),
            "Enter" => Some((13, Some("\r"))),
            _ => None,
        };
        if let Some((code, text)) = known {
            (down["code"], down["windowsVirtualKeyCode"]) = (json!(key), json!(code));
            text.into_iter().for_each(|text| down["text"] = json!(text));
        } else if key.len() == 1 {
            down["text"] = json!(key);
        }
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({"type": "keyUp", "key": key, "modifiers": shift});
        self.call("Input.dispatchKeyEvent", &up);
    }

    /// What has the focus, as it is said to somebody who does not see it: its role, and its name.
    #[track_caller]
    pub(crate) fn focused(&mut self) -> (String, String) {
        let element = json!({"expression": "document.activeElement"});
        let element = self.call("Runtime.evaluate", &element)["result"]["objectId"].clone();
        let tree = json!({"objectId": element, "fetchRelatives": false});
        let node = self.call("Accessibility.getPartialAXTree", &tree)["nodes"][0].clone();
        let said = |member: &str| node[member]["value"].as_str().unwrap_or_default().to_owned();
        (said("role"), said("name"))
    }

    /// Everything that can be read in the page's regions with this role, as it is said to somebody who does not see it.
    #[track_caller]
    pub(crate) fn said_in(&mut self, role: &str) -> String {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().unwrap();
        let value = |node: &Value, member: &str| node[member]["value"].as_str().map(str::to_owned);
        let by_id = |id: &Value| nodes.iter().find(|node| node["nodeId"] == *id);
        let is_region = |node: &&Value| {
            value(node, "role").as_deref() == Some(role) && node["ignored"] == false
        };
        let mut said = String::new();
        let mut left: Vec<&Value> = nodes.iter().filter(is_region).collect();
        left.reverse();
        while let Some(node) = left.pop() {
            if value(node, "role").as_deref() == Some("StaticText") {
                said += &value(node, "name").unwrap_or_default();
                said.push('\n');
            }
            let children = node["childIds"].as_array().into_iter().flatten();
            left.extend(children.rev().filter_map(by_id));
        }
        said
    }

    /// A picture of what is in sight, as a PNG.
    #[track_caller]
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// Nothing went wrong in the page so far.
    #[track_caller]
    pub(crate) fn assert_content(&mut self) {
        // What was said before this answer has come before it.
        self.value("true");
        assert!(self.complaints.is_empty(), "{}", self.complaints.join("\n"));
    }
}

/// The shell puts the pipes of its standard streams where the browser looks for them.
fn browser(profile: &TempDir) -> Command {
    let script = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(find().unwrap());
    command.args(["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"]);
    // It shows a page of our own only, and the sandbox needs what containers lack.
    command.args(["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]);
    // Whatever language the tests are run in.
    command.args(["--lang=en-US", "--accept-lang=en-US"]);
    // Nothing is fetched but the page.
    command.args(["--disable-background-networking", "--disable-component-update"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Drop for Page {
    fn drop(&mut self) {
        // Asked to close, it ends its own processes. If it does not listen, it is killed.
        self.calls += 1;
        let close = json!({"id": self.calls, "method": "Browser.close"});
        let asked = self.pipe.write_all(format!("{close}\0").as_bytes());
        while asked.is_ok() && self.messages.recv_timeout(PATIENCE).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
