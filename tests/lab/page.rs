use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Program, command};

/// At the limit a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that is watched. Dropping it kills it.
pub(crate) struct Lab {
    pub(crate) program: Program,
    /// Of the page.
    pub(crate) url: String,
    port: u16,
    /// `/TOKEN/`
    pub(crate) path: String,
}

impl Lab {
    /// `helloop lab` on free ports, with these flags.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Lab {
        Lab::started_by(&[&["lab", "--listen", "localhost:0"], flags].concat())
    }

    /// `helloop serve --lab`, with these flags.
    #[track_caller]
    pub(crate) fn beside_a_server(flags: &[&str]) -> Lab {
        let serve = ["serve", "--listen", "localhost:0", "--lab", "localhost:0"];
        Lab::started_by(&[&serve, flags].concat())
    }

    /// `helloop lab --sim`, with a seed or a recipe.
    #[track_caller]
    pub(crate) fn simulated(recipe: &str, flags: &[&str]) -> Lab {
        let lab = ["lab", "--page", "localhost:0", "--sim", recipe];
        let program = Program::start_lab(&mut command(&[&lab, flags].concat()));
        let url = program.url.clone();
        Lab::of(program, url)
    }

    #[track_caller]
    fn started_by(arguments: &[&str]) -> Lab {
        let mut program = Program::start(&mut command(arguments));
        let line = program.wait_for("Lab at http://127.0.0.1:");
        Lab::of(program, line.trim_start_matches("Lab at ").to_owned())
    }

    /// The lab of a program, with the address of its page.
    #[track_caller]
    pub(crate) fn of(program: Program, url: String) -> Lab {
        let rest = url.trim_start_matches("http://127.0.0.1:");
        let (port, token) = rest.split_once('/').unwrap();
        Lab { port: port.parse().unwrap(), path: format!("/{token}"), url, program }
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Asks the lab: the status, and the body as JSON if it is. `fields` are whole lines.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, target: &str, fields: &str) -> (u16, Value) {
        let mut stream = self.connect();
        let host = if fields.starts_with("Host:") { "" } else { "Host: localhost\r\n" };
        let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let request = format!(
            "{method} {target} HTTP/1.1\r\n{host}{fields}{length}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// What a button does.
    #[track_caller]
    pub(crate) fn press(&self, what: &str) {
        let (status, answer) = self.ask("POST", &format!("{}do/{what}", self.path), "");
        assert_eq!((status, &answer["ok"]), (200, &Value::Bool(true)), "{what}: {answer}");
    }

    /// The snapshot, as `helloop ps` gets it.
    #[track_caller]
    pub(crate) fn snapshot(&self) -> Value {
        let (status, snapshot) = self.ask("GET", &format!("{}snapshot", self.path), "");
        assert_eq!(status, 200, "{snapshot}");
        snapshot
    }

    /// Opens the stream of a page, and waits for its first snapshot.
    #[track_caller]
    pub(crate) fn open(&self) -> Page {
        let mut page = Page::new(self.ask_for_events());
        page.wait_for("snapshot", |_| true);
        page
    }

    /// The connection of a page that nobody reads.
    #[track_caller]
    pub(crate) fn ask_for_events(&self) -> TcpStream {
        let mut stream = self.connect();
        let request = format!("GET {}events HTTP/1.1\r\nHost: localhost\r\n\r\n", self.path);
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

/// A page, as far as it listens.
pub(crate) struct Page {
    messages: Receiver<(String, Value)>,
    /// Every event so far, in order.
    pub(crate) events: Vec<Value>,
    /// Everything so far.
    pub(crate) told: VecDeque<(String, Value)>,
    /// What it is shown: snapshots, and the changes since.
    shown: Value,
    connection: TcpStream,
}

impl Page {
    fn new(connection: TcpStream) -> Page {
        let (sender, messages) = channel();
        let ours = connection.try_clone().unwrap();
        // It ends with the lab, or with the page.
        connection.set_read_timeout(None).unwrap();
        thread::spawn(move || {
            let mut name = String::new();
            for line in BufReader::new(connection).lines().map_while(Result::ok) {
                // The lines of the chunked coding are neither.
                if let Some(event) = line.strip_prefix("event: ") {
                    event.clone_into(&mut name);
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let data = serde_json::from_str(data).unwrap();
                    if sender.send((name.clone(), data)).is_err() {
                        return;
                    }
                }
            }
        });
        let (events, told, shown) = (Vec::new(), VecDeque::new(), Value::Null);
        Page { messages, events, told, shown, connection: ours }
    }

    /// Listens until a message of this name is what is waited for.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (mut told, mut data) = match self.messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Disconnected) => panic!("the lab is gone"),
                Err(RecvTimeoutError::Timeout) => {
                    let last: Vec<_> = self.told.iter().rev().take(10).collect();
                    panic!("{name} was not told; the last were {last:#?}")
                }
            };
            // A test looks at all that a page is shown, and not at how it came to know it.
            if told == "snapshot" {
                self.shown = data.clone();
            } else if told == "changes" {
                apply(&mut self.shown, &data);
                (told, data) = ("snapshot".into(), self.shown.clone());
            }
            if told == "batch" {
                self.events.extend(data["events"].as_array().unwrap().iter().cloned());
            }
            self.told.push_back((told.clone(), data.clone()));
            if told == name && is_it(&data) {
                return data;
            }
        }
    }

    /// Listens until the gate holds the loop.
    #[track_caller]
    pub(crate) fn wait_for_stop(&mut self) -> Value {
        let stop = self.wait_for("gate", |gate| gate["paused"] == true);
        // With it comes how everything is now.
        self.wait_for("snapshot", |snapshot| snapshot["paused"] == true);
        stop
    }

    /// Listens until an event of this name is what is waited for.
    #[track_caller]
    pub(crate) fn wait_for_event(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let is_it = |event: &&Value| event["event"] == name && is_it(event);
        let mut seen = 0;
        loop {
            if let Some(event) = self.events[seen..].iter().find(is_it) {
                return event.clone();
            }
            seen = self.events.len();
            self.wait_for("batch", |_| true);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.connection.shutdown(std::net::Shutdown::Both);
    }
}

/// Puts changes into what is shown.
fn apply(shown: &mut Value, changes: &Value) {
    for (name, change) in changes.as_object().unwrap() {
        let keys: &[&str] = if name == "timers" { &["task", "deadline"] } else { &["id"] };
        let is = |item: &Value, named: &Value| keys.iter().all(|key| item[key] == named[key]);
        match name.as_str() {
            "tasks" | "sources" | "timers" => {
                let list = shown[name].as_array_mut().unwrap();
                let gone = change["gone"].as_array().unwrap();
                list.retain(|item| !gone.iter().any(|named| is(item, named)));
                for set in change["set"].as_array().unwrap() {
                    match list.iter_mut().find(|item| is(item, set)) {
                        Some(item) => {
                            item.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
                        }
                        None => list.push(set.clone()),
                    }
                }
            }
            "ready" => {
                let queue = shown[name].as_array_mut().unwrap();
                let dropped = usize::try_from(change["drop"].as_u64().unwrap()).unwrap();
                queue.drain(..dropped);
                queue.extend(change["push"].as_array().unwrap().iter().cloned());
            }
            _ => shown[name] = change.clone(),
        }
    }
}
