//! Starting a server, waiting for its first answer, and ending it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::cores::{Cores, pin};
use crate::manifest::{Places, Stanza};
use crate::processes::Processes;
use crate::script::{Checked, Script};

/// How long a server may take to its first answer.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a server that is asked to end may take.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a server's output that are shown when it fails.
const OUTPUT_SHOWN_BYTES: usize = 600;

/// All that starts a server, filled in: a free port, and a folder of its own with its configuration in it.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) words: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) port: u16,
    pub(crate) work: TempDir,
}

impl Ready {
    pub(crate) fn new(stanza: &Stanza, here: &Path, cores: Cores) -> Result<Ready> {
        let work = tempfile::Builder::new().prefix("versus-").tempdir()?;
        let port = free_port()?;
        let places = Places {
            port,
            core: cores.server,
            work: work.path().into(),
            config: work.path().join("config"),
            ..Places::at_rest(here)
        };
        if let Some(config) = &stanza.config {
            let text = fs::read_to_string(here.join(config))
                .with_context(|| format!("{config} cannot be read"))?;
            fs::write(&places.config, places.fill(&text))?;
        }
        let words = shlex::split(&places.fill(&stanza.start)).context("odd quotes in `start`")?;
        let env = stanza.env.iter().map(|(name, value)| (name.clone(), places.fill(value)));
        Ok(Ready { words, env: env.collect(), port, work })
    }
}

/// A server that runs. Dropping it kills its process group.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) processes: Processes,
    /// From before the program was started to the last byte of its first answer.
    pub(crate) first_answer: Duration,
    /// Of the server, and of whatever measures it.
    pub(crate) work: TempDir,
}

impl Running {
    /// Starts a server on its core, under `wrapper` (the words of a tool that measures it), and
    /// waits until it has greeted.
    pub(crate) fn start(
        stanza: &Stanza,
        here: &Path,
        cores: Cores,
        wrapper: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Running> {
        let ready = Ready::new(stanza, here, cores)?;
        let mut words = wrapper(ready.work.path());
        words.extend(ready.words);
        let work = ready.work;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ready.port));
        let output = File::create(work.path().join("output"))?;
        let mut command = Command::new(words.first().context("`start` is empty")?);
        command
            .args(&words[1..])
            .envs(ready.env)
            .current_dir(here)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);

        pin(cores.server)?;
        let began = Instant::now();
        let spawned = command.spawn();
        pin(cores.generator)?;
        let child = spawned.with_context(|| format!("{} cannot be started", words[0]))?;
        let processes = Processes::of_group(child.id().cast_signed())?;
        let first_answer = Duration::ZERO;
        let mut running = Running { child, address, processes, first_answer, work };
        running.wait_for_greeting(began).map_err(|error| running.with_output(&error))?;
        running.processes = Processes::of_group(running.child.id().cast_signed())?;
        Ok(running)
    }

    fn wait_for_greeting(&mut self, began: Instant) -> Result<()> {
        let script = Script::new(&self.address.to_string(), &["World".into()], true);
        while began.elapsed() < START_PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended by itself ({status})");
            }
            // Nothing sleeps here: the time to the first answer is a figure.
            let Ok(mut stream) = TcpStream::connect(self.address) else { continue };
            match ask(&mut stream, &script) {
                Ok(()) => {
                    self.first_answer = began.elapsed();
                    return Ok(());
                }
                // A listener from which nothing is accepted yet, or not for long.
                Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        bail!("it did not answer within {START_PATIENCE:?}")
    }

    /// `error`, and what the server said last.
    pub(crate) fn with_output(&self, error: &anyhow::Error) -> anyhow::Error {
        let text = fs::read(self.work.path().join("output")).unwrap_or_default();
        let tail = &text[text.len().saturating_sub(OUTPUT_SHOWN_BYTES)..];
        match String::from_utf8_lossy(tail).trim() {
            "" => anyhow!("{error:#}"),
            tail => anyhow!("{error:#}; it said: {tail}"),
        }
    }

    /// Asks all of its processes but the first, which measures the others, to end, and waits for
    /// the first. Without a wrapper the first is the server itself, and is asked, too.
    pub(crate) fn end_wrapped(mut self) -> Result<TempDir> {
        let group = self.child.id().cast_signed();
        let processes = Processes::of_group(group)?;
        let others: Vec<i32> = processes.pids().iter().copied().filter(|&p| p != group).collect();
        let asked = if others.is_empty() { vec![group] } else { others };
        for signal in [Signal::TERM, Signal::KILL] {
            for pid in asked.iter().filter_map(|&pid| Pid::from_raw(pid)) {
                // A server that is gone already cannot be asked.
                let _ = kill_process(pid, signal);
            }
            let deadline = Instant::now() + END_PATIENCE;
            while Instant::now() < deadline {
                if self.child.try_wait()?.is_some() {
                    return Ok(std::mem::replace(&mut self.work, tempfile::tempdir()?));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        bail!("it does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            // It fails only if no process is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Asks the first request of `script` and checks the answer.
fn ask(stream: &mut TcpStream, script: &Script) -> Result<()> {
    stream.set_read_timeout(Some(START_PATIENCE))?;
    stream.write_all(script.request(0))?;
    let mut answer = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes)? {
            0 => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
            read => answer.extend_from_slice(&bytes[..read]),
        }
        match script.check(0, &answer) {
            Checked::Right(_) => return Ok(()),
            Checked::Partial => {}
            Checked::Wrong(reason) => bail!("its first answer is wrong, {reason}"),
        }
    }
}

/// A free port. Below those that the system gives to clients, so that no
/// connection of the generator can have it meanwhile.
fn free_port() -> Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(20_000..30_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}
