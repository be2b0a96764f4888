//! strace(1), attached to a program under test: it counts system calls, slows them down, or makes
//! them fail.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// At the limit a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// True if strace can attach itself here, which some kernels allow to root alone. Says why not: on
/// the machines of the project it must be able to.
pub(crate) fn has_strace() -> bool {
    static REFUSAL: LazyLock<Option<String>> = LazyLock::new(|| {
        let mut waiting = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let attached = Strace::attach_to(waiting.id(), "getpid:error=EPERM");
        let refusal = attached.map(|mut strace| strace.interrupt()).err();
        waiting.kill().unwrap();
        waiting.wait().unwrap();
        refusal
    });
    match &*REFUSAL {
        None => true,
        Some(refusal) if std::env::var_os("CI").is_some() => {
            panic!("{refusal}: apt-get install strace")
        }
        Some(refusal) => {
            println!("skipped: {refusal}");
            false
        }
    }
}

/// A strace that is attached to a program.
pub(crate) struct Strace {
    child: Child,
    /// What it says: the calls, one a line.
    pub(crate) lines: Receiver<String>,
}

impl Strace {
    /// Attached to all threads. `injection` is what strace(1) calls so:
    /// `accept4:error=EMFILE:when=1..3`. Calls are counted from now on. `Err` is why it cannot.
    pub(crate) fn attach_to(pid: u32, injection: &str) -> Result<Strace, String> {
        Strace::run(&["-f", "-p", &pid.to_string(), "-e", &format!("inject={injection}")])
    }

    /// With these arguments, `-p` among them.
    pub(crate) fn run(arguments: &[&str]) -> Result<Strace, String> {
        let mut child = Command::new("strace")
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no strace: {error}"))?;
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let strace = Strace { child, lines };
        match strace.lines.recv_timeout(PATIENCE) {
            // One, or "with 2 threads".
            Ok(first) if first.contains(" attached") => Ok(strace),
            Ok(first) => Err(first),
            Err(_) => Err("strace says nothing".into()),
        }
    }

    /// Lets the process go.
    pub(crate) fn interrupt(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // A test that has failed: the server must not stay traced.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
