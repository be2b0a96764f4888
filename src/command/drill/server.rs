//! The server under the drill: it is started, restarted, and watched.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum;
use helloop::coroutine::Readable;
use helloop::event_loop::Handle;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use super::processes::{Process, find, is_any_left, listeners, other_ports};
use super::said::Said;
use super::trouble::{Trouble, last_words};

/// Between two looks at whether a server has come up.
const GLANCE: Duration = Duration::from_millis(10);

/// How long a server may take for its end after the drill.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// How long the end of a process may be behind that of its sockets, which it closes first.
const END_DELAY_MAX: Duration = Duration::from_secs(1);

/// What is needed to start one, again and again.
pub(super) struct Server {
    pub(super) handle: Handle,
    /// Program and arguments, filled in.
    pub(super) typed: Vec<String>,
    pub(super) port: u16,
    /// All ports of the drill.
    pub(super) ports: Vec<u16>,
    pub(super) limits: Limits,
    pub(super) way: Way,
    /// What it has printed.
    pub(super) said: Rc<RefCell<Said>>,
    /// The one that was started last; a successor that it started itself is not.
    child: Option<Child>,
}

/// How it is restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is ended by this signal, and then started anew.
    Anew(EndingSignal),
    /// By this command, with `{pid}` and `{port}`.
    Command(String),
}

/// Signals on which servers end in good order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EndingSignal {
    #[default]
    Term,
    Quit,
    Int,
    Hup,
    Usr1,
    Usr2,
    Winch,
}

impl EndingSignal {
    pub(super) fn name(self) -> &'static str {
        match self {
            EndingSignal::Term => "SIGTERM",
            EndingSignal::Quit => "SIGQUIT",
            EndingSignal::Int => "SIGINT",
            EndingSignal::Hup => "SIGHUP",
            EndingSignal::Usr1 => "SIGUSR1",
            EndingSignal::Usr2 => "SIGUSR2",
            EndingSignal::Winch => "SIGWINCH",
        }
    }

    fn number(self) -> Signal {
        match self {
            EndingSignal::Term => Signal::TERM,
            EndingSignal::Quit => Signal::QUIT,
            EndingSignal::Int => Signal::INT,
            EndingSignal::Hup => Signal::HUP,
            EndingSignal::Usr1 => Signal::USR1,
            EndingSignal::Usr2 => Signal::USR2,
            EndingSignal::Winch => Signal::WINCH,
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) start: Duration,
    pub(super) stop: Duration,
}

/// A process that can be waited for.
struct Child {
    pid: Pid,
    /// Readable when it has ended.
    end: Readable<OwnedFd>,
}

impl Server {
    pub(super) fn new(
        handle: &Handle,
        typed: Vec<String>,
        port: u16,
        limits: Limits,
        way: Way,
        said: &Rc<RefCell<Said>>,
    ) -> Server {
        let (handle, said) = (handle.clone(), Rc::clone(said));
        Server { handle, typed, port, ports: vec![port], limits, way, said, child: None }
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// When it does not come to listen.
    pub(super) async fn start(&mut self) -> Result<(), Trouble> {
        let (program, arguments) = self.typed.split_first().expect("it was checked");
        let cannot = |error: String| Trouble::CannotRun { program: program.clone(), error };
        let path = find(program).ok_or_else(|| cannot("there is no such program".to_owned()))?;
        let mut command = Command::new(path);
        command.arg0(program).args(arguments);
        self.child = Some(self.spawn(&mut command, &self.said).map_err(|e| cannot(e.to_string()))?);
        self.wait_until_up(&[]).await
    }

    /// Restarts it, and waits until it is there again. `begun` is called in the moment in which the restart begins.
    ///
    /// # Errors
    /// When it does not end, does not come back, or is the same as before.
    pub(super) async fn restart(&mut self, begun: impl FnOnce()) -> Result<(), Trouble> {
        let before = self.listeners().await?;
        let Some(main) = before.first() else { return Err(self.ended().await) };
        match self.way.clone() {
            Way::Anew(signal) => self.end(main, signal, begun).await?,
            Way::Command(command) => {
                let command = command
                    .replace("{pid}", &main.pid.to_string())
                    .replace("{port}", &self.port.to_string());
                self.run(&command, begun).await?;
                return self.wait_until_up(&before).await.map_err(Trouble::after_a_restart);
            }
        }
        self.start().await.map_err(Trouble::after_a_restart)
    }

    /// Whether it is still there.
    ///
    /// # Errors
    /// When it is not.
    pub(super) async fn check(&mut self) -> Result<(), Trouble> {
        let listeners = self.listeners().await?;
        let Some(main) = listeners.first() else { return Err(self.ended().await) };
        // A successor, perhaps: how it ends is of interest from now on.
        if self.child.as_ref().is_none_or(|child| child.pid.as_raw_nonzero().get() != main.pid) {
            self.child = self.child(main.pid).ok();
        }
        Ok(())
    }

    /// Ends it for good, so that it writes what it has not written yet. What does not end is killed later.
    pub(super) async fn finish(&mut self) {
        let limit = self.limits.stop.min(LAST_GRACE);
        if let Ok([main, ..]) = self.listeners().await.as_deref() {
            let _ = self.handle.timeout(limit, self.end(main, EndingSignal::Term, || ())).await;
        }
    }

    /// Sends it the signal, and waits for the end.
    async fn end(
        &self,
        main: &Process,
        signal: EndingSignal,
        begun: impl FnOnce(),
    ) -> Result<(), Trouble> {
        let mut child = self.child(main.pid).map_err(|error| system("pidfd_open", &error))?;
        let sent = pidfd_send_signal(child.end.get_ref(), signal.number());
        sent.map_err(|error| system(signal.name(), &error.into()))?;
        begun();
        let limit = self.limits.stop;
        match self.handle.timeout(limit, child.ended()).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let (signal, said) = (signal.name(), last_words(&self.said.borrow()));
                Err(Trouble::DidNotEnd { signal, limit, said })
            }
        }
    }

    /// Runs the command of the restart.
    async fn run(&self, text: &str, begun: impl FnOnce()) -> Result<(), Trouble> {
        let said = Rc::new(RefCell::new(Said::default()));
        let mut command = Command::new("/bin/sh");
        let spawned = self.spawn(command.arg("-c").arg(text), &said);
        let mut child = spawned.map_err(|error| system("/bin/sh", &error))?;
        begun();
        let limit = self.limits.stop;
        match self.handle.timeout(limit, child.ended()).await {
            Ok(how) if how == SUCCESS => Ok(()),
            Ok(how) => Err(Trouble::CommandFailed { how, said: last_words(&said.borrow()) }),
            Err(_) => Err(Trouble::CommandDidNotEnd { limit }),
        }
    }

    /// Waits until a process listens that is none of `before`, and a connection comes about.
    async fn wait_until_up(&mut self, before: &[Process]) -> Result<(), Trouble> {
        let handle = self.handle.clone();
        let limit = self.limits.start;
        if let Ok(outcome) = handle.timeout(limit, self.up(before)).await {
            return outcome;
        }
        let (port, said) = (self.port, last_words(&self.said.borrow()));
        if !self.listeners().await?.is_empty() {
            return Err(Trouble::NotRestarted { limit, said });
        }
        let ports = self.ports.clone();
        let elsewhere = self.blocking(move || other_ports(&ports)).await?;
        Err(Trouble::NeverCameUp { port, limit, elsewhere, said })
    }

    async fn up(&mut self, before: &[Process]) -> Result<(), Trouble> {
        loop {
            let now = self.listeners().await?;
            let is_new = |process: &Process| !before.iter().any(|it| it.is_same(process));
            if now.iter().any(is_new) && self.handle.open_connection(self.address()).await.is_ok() {
                return Ok(());
            }
            // A process that put itself into the background has ended well; and of a server that is replaced, the old
            // one may end as it likes.
            let failed =
                self.child.as_mut().and_then(Child::has_ended).filter(|how| how != SUCCESS);
            if let (true, Some(how)) = (now.is_empty(), failed)
                && (before.is_empty() || !self.blocking(is_any_left).await?)
            {
                return Err(Trouble::Ended { how, said: last_words(&self.said.borrow()) });
            }
            self.handle.sleep(GLANCE).await;
        }
    }

    /// Nobody listens any more: how it ended, if it did.
    async fn ended(&mut self) -> Trouble {
        let how = match &mut self.child {
            Some(child) => self.handle.timeout(END_DELAY_MAX, child.ended()).await.ok(),
            None => None,
        };
        let how = how.unwrap_or_else(|| "or stopped listening".to_owned());
        Trouble::Ended { how, said: last_words(&self.said.borrow()) }
    }

    async fn listeners(&self) -> Result<Vec<Process>, Trouble> {
        let port = self.port;
        self.blocking(move || listeners(port)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Trouble> {
        self.handle.run_blocking(work).await.map_err(|error| Trouble::System(error.to_string()))
    }

    fn spawn(&self, command: &mut Command, said: &Rc<RefCell<Said>>) -> io::Result<Child> {
        let writer = Said::pipe(said, &self.handle)?;
        // In a group of its own, so that Ctrl-C is for the drill.
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn()?;
        // What `Command` keeps of the pipe would be a writer for ever.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child(i32::try_from(child.id()).map_err(io::Error::other)?)
    }

    fn child(&self, pid: i32) -> io::Result<Child> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let end = Readable::new(&self.handle, pidfd_open(pid, PidfdFlags::empty())?)?;
        Ok(Child { pid, end })
    }
}

/// How a process ends that has done well.
const SUCCESS: &str = "with exit code 0";

fn system(what: &str, error: &io::Error) -> Trouble {
    Trouble::System(format!("{what}: {error}"))
}

impl Child {
    /// Waits for its end, and returns how that was.
    async fn ended(&mut self) -> String {
        let is_over = |end: &mut OwnedFd| match is_readable(end) {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        // It fails only where nothing can be waited for any more.
        let _ = self.end.read_with(is_over).await;
        self.how()
    }

    fn has_ended(&mut self) -> Option<String> {
        is_readable(self.end.get_ref()).then(|| self.how())
    }

    fn how(&self) -> String {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Ok(Some(status)) = waitid(WaitId::Pid(self.pid), options) else {
            return "in a way that is not known".to_owned();
        };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("with exit code {code}"),
            (None, signal) => format!("by signal {}", signal.unwrap_or_default()),
        }
    }
}

/// Of a pidfd: the process has ended.
fn is_readable(end: &OwnedFd) -> bool {
    let mut waited = [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)];
    poll(&mut waited, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
