//! Where coroutines listen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address that [`Handle::start_server`](crate::event_loop::Handle::start_server) takes: a `SocketAddr`; an IP address and
/// a port; or a text. A text is `localhost:PORT`, which is 127.0.0.1 and ::1 with the same port (RFC 6761 section
/// 6.3), or an IP address and a port, `[::1]:80`. Names are for [`Handle::resolve`](crate::event_loop::Handle::resolve).
///
/// ```
/// use helloop::coroutine::ListenOn;
///
/// assert_eq!("localhost:80".addresses()?.len(), 2);
/// assert_eq!(([0, 0, 0, 0], 80).addresses()?, ["0.0.0.0:80".parse().unwrap()]);
/// assert!("example.com:80".addresses().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ListenOn {
    /// The addresses, at least one. If the first has port 0, all others get the port that it was given.
    ///
    /// # Errors
    /// `InvalidInput`: it is not an address.
    fn addresses(&self) -> io::Result<Vec<SocketAddr>>;
}

impl ListenOn for SocketAddr {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![*self])
    }
}

impl<I: Into<IpAddr> + Copy> ListenOn for (I, u16) {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::new(self.0.into(), self.1)])
    }
}

impl ListenOn for str {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some((host, port)) = self.rsplit_once(':')
            && host.eq_ignore_ascii_case("localhost")
            && let Ok(port) = port.parse()
        {
            let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Ok(both.map(|ip| SocketAddr::new(ip, port)).to_vec());
        }
        let address = self.parse().map_err(|_| {
            let text = format!(
                "`{self}` is not an address to listen on: localhost:PORT, or an IP address and a port, \
                 was expected, for example localhost:0 or [::1]:8080"
            );
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        Ok(vec![address])
    }
}

impl ListenOn for String {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().addresses()
    }
}

impl<T: ListenOn + ?Sized> ListenOn for &T {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).addresses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_addresses_or_refused_by_name() {
        let both = "LocalHost:80".addresses().unwrap();
        assert_eq!(both, ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        assert_eq!(([127, 0, 0, 1], 7).addresses().unwrap(), ["127.0.0.1:7".parse().unwrap()]);
        assert_eq!("[::1]:7".to_owned().addresses().unwrap(), ["[::1]:7".parse().unwrap()]);
        for text in ["localhost", "localhost:", "localhost:99999", "example.com:80", "80", ""] {
            let error = text.addresses().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().starts_with(&format!("`{text}` is not an address")));
        }
    }
}
