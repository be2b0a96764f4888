//! Addresses to listen on, and the URLs that lead to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where to listen if nobody says anything.
pub(crate) const DEFAULT: &str = "localhost:8080";

/// The variable that platforms set to the port which a program must listen on.
pub(crate) const PORT: &str = "PORT";

/// Where to listen if only `PORT` may say something: on every address of the machine, IPv4
/// included, because a platform's proxy comes from outside.
pub(crate) fn from_environment() -> Result<String, String> {
    match std::env::var_os(PORT) {
        None => Ok(DEFAULT.into()),
        Some(port) => from_port(&port.to_string_lossy()),
    }
}

fn from_port(port: &str) -> Result<String, String> {
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if is_number => Ok(format!("[::]:{port}")),
        _ => Err(format!(
            "the environment variable {PORT} is {port:?}: a number from 0 to 65535 was expected, \
             for example {PORT}=8080"
        )),
    }
}

/// The URLs under which a person finds the server: one for each, in order.
///
/// `listen` is what was asked for, `bound` what came of it.
pub(crate) fn urls(listen: &[&str], bound: &[SocketAddr]) -> Vec<String> {
    let asked_for_localhost = listen.iter().any(|text| {
        let host = text.rsplit_once(':').map_or(*text, |(host, _)| host);
        host.eq_ignore_ascii_case("localhost")
    });
    let mut urls = Vec::new();
    for address in bound {
        let url = url(*address, asked_for_localhost);
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// An unspecified address cannot be visited, but this machine's own name leads to it.
fn url(address: SocketAddr, asked_for_localhost: bool) -> String {
    let (ip, port) = (address.ip(), address.port());
    let is_localhost = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if ip.is_unspecified() || (asked_for_localhost && is_localhost.contains(&ip)) {
        return format!("http://localhost:{port}/");
    }
    format!("http://{address}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls_of(listen: &[&str], bound: &[&str]) -> Vec<String> {
        let bound: Vec<SocketAddr> = bound.iter().map(|text| text.parse().unwrap()).collect();
        urls(listen, &bound)
    }

    #[test]
    fn both_families_of_localhost_are_one_url() {
        let both = ["127.0.0.1:8080", "[::1]:8080"];
        assert_eq!(urls_of(&["localhost:8080"], &both), ["http://localhost:8080/"]);
        assert_eq!(urls_of(&["LocalHost:0"], &both[..1]), ["http://localhost:8080/"]);
    }

    #[test]
    fn an_address_is_shown_as_it_was_asked_for() {
        assert_eq!(urls_of(&["127.0.0.1:0"], &["127.0.0.1:81"]), ["http://127.0.0.1:81/"]);
        assert_eq!(urls_of(&["[::1]:0"], &["[::1]:81"]), ["http://[::1]:81/"]);
    }

    #[test]
    fn an_unspecified_address_is_shown_as_one_to_visit() {
        let any = ["0.0.0.0:80", "[::]:80", "[::]:81"];
        let expected = ["http://localhost:80/", "http://localhost:81/"];
        assert_eq!(urls_of(&["0.0.0.0:80", "[::]:80", "[::]:81"], &any), expected);
    }

    #[test]
    fn a_port_is_a_number() {
        assert_eq!(from_port("8080").as_deref(), Ok("[::]:8080"));
        assert_eq!(from_port("0").as_deref(), Ok("[::]:0"));
        for text in ["", "http", "+80", "65536", "80 ", "-1"] {
            let error = from_port(text).unwrap_err();
            assert!(error.contains("PORT") && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
