//! Addresses to listen on, and the URLs that lead to them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to listen by default.
pub(crate) const DEFAULT: &str = "localhost:8080";

/// The variable that platforms set to the port which a program must listen on.
pub(crate) const PORT: &str = "PORT";

/// The value of an environment variable. An empty one counts as unset: that is what templates make of
/// a value that was not given.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Where to listen if only `PORT` may say something: on every address of the machine, IPv4
/// included, because a platform's proxy comes from outside.
pub(crate) fn from_environment() -> Result<String, String> {
    match variable(PORT) {
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

/// What is listened on, as URLs: one for each, in order. Both loopback addresses are `localhost` where
/// that was asked for; every other address stands for itself, because a name would promise
/// something else than was bound: `[::]` is every address of the machine.
///
/// `listen` is what was asked for, `bound` what came of it.
pub(crate) fn urls(listen: &[&str], bound: &[SocketAddr]) -> Vec<String> {
    let mut urls = Vec::new();
    for address in bound {
        let url = match is_localhost(listen, *address) {
            true => format!("http://localhost:{}/", address.port()),
            false => format!("http://{address}/"),
        };
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// Unix sockets, as they are typed.
pub(crate) fn unix(paths: &[PathBuf]) -> impl Iterator<Item = String> {
    paths.iter().map(|path| format!("unix:{}", path.display()))
}

/// Whether `bound` came of asking for `localhost`.
fn is_localhost(listen: &[&str], bound: SocketAddr) -> bool {
    let is_meant = |text: &&str| match text.rsplit_once(':') {
        Some((host, port)) => {
            let port: Option<u16> = port.parse().ok();
            host.eq_ignore_ascii_case("localhost")
                && (port == Some(bound.port()) || port == Some(0))
        }
        None => false,
    };
    let itself = bound.to_string();
    bound.ip().is_loopback() && listen.iter().any(is_meant) && !listen.contains(&&*itself)
}

/// A warning for a program that is the first process of its machine, which means of a container: a
/// loopback address in there cannot be reached from outside.
pub(crate) fn advice_for_a_container(bound: &[SocketAddr]) -> Option<String> {
    let port = bound.first()?.port();
    bound.iter().all(|address| address.ip().is_loopback()).then(|| {
        format!(
            "this is the first process here, as in a container, and listens on a loopback address: \
             nobody outside can connect. Listen on [::]:{port}, or set {PORT}={port}"
        )
    })
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
    fn an_unspecified_address_is_not_localhost() {
        let any = ["0.0.0.0:80", "[::]:80"];
        assert_eq!(urls_of(&any, &any), ["http://0.0.0.0:80/", "http://[::]:80/"]);
        assert_eq!(urls_of(&["[::]:0", "localhost:81"], &any[1..]), ["http://[::]:80/"]);
    }

    #[test]
    fn localhost_is_only_what_was_asked_for_by_that_name() {
        let asked = ["localhost:80", "127.0.0.1:81"];
        let bound = ["127.0.0.1:80", "[::1]:80", "127.0.0.1:81"];
        let expected = ["http://localhost:80/", "http://127.0.0.1:81/"];
        assert_eq!(urls_of(&asked, &bound), expected);
        assert_eq!(urls_of(&["localhost:0", "127.0.0.1:81"], &bound), expected);
        assert_eq!(
            urls_of(&["localhost:80", "10.0.0.1:80"], &["10.0.0.1:80"]),
            ["http://10.0.0.1:80/"]
        );
    }

    #[test]
    fn who_is_first_in_a_container_is_told_that_nobody_can_come() {
        let advice = |bound: &[&str]| {
            let bound: Vec<SocketAddr> = bound.iter().map(|text| text.parse().unwrap()).collect();
            advice_for_a_container(&bound)
        };
        let said = advice(&["127.0.0.1:8080", "[::1]:8080"]).unwrap();
        assert!(said.contains("[::]:8080") && said.contains("PORT=8080"), "{said}");
        assert_eq!(advice(&["[::]:8080"]), None);
        assert_eq!(advice(&["127.0.0.1:8080", "10.0.0.1:8080"]), None);
        assert_eq!(advice(&[]), None);
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
