//! Listening sockets: opened at an address or a path, or taken over from whoever opened them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::{Listener, TcpListener, UnixListener, net};
use crate::limits::LISTEN_BACKLOG;

/// Whether an IPv6 listener takes IPv6 only (IPV6_V6ONLY, ipv6(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyV6 {
    /// IPv6 only, so that an IPv4 listener can have the same port.
    Always,
    /// `[::]` takes IPv4 as well ("dual stack").
    Never,
}

/// Opens a TCP listener: SO_REUSEADDR, and TCP_NODELAY, which accepted sockets inherit.
///
/// # Errors
/// What socket(2), bind(2) and listen(2) say.
pub fn listen(address: SocketAddr, only_v6: OnlyV6) -> io::Result<Listener> {
    open_listener(address, only_v6 == OnlyV6::Always, false)
}

/// As [`listen`], beside all that listen there and have asked for the same: SO_REUSEPORT, socket(7).
///
/// # Errors
/// As [`listen`]. The port of a program that did not ask for it stays refused.
pub fn listen_sharing(address: SocketAddr, only_v6: OnlyV6) -> io::Result<Listener> {
    open_listener(address, only_v6 == OnlyV6::Always, true)
}

/// Opens another listener at the address of `first` (SO_REUSEPORT, socket(7)): from now on the
/// kernel gives each new connection to one of the two. Connections in the queue of `first` stay there.
///
/// Linux spreads connections evenly; other kernels may give all of them to one listener. A Unix socket has one queue,
/// from which both take.
///
/// # Errors
/// What setsockopt(2), socket(2), bind(2), listen(2) and dup(2) say.
pub fn listen_beside(first: &Listener) -> io::Result<Listener> {
    if let Listener::Unix(first) = first {
        return first.try_clone().map(Listener::Unix);
    }
    let socket = SockRef::from(first);
    // Not earlier: `first` was refused its port if another program had it, so no other program is ever
    // joined by mistake.
    socket.set_reuse_port(true)?;
    let address = first.local_addr()?;
    let only_v6 = address.is_ipv6() && socket.only_v6()?;
    open_listener(address, only_v6, true)
}

fn open_listener(address: SocketAddr, only_v6: bool, shared: bool) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(tcp(socket.into()))
}

/// Opens a Unix listener (unix(7)) at a path, whose file has the permissions `mode`, or those that the umask leaves.
/// A socket that is there already, and on which nobody listens, is replaced: a process that was killed leaves one. When
/// the listener is dropped, and all that were opened beside it, the file is removed.
///
/// # Errors
/// What socket(2), bind(2), chmod(2) and listen(2) say. `AddrInUse`: another process listens there. `AlreadyExists`:
/// there is a file that is no socket. `InvalidInput`: the path is too long for a socket.
pub fn listen_unix(path: &Path, mode: Option<u32>) -> io::Result<Listener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(path, &address, error)?;
        socket.bind(&address)?;
    }
    let file = Arc::new(SocketFile::at(path)?);
    // Before it listens, so that nobody connects whom the mode is to keep out.
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.set_nonblocking(true)?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(Listener::Unix(UnixListener::new(OwnedFd::from(socket).into(), Some(file))))
}

/// Removes a socket that was left behind. The kernel knows whether somebody listens: it refuses a connection
/// where nobody does. (Two processes that find the same stale socket at the same moment may both replace it;
/// the later one is then reached.)
fn remove_stale(path: &Path, address: &SockAddr, in_use: io::Error) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = "a file is there that is no socket; remove it, or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose queue is full is not waited for.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(in_use),
    }
}

/// The file of a Unix listener, which goes with it.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// Absolute, so that it is the same file after chdir(2).
    path: PathBuf,
    /// Device and inode. By the time of the removal, another process may have put its own socket there.
    id: (u64, u64),
    /// Another process has taken the socket over.
    is_left: AtomicBool,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<SocketFile> {
        let path = absolute(path)?;
        let id = id_of(&path)?;
        Ok(SocketFile { path, id, is_left: AtomicBool::new(false) })
    }

    pub(super) fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_left = self.is_left.load(Ordering::Relaxed);
        if !is_left && id_of(&self.path).is_ok_and(|id| id == self.id) {
            // Best effort: the next one that listens there replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes over a listening socket that somebody else has opened: a service manager, an older process, or the standard
/// library. It does not block from now on (for all processes that share it), is closed by execve(2), and sends small
/// pieces at once (TCP_NODELAY, which accepted sockets inherit).
///
/// # Errors
/// `InvalidInput`: it is not a TCP or Unix socket on which listen(2) was called, and what it is instead. Or what
/// fcntl(2) and setsockopt(2) say.
pub fn take_listener(descriptor: OwnedFd) -> io::Result<Listener> {
    let unfit = |is: &str| {
        let text = format!("{is}: a TCP or Unix socket was expected on which listen(2) was called");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let socket = SockRef::from(&descriptor);
    match socket.r#type() {
        Ok(Type::STREAM) => {}
        Ok(_) => return Err(unfit("it is a socket without connections (UDP, for example)")),
        Err(_) => return Err(unfit("it is not a socket")),
    }
    // Other kernels do not say; accept(2) will.
    #[cfg(any(target_os = "android", target_os = "freebsd", target_os = "linux"))]
    if !socket.is_listener()? {
        return Err(unfit("it does not listen"));
    }
    let domain = socket.local_addr()?.domain();
    if ![Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain) {
        return Err(unfit(&format!("its address family is {}", i32::from(domain))));
    }
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    if domain == Domain::UNIX {
        return Ok(Listener::Unix(UnixListener::new(descriptor.into(), None)));
    }
    socket.set_tcp_nodelay(true)?;
    Ok(tcp(descriptor))
}

/// A TCP socket that listens and does not block.
fn tcp(socket: OwnedFd) -> Listener {
    Listener::Tcp(TcpListener(net::TcpListener::from_std(socket.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    /// A path in a new directory, which is removed with the first value.
    fn path() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        (directory, path)
    }

    #[test]
    fn the_file_of_a_unix_listener_has_its_mode_and_goes_with_the_last_one() {
        let (_directory, path) = path();
        let first = listen_unix(&path, Some(0o600)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(first.path(), Some(path.clone()));
        assert_eq!(first.local_addr().unwrap_err().kind(), io::ErrorKind::Unsupported);
        let second = listen_beside(&first).unwrap();
        drop(first);
        // The queue is the same.
        let _client = UnixStream::connect(&path).unwrap();
        let (_, peer) = second.accept().unwrap();
        assert!(peer.ip().is_unspecified());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_that_is_served_is_not() {
        let (_directory, path) = path();
        // The standard library leaves the file.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let served = listen_unix(&path, None).unwrap();
        let error = listen_unix(&path, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // Another process takes the path away: its socket stays when ours goes.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(served);
        UnixStream::connect(&path).unwrap();
        drop(other);
    }

    #[test]
    fn the_file_of_a_listener_that_another_process_has_stays() {
        let (_directory, path) = path();
        let old = listen_unix(&path, None).unwrap();
        let new = take_listener(old.as_fd().try_clone_to_owned().unwrap()).unwrap();
        old.leave_file();
        drop(old);
        UnixStream::connect(&path).unwrap();
        new.accept().unwrap();
    }

    #[test]
    fn who_shares_a_port_is_not_refused_by_another_who_does() {
        let any = "127.0.0.1:0".parse().unwrap();
        let first = listen_sharing(any, OnlyV6::Always).unwrap();
        let address = first.local_addr().unwrap();
        let _second = listen_sharing(address, OnlyV6::Always).unwrap();
        let refused = listen(address, OnlyV6::Always).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let alone = listen(any, OnlyV6::Always).unwrap();
        let refused = listen_sharing(alone.local_addr().unwrap(), OnlyV6::Always).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let (directory, path) = path();
        fs::write(&path, "precious").unwrap();
        let error = listen_unix(&path, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("a file is there that is no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let long = directory.path().join("x".repeat(200));
        assert_eq!(listen_unix(&long, None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_listener_that_blocks_is_taken_over_and_does_not_any_more() {
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        fcntl_setfd(&theirs, FdFlags::empty()).unwrap();
        let ours = take_listener(theirs.into()).unwrap();
        assert_eq!(ours.local_addr().unwrap(), address);
        assert_eq!(ours.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(fcntl_getfd(&ours).unwrap(), FdFlags::CLOEXEC);
        let _client = TcpStream::connect(address).unwrap();
        let crate::world::Stream::Tcp(accepted) = ours.accept().unwrap().0 else { panic!("TCP") };
        assert!(SockRef::from(&accepted).tcp_nodelay().unwrap());

        let (_directory, path) = path();
        let ours = take_listener(UnixListener::bind(&path).unwrap().into()).unwrap();
        assert_eq!(ours.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(ours);
        assert!(path.exists(), "whoever made the file removes it");
    }

    #[test]
    fn what_does_not_listen_is_refused_with_its_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let file = tempfile::tempfile().unwrap();
        let refused: [(OwnedFd, &str); 4] = [
            (file.into(), "it is not a socket"),
            (UdpSocket::bind("127.0.0.1:0").unwrap().into(), "it is a socket without connections"),
            (UnixDatagram::unbound().unwrap().into(), "it is a socket without connections"),
            (connected.into(), "it does not listen"),
        ];
        for (descriptor, says) in refused {
            let error = take_listener(descriptor).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }
}
