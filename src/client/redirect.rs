//! Where a redirect leads, and what goes along (the fetch standard, section 4.4 "HTTP-redirect
//! fetch", where it concerns clients without documents).

use std::borrow::Cow;
use std::fmt::Write;

use url::Url;

use super::credentials::without_credentials;
use super::error::{Error, ErrorKind, Phase};
use crate::http::ReplyHead;

/// Fields that are secrets between the caller and one origin.
pub(super) const SECRETS: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];

/// Fields that speak of a body.
pub(super) const OF_BODY: [&str; 4] =
    ["Content-Encoding", "Content-Language", "Content-Location", "Content-Type"];

/// Where `head` redirects to; `None` if it does not. A redirect status without `Location` is an answer
/// like others.
pub(super) fn target(head: &ReplyHead, url: &Url) -> Option<Result<Url, Error>> {
    if !matches!(head.status(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = head.get("Location")?;
    Some(join(location, url).map_err(|why| {
        let location = location.escape_ascii().to_string();
        let location = without_credentials(&location);
        let message = format!("{url} redirects to `{location}`: {why}");
        Error::new(ErrorKind::Redirect, Phase::Head, message)
    }))
}

fn join(location: &[u8], url: &Url) -> Result<Url, String> {
    let mut next = url.join(&text(location)).map_err(|error| error.to_string())?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err("neither http nor https".into());
    }
    if !next.username().is_empty() || next.password().is_some() {
        return Err("it has a user name or a password".into());
    }
    // RFC 9110 section 10.2.2: the fragment is inherited.
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Ok(next)
}

/// A `Location` as text. What is not UTF-8 was written in Latin-1 or the like, by a server that will
/// take its own bytes back: they are percent-encoded as they are, as browsers and curl do.
fn text(location: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(location) {
        return text.into();
    }
    let mut text = String::with_capacity(location.len() + 16);
    for byte in location {
        match byte {
            0x80.. => _ = write!(text, "%{byte:02X}"),
            _ => text.push(char::from(*byte)),
        }
    }
    text.into()
}

/// Whether what follows a redirect with this status is a GET: after 301 and 302 what was a POST, and after 303
/// everything but GET and HEAD; 307 and 308 keep the method and the body.
pub(super) fn becomes_get(status: u16, method: &str) -> bool {
    match status {
        301 | 302 => method == "POST",
        303 => !matches!(method, "GET" | "HEAD"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_relative_and_inherits_the_fragment() {
        let url = Url::parse("http://a/b/c?d#e").unwrap();
        let next = |location: &str| join(location.as_bytes(), &url).map(String::from);
        assert_eq!(next("/x").unwrap(), "http://a/x#e");
        assert_eq!(next("x?y#z").unwrap(), "http://a/b/x?y#z");
        assert_eq!(next("//h:1/").unwrap(), "http://h:1/#e");
        assert_eq!(next("https://a/").unwrap(), "https://a/#e");
        for bad in ["file:///etc/passwd", "http://u:p@a/", "http://", "javascript:1"] {
            assert!(next(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_location_goes_back_byte_for_byte() {
        let url = Url::parse("http://a/b").unwrap();
        let next = |location: &[u8]| join(location, &url).map(String::from);
        assert_eq!(next(b"/caf\xe9?\xfc=1#\xe4").unwrap(), "http://a/caf%E9?%FC=1#%E4");
        assert_eq!(next("/café".as_bytes()).unwrap(), "http://a/caf%C3%A9");
        assert_eq!(next(b"/%e9\xe9").unwrap(), "http://a/%e9%E9");
        // No host name looks like this.
        assert!(next(b"http://caf\xe9.example/").is_err());
        assert_eq!(next("http://café.example/".as_bytes()).unwrap(), "http://xn--caf-dma.example/");
    }
}
