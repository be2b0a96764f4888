//! A new process takes the place of an old one, and nobody is refused: `helloop upgrade`, or SIGUSR2.
//!
//! The old one starts the new one with one end of a socket as its standard input, and sends its listening sockets through it
//! (SCM_RIGHTS, unix(7)). Both then accept from the same queues. Only when the new one says that it serves does the old one
//! drain. If the new one ends before, or says nothing in time, nothing has changed.

use std::env;
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use helloop::event_loop::Handle;
use helloop::signals::{SIGUSR2, on_signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    socketpair,
};

use super::incumbent::{Incumbent, Sockets};
use super::{admin, agent};

/// Set for a process that is to take over what comes on its standard input.
const TAKE_OVER: &str = "HELLOOP_TAKE_OVER";

/// Variables that were meant for the old process alone.
const NOT_INHERITED: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// Time within which a new process has to serve. At the limit it is killed, and the old one goes on.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Descriptors in one message: one loop listens at few addresses. The kernel's limit is 253.
const DESCRIPTORS_MAX: usize = 64;

/// What a message of descriptors is about.
const LOOP: &[u8] = b"loop";
const ADMIN: &[u8] = b"admin";
const AGENT: &[u8] = b"agent";
const END: &[u8] = b"end";

/// What the new process says once it serves.
const SERVING: &[u8] = b"serving";

/// The process whose place this one takes.
#[derive(Debug)]
pub(crate) struct Predecessor {
    socket: OwnedFd,
}

impl Predecessor {
    /// Receives what the one that started this process has sent, if it has.
    ///
    /// # Errors
    /// When it has gone meanwhile, or speaks another language.
    pub(crate) fn from_environment() -> io::Result<Option<(Predecessor, Sockets)>> {
        if env::var_os(TAKE_OVER).is_none() {
            return Ok(None);
        }
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        let sockets = receive(socket.as_fd())
            .map_err(|error| io::Error::new(error.kind(), format!("cannot take over: {error}")))?;
        Ok(Some((Predecessor { socket }, sockets)))
    }

    /// From now on this process serves, and the other one may drain.
    pub(crate) fn tell(&self) {
        if let Err(error) = send(&self.socket, SERVING, SendFlags::NOSIGNAL) {
            log::warn!("the process before does not hear that it can drain: {error}");
        }
    }
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<Sockets> {
    let mut sockets = Sockets::default();
    loop {
        let (what, descriptors) = receive_message(socket)?;
        match &*what {
            LOOP => sockets.loops.push(descriptors),
            ADMIN => sockets.admin = descriptors,
            AGENT => sockets.agent = descriptors,
            END => return Ok(sockets),
            _ => return Err(io::Error::other("standard input is no process to take over from")),
        }
    }
}

fn receive_message(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((text[..received.bytes].to_vec(), descriptors))
}

/// How this process was started, and how the next one will be.
#[derive(Clone, Debug)]
pub(crate) struct Successor {
    /// `None`: the system does not say which program this is, as where /proc is not mounted.
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
}

impl Successor {
    /// To be called early: by the time it is needed, another file may stand in the place of the program's, and that is
    /// the one which is meant.
    pub(crate) fn of_this_process() -> Successor {
        let program = env::current_exe().ok();
        Successor { program, arguments: env::args_os().skip(1).collect() }
    }

    /// Starts it, hands `sockets` over, and waits until it serves. Returns the number of its process. It blocks.
    ///
    /// # Errors
    /// When it does not come to serve: a sentence. It is gone then.
    pub(crate) fn start(&self, sockets: &Sockets) -> Result<u32, String> {
        let Some(program) = &self.program else {
            return Err("the system does not say which program this is (is /proc mounted?)".into());
        };
        log::info!("SIGUSR2: starting {} as a successor", program.display());
        let cannot = |error: io::Error| format!("cannot start {}: {error}", program.display());
        let (ours, theirs) = pair().map_err(cannot)?;
        let mut command = Command::new(program);
        command.args(&self.arguments).env(TAKE_OVER, "1").stdin(Stdio::from(theirs));
        NOT_INHERITED.iter().for_each(|name| _ = command.env_remove(name));
        let mut child = command.spawn().map_err(cannot)?;
        // It has the other end of the socket alone: its end is the end of the socket.
        drop(command);
        let sent = send_all(ours.as_fd(), sockets);
        match sent.and_then(|()| wait_until_it_serves(ours.as_fd())) {
            Ok(true) => Ok(child.id()),
            Ok(false) => {
                Err(format!("it does not serve after {START_TIMEOUT:?}{}", end(&mut child)))
            }
            Err(error) => Err(format!("it ended before it served ({error}){}", end(&mut child))),
        }
    }
}

impl Incumbent {
    /// From now on SIGUSR2 starts a successor.
    ///
    /// # Errors
    /// When there is no descriptor for the signal.
    pub(crate) fn arrange(self: Rc<Self>, handle: &Handle) -> io::Result<()> {
        let on_loop = handle.clone();
        on_signal(handle, SIGUSR2, move || {
            if let Err(error) = self.clone().begin(&on_loop) {
                log::error!("SIGUSR2: no successor is started: {error}");
            }
        })?;
        Ok(())
    }

    fn begin(self: Rc<Self>, handle: &Handle) -> io::Result<()> {
        if self.ending.is_draining() {
            return Err(io::Error::other("it drains already"));
        }
        if self.is_busy.get() {
            return Err(io::Error::other("one is on its way"));
        }
        if std::process::id() == 1 {
            return Err(io::Error::other("a container ends with its first process, which this is"));
        }
        let loops = self.ending.sockets()?;
        let admin = self.admin.borrow().as_ref().map_or(Ok(Vec::new()), admin::Open::sockets)?;
        let agent = self.agent.borrow().as_ref().map_or(Ok(Vec::new()), agent::Open::sockets)?;
        let (sockets, successor) = (Sockets { loops, admin, agent }, self.successor.clone());
        self.is_busy.set(true);
        // Starting a program blocks, and so does waiting for it.
        let started = handle.run_blocking(move || successor.start(&sockets));
        drop(handle.spawn(async move {
            match started.await {
                Ok(Ok(pid)) => self.give_way(pid),
                Ok(Err(text)) => log::error!("the successor: {text}; this one goes on"),
                Err(error) => log::error!("the successor: {error}; this one goes on"),
            }
            self.is_busy.set(false);
        }));
        Ok(())
    }

    fn give_way(&self, pid: u32) {
        self.supervisor.main_process(pid);
        self.admin.take().into_iter().for_each(admin::Open::hand_over);
        self.agent.take().into_iter().for_each(agent::Open::hand_over);
        self.ending.hand_over(pid);
    }
}

/// Ends it, and says how it ended.
fn end(child: &mut Child) -> String {
    // One that has ended by itself keeps its own exit status.
    let _ = child.kill();
    child.wait().map_or(String::new(), |status| format!(": {status}"))
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (unix, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socketpair(unix, kind, SocketFlags::CLOEXEC, None)?)
}

fn send_all(socket: BorrowedFd<'_>, sockets: &Sockets) -> io::Result<()> {
    for descriptors in &sockets.loops {
        send_message(socket, LOOP, descriptors)?;
    }
    send_message(socket, ADMIN, &sockets.admin)?;
    send_message(socket, AGENT, &sockets.agent)?;
    send_message(socket, END, &[])
}

fn send_message(socket: BorrowedFd<'_>, text: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        let text = format!("a loop listens on more than {DESCRIPTORS_MAX} sockets");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    sendmsg(socket, &[IoSlice::new(text)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// False: it says nothing in time.
fn wait_until_it_serves(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let timeout = Timespec::try_from(START_TIMEOUT).map_err(io::Error::other)?;
    let mut waited = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut waited, Some(&timeout)))? == 0 {
        return Ok(false);
    }
    let mut text = [0; 16];
    let (_, length) = retry_on_intr(|| recv(socket, &mut text[..], RecvFlags::empty()))?;
    match &text[..length] == SERVING {
        true => Ok(true),
        false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed its standard input")),
    }
}
