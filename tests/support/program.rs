//! A running `helloop`, and what can be done to it. Nothing here sleeps for luck: it waits for what
//! the program says, and gives up after a time that no test should need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// At the limit a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server says before its address.
const STARTED: &str = "Server started at ";

/// `helloop` with these arguments, and none of our environment that it would look at.
pub(crate) fn command(arguments: &[&str]) -> Command {
    command_of(env!("CARGO_BIN_EXE_helloop").as_ref(), arguments)
}

/// As [`command`], for another program.
pub(crate) fn command_of(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| name.starts_with("HELLOOP_") || name.contains("COLOR")) {
        command.env_remove(name);
    }
    command.env_remove("PORT").env_remove("RUST_LOG").args(arguments);
    command
}

/// A program that is expected to end by itself: exit code, standard output, standard error.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What a server on this port of the loopback interface answers.
#[track_caller]
pub(crate) fn get_from(port: u16, target: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A server. Dropping it kills it.
pub(crate) struct Program {
    child: Child,
    /// Lines that it said and nobody has looked at: of standard error, or of standard output if it
    /// was started so.
    lines: Receiver<String>,
    /// Lines so far.
    pub(crate) said: Vec<String>,
    /// What stood in the startup line.
    pub(crate) url: String,
    pub(crate) port: u16,
}

impl Program {
    /// Starts it and waits for the startup line.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Program {
        Program::of(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// As [`start`](Program::start), for a program that talks on standard output.
    #[track_caller]
    pub(crate) fn start_on_stdout(command: &mut Command) -> Program {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Program::new(child, stdout, STARTED)
    }

    /// As [`start`](Program::start), for `helloop lab --sim`, which is no server.
    #[track_caller]
    pub(crate) fn start_lab(command: &mut Command) -> Program {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        Program::new(child, stderr, "Lab at ")
    }

    /// As [`start_on_stdout`](Program::start_on_stdout), for one whose startup line has another text before
    /// the address.
    #[track_caller]
    pub(crate) fn start_saying(startup: &str, command: &mut Command) -> Program {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Program::new(child, stdout, startup)
    }

    /// As [`start_on_stdout`](Program::start_on_stdout), for a program that reads its input, too.
    #[track_caller]
    pub(crate) fn start_with_input(command: &mut Command) -> (Program, ChildStdin) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (Program::new(child, stdout, STARTED), stdin)
    }

    /// A child whose standard error is a pipe, once it has said its startup line.
    #[track_caller]
    pub(crate) fn of(mut child: Child) -> Program {
        let stderr = child.stderr.take().unwrap();
        Program::new(child, stderr, STARTED)
    }

    #[track_caller]
    fn new(child: Child, output: impl Read + Send + 'static, startup: &str) -> Program {
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut program = Program { child, lines, said: Vec::new(), url: String::new(), port: 0 };
        let line = program.wait_for(startup);
        program.url = line.trim_start_matches(startup).to_owned();
        let (_, rest) = program.url.rsplit_once(':').unwrap();
        // A Unix socket has none.
        program.port = rest.split('/').next().unwrap().parse().unwrap_or(0);
        program
    }

    /// Reads what it says until a line contains `text`, and returns that line.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("it never said {text:?}, but:\n{}", self.said.join("\n"));
            };
            self.said.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A connection to it.
    #[track_caller]
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `request`, which must ask to close, and returns everything that comes back.
    #[track_caller]
    pub(crate) fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks for a greeting, and checks it.
    #[track_caller]
    pub(crate) fn greet(&self) {
        let answer = self.ask(b"GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nHello, World!\n"), "{answer}");
    }

    /// Sends it the signal `name`, `TERM` or `INT`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended, and returns its exit code and its standard output, if that is a
    /// pipe; `said` is then everything that it said.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let status = self.wait();
        self.said.extend(self.lines.iter());
        let mut output = String::new();
        if let Some(stdout) = &mut self.child.stdout {
            stdout.read_to_string(&mut output).unwrap();
        }
        (status.code(), output)
    }

    /// As [`end`](Program::end), where another process goes on to write where this one did.
    #[track_caller]
    pub(crate) fn end_alone(&mut self) -> Option<i32> {
        self.wait().code()
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end; {:?}", self.said);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
