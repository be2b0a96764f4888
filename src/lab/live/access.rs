//! What may look at the loop, and what may hold it: a page on this machine that knows the token, and no
//! request that another page in the same browser has caused.

use std::net::IpAddr;

use crate::http::Status;
use crate::server::OwnedRequest;

/// Bytes of the random part of a lab's address.
const TOKEN_BYTES: usize = 16;

/// A word that cannot be guessed, for a URL.
///
/// # Errors
/// When the system has no randomness.
pub(super) fn token() -> std::io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The path of the request behind its token, or why it is turned away.
pub(super) fn admitted<'a>(
    request: &'a OwnedRequest,
    token: &str,
) -> Result<&'a str, (Status, &'static str)> {
    if !is_for_this_machine(request) {
        return Err((Status::FORBIDDEN, "the lab is for this machine alone"));
    }
    let path = request.path().strip_prefix('/').and_then(|path| path.split_once('/'));
    match path {
        Some((given, path)) if given == token => Ok(path),
        _ => Err((Status::NOT_FOUND, "there is nothing here: the address has a secret part")),
    }
}

/// True if the request was sent to this machine by a name of its own. A page from elsewhere, whose
/// name leads here (DNS rebinding), has another one.
fn is_for_this_machine(request: &OwnedRequest) -> bool {
    request.header("Host").is_some_and(is_loopback)
}

/// Why a request may order nothing.
pub(super) fn may_not_order(request: &OwnedRequest, is_read_only: bool) -> Option<&'static str> {
    if !is_from_own_page(request) {
        return Some("only the lab's own page may do this");
    }
    is_read_only.then_some("this lab is for looking only (--read-only)")
}

/// True unless the browser says that another site's page has made it send the request.
fn is_from_own_page(request: &OwnedRequest) -> bool {
    let host = request.header("Host").unwrap_or_default();
    let is_own_origin = |origin: &str| origin.strip_prefix("http://") == Some(host);
    let is_own_site = |site: &str| matches!(site, "same-origin" | "none");
    let holds = |name, is_own: &dyn Fn(&str) -> bool| match request.headers().get(name) {
        None => true,
        Some(value) => str::from_utf8(value).is_ok_and(is_own),
    };
    holds("Origin", &is_own_origin) && holds("Sec-Fetch-Site", &is_own_site)
}

/// `localhost`, or a loopback address, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_names() {
        for host in ["localhost", "LocalHost:80", "127.0.0.1:80", "127.1.2.3", "[::1]:80", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "[::2]",
            "127.0.0.1.nip.io",
            "[::1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let [one, other] = [token().unwrap(), token().unwrap()];
        assert_eq!(one.len(), 2 * TOKEN_BYTES);
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
