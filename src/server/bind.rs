//! From the text of an address, or a descriptor, to listening sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
#[cfg(unix)]
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::world::os::{self, Listener, OnlyV6};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// Attempts to find one port that is free on both loopback addresses, when the system may choose.
const SAME_PORT_ATTEMPTS: usize = 16;

/// Why an address could not be listened on.
///
/// ```
/// use helloop::server::{BindError, Server};
///
/// let error: BindError = Server::builder().bind("localhost:http").unwrap_err();
/// assert!(error.is_not_an_address());
/// let error = std::io::Error::from(error);
/// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
/// ```
#[derive(Debug)]
pub struct BindError {
    /// The address as far as it was worked out: what was asked for, or what it resolved to.
    address: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// It is not `HOST:PORT`.
    NotAnAddress,
    /// The host has no address.
    Unresolved(io::Error),
    /// The system said no.
    Refused(io::Error),
}

impl BindError {
    fn refused(address: String) -> impl FnOnce(io::Error) -> BindError {
        |error| BindError { address, cause: Cause::Refused(error) }
    }

    /// True if another program listens there.
    pub fn is_in_use(&self) -> bool {
        matches!(&self.cause, Cause::Refused(error) if error.kind() == io::ErrorKind::AddrInUse)
    }

    /// True if the port is below 1024, and the program may not listen there.
    pub fn is_privileged(&self) -> bool {
        let port = self.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        matches!(&self.cause, Cause::Refused(error) if is_denied(error))
            && port.is_some_and(|port| port < 1024)
    }

    /// True if the text was not an address at all: `HOST:PORT` or `unix:PATH` was expected.
    pub fn is_not_an_address(&self) -> bool {
        matches!(self.cause, Cause::NotAnAddress)
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.cause {
            Cause::NotAnAddress => write!(
                f,
                "`{address}` is not an address: HOST:PORT was expected, for example \
                 localhost:8080, 127.0.0.1:0 or [::]:80, or unix:PATH, for example unix:/run/hello.sock"
            ),
            Cause::Unresolved(error) => write!(f, "cannot resolve {address}: {error}"),
            Cause::Refused(_) if self.is_in_use() => {
                let what = if address.starts_with(UNIX) { "path" } else { "port" };
                write!(f, "cannot listen on {address}: the {what} is in use by another program")
            }
            Cause::Refused(error) => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::NotAnAddress => None,
            Cause::Unresolved(error) | Cause::Refused(error) => Some(error),
        }
    }
}

/// For programs whose errors are all of that type. The kind is what the system said, or `InvalidInput`.
impl From<BindError> for io::Error {
    fn from(error: BindError) -> io::Error {
        let kind = match &error.cause {
            Cause::NotAnAddress => io::ErrorKind::InvalidInput,
            Cause::Unresolved(cause) | Cause::Refused(cause) => cause.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// What listeners are to be like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// The permissions of the files of Unix sockets.
    pub(super) unix_mode: Option<u32>,
    /// Others may listen at the same address.
    pub(super) shares_port: bool,
}

/// Listens on every address that the texts name. All or nothing.
///
/// `localhost` is 127.0.0.1 and ::1 with one port, whatever the resolver says (RFC 6761 section
/// 6.3); a machine without IPv6 gets the first alone. `[::]` takes IPv4 too, unless `0.0.0.0` with
/// the same port is listed.
pub(super) fn bind_all(addresses: &[&str], how: How) -> Result<Vec<Listener>, BindError> {
    let parsed: Vec<Address<'_>> =
        addresses.iter().map(|text| split(text)).collect::<Result<_, _>>()?;
    let any_v4 = |port| parsed.contains(&Address::HostPort("0.0.0.0", port));
    let mut listeners = Vec::new();
    for address in &parsed {
        let (host, port) = match *address {
            Address::Unix(path) => {
                let listener = os::listen_unix(Path::new(path), how.unix_mode);
                let refused = BindError::refused(format!("{UNIX}{path}"));
                listeners.push(listener.map_err(refused)?);
                continue;
            }
            Address::HostPort(host, port) => (host, port),
        };
        match host {
            _ if host.eq_ignore_ascii_case("localhost") => {
                bind_localhost(port, how, &mut listeners)?;
            }
            "::" if !any_v4(port) => listeners.push(bind_dual(port, how)?),
            _ => bind_resolved(host, port, how, &mut listeners)?,
        }
    }
    Ok(listeners)
}

/// Listens once more where each of these listeners does. All or nothing.
pub(super) fn bind_beside(listeners: &[Listener]) -> Result<Vec<Listener>, BindError> {
    let beside = |listener: &Listener| {
        let name = || match (listener.local_addr(), listener.path()) {
            (Ok(address), _) => address.to_string(),
            (_, Some(path)) => format!("{UNIX}{}", path.display()),
            _ => "a lost address".into(),
        };
        os::listen_beside(listener).map_err(|error| BindError::refused(name())(error))
    };
    listeners.iter().map(beside).collect()
}

/// Takes over listening sockets that somebody else has opened. All or nothing.
#[cfg(unix)]
pub(super) fn take_all(
    descriptors: impl IntoIterator<Item: Into<OwnedFd>>,
) -> Result<Vec<Listener>, BindError> {
    let take = |descriptor: OwnedFd| {
        let address = format!("descriptor {}", descriptor.as_raw_fd());
        os::take_listener(descriptor).map_err(BindError::refused(address))
    };
    descriptors.into_iter().map(Into::into).map(take).collect()
}

/// What a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address<'a> {
    HostPort(&'a str, u16),
    /// A path.
    Unix(&'a str),
}

/// Takes `localhost:80`, `[::1]:80` and `unix:/run/hello.sock` apart. `unix:80` is a port of a host.
fn split(text: &str) -> Result<Address<'_>, BindError> {
    let not_an_address = || BindError { address: text.to_owned(), cause: Cause::NotAnAddress };
    if let Some(path) = text.strip_prefix(UNIX).filter(|path| path.contains('/')) {
        return Ok(Address::Unix(path));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(not_an_address)?;
    // `parse` takes a sign.
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or_else(not_an_address)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(host) if host.contains(':') => Ok(Address::HostPort(host, port)),
        None if !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']) => {
            Ok(Address::HostPort(host, port))
        }
        _ => Err(not_an_address()),
    }
}

fn bind_one(address: SocketAddr, only_v6: OnlyV6, how: How) -> Result<Listener, BindError> {
    let listen = if how.shares_port { os::listen_sharing } else { os::listen };
    listen(address, only_v6).map_err(BindError::refused(address.to_string()))
}

fn bind_resolved(
    host: &str,
    port: u16,
    how: How,
    listeners: &mut Vec<Listener>,
) -> Result<(), BindError> {
    let unresolved =
        |error| BindError { address: format!("{host}:{port}"), cause: Cause::Unresolved(error) };
    let mut addresses: Vec<SocketAddr> =
        (host, port).to_socket_addrs().map_err(unresolved)?.collect();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(unresolved(io::Error::other("the name has no address")));
    }
    for address in addresses {
        listeners.push(bind_one(address, OnlyV6::Always, how)?);
    }
    Ok(())
}

/// Every address of the machine, IPv6 and IPv4, with one socket where there is IPv6.
fn bind_dual(port: u16, how: How) -> Result<Listener, BindError> {
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    bind_one(v6, OnlyV6::Never, how).or_else(|error| {
        if !lacks_v6(&error) {
            return Err(error);
        }
        log::warn!("{error}; IPv4 only");
        bind_one(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), OnlyV6::Always, how)
    })
}

fn bind_localhost(port: u16, how: How, listeners: &mut Vec<Listener>) -> Result<(), BindError> {
    let mut attempts = 0;
    loop {
        let v4 =
            bind_one(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port), OnlyV6::Always, how)?;
        let chosen = v4.local_addr().map_or(port, |address| address.port());
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), chosen);
        attempts += 1;
        match bind_one(v6, OnlyV6::Always, how) {
            Ok(v6) => listeners.extend([v4, v6]),
            Err(error) if lacks_v6(&error) => {
                log::warn!("{error}; IPv4 only");
                listeners.push(v4);
            }
            // The port that the system chose for IPv4 is taken on IPv6: another one.
            Err(error) if port == 0 && error.is_in_use() && attempts < SAME_PORT_ATTEMPTS => {
                continue;
            }
            Err(error) => return Err(error),
        }
        return Ok(());
    }
}

/// True if the reason can only be that the machine has no IPv6: a port that is taken or forbidden
/// is refused in another way, and there is nothing else to say about a wildcard or loopback address.
fn lacks_v6(error: &BindError) -> bool {
    let known = [
        io::ErrorKind::AddrInUse,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::OutOfMemory,
        io::ErrorKind::QuotaExceeded,
    ];
    let out_of_descriptors =
        |error: &io::Error| matches!(error.raw_os_error(), Some(code) if code == 23 || code == 24);
    match &error.cause {
        Cause::Refused(error) => !known.contains(&error.kind()) && !out_of_descriptors(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind_all(addresses: &[&str]) -> Result<Vec<Listener>, BindError> {
        super::bind_all(addresses, How::default())
    }

    fn ports(listeners: &[Listener]) -> Vec<SocketAddr> {
        listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
    }

    #[test]
    fn localhost_is_both_families_with_one_port() {
        let listeners = bind_all(&["localhost:0"]).unwrap();
        let addresses = ports(&listeners);
        assert!(addresses[0].ip() == IpAddr::V4(Ipv4Addr::LOCALHOST));
        if let Some(v6) = addresses.get(1) {
            assert_eq!(*v6, SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), addresses[0].port()));
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        let first = bind_all(&["127.0.0.1:0"]).unwrap();
        let address = ports(&first)[0].to_string();
        let error = bind_all(&[&address]).unwrap_err();
        assert!(error.is_in_use());
        assert!(!error.is_not_an_address());
        let expected = format!("cannot listen on {address}: the port is in use by another program");
        assert_eq!(error.to_string(), expected);
        assert!(std::error::Error::source(&error).is_some(), "what the system said");
    }

    #[test]
    fn a_port_of_the_superuser_is_told_from_others() {
        let refused = |address: &str, errno| {
            let cause = Cause::Refused(io::Error::from_raw_os_error(errno));
            BindError { address: address.to_owned(), cause }.is_privileged()
        };
        let (eacces, eaddrinuse) = (13, 98);
        assert!(refused("[::]:80", eacces) && refused("127.0.0.1:1023", eacces));
        assert!(!refused("[::]:1024", eacces) && !refused("[::]:80", eaddrinuse));
    }

    #[test]
    fn one_taken_address_of_localhost_refuses_both() {
        let Ok(v6) = bind_all(&["[::1]:0"]) else { return };
        let port = ports(&v6)[0].port();
        let error = bind_all(&[&format!("localhost:{port}")]).unwrap_err();
        assert!(error.is_in_use(), "{error}");
        drop(bind_all(&[&format!("127.0.0.1:{port}")]).unwrap());
    }

    #[test]
    fn the_unspecified_address_takes_both_families() {
        let listeners = bind_all(&["[::]:0"]).unwrap();
        let port = ports(&listeners)[0].port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        if bind_all(&["[::1]:0"]).is_err() {
            return;
        }
        // Another program may take the port between the two, but not always.
        let listeners = (0..20).find_map(|_| {
            let port = ports(&bind_all(&["0.0.0.0:0"]).unwrap())[0].port();
            bind_all(&[&format!("0.0.0.0:{port}"), &format!("[::]:{port}")]).ok()
        });
        assert_eq!(listeners.map(|listeners| listeners.len()), Some(2));
    }

    #[test]
    fn the_unspecified_address_takes_both_families_but_for_a_port_of_its_own() {
        let bound = (0..20).find_map(|_| {
            let port = ports(&bind_all(&["[::]:0"]).unwrap())[0].port();
            let listeners = bind_all(&["0.0.0.0:0", &format!("[::]:{port}")]).ok()?;
            // Before the listeners are closed.
            Some(std::net::TcpStream::connect(("127.0.0.1", port)).map(|_| listeners.len()))
        });
        assert_eq!(bound.expect("not every port is taken meanwhile").unwrap(), 2);
    }

    #[test]
    fn an_address_without_a_family_is_told_from_one_that_is_refused() {
        let refused = |cause| BindError { address: "[::1]:80".to_owned(), cause };
        let lacks = |errno| lacks_v6(&refused(Cause::Refused(io::Error::from_raw_os_error(errno))));
        let (eafnosupport, eaddrnotavail) = (97, 99);
        assert!(lacks(eafnosupport) && lacks(eaddrnotavail));
        let (eacces, eaddrinuse, enfile, emfile) = (13, 98, 23, 24);
        assert!(![eacces, eaddrinuse, enfile, emfile].into_iter().any(lacks));
        assert!(!lacks_v6(&refused(Cause::Unresolved(io::ErrorKind::NotFound.into()))));
        assert!(!lacks_v6(&refused(Cause::NotAnAddress)));
    }

    #[test]
    fn beside_means_the_same_addresses_and_families() {
        for text in ["localhost:0", "[::]:0", "0.0.0.0:0"] {
            let first = bind_all(&[text]).unwrap();
            let second = bind_beside(&first).unwrap();
            let third = bind_beside(&first).unwrap();
            assert_eq!((ports(&second), ports(&third)), (ports(&first), ports(&first)));
            let only_v6 = |listener| socket2::SockRef::from(listener).only_v6().ok();
            for (one, other) in first.iter().zip(&second) {
                assert_eq!(only_v6(one), only_v6(other), "{text}");
            }
        }
    }

    #[test]
    fn another_program_does_not_get_a_shared_port_by_mistake() {
        let first = bind_all(&["127.0.0.1:0"]).unwrap();
        let _second = bind_beside(&first).unwrap();
        assert!(bind_all(&[&ports(&first)[0].to_string()]).unwrap_err().is_in_use());
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_examples() {
        for text in [
            "8080",
            "localhost",
            "localhost:",
            "localhost:+80",
            "localhost:65536",
            ":80",
            "::1:80",
            "[::1]",
            "[localhost]:80",
            "http://localhost:80",
            "local host:80",
            "",
            "unix:",
            "unix:hello.sock",
        ] {
            let error = bind_all(&[text]).unwrap_err();
            assert!(error.is_not_an_address(), "{text}: {error}");
            assert!(!error.is_in_use() && std::error::Error::source(&error).is_none());
            assert!(error.to_string().contains("for example localhost:8080"));
        }
    }
}
