//! Where a redirect leads, and what goes along (the fetch standard, section 4.4 "HTTP-redirect
//! fetch", where it concerns clients without documents).

use url::Url;

use super::error::{Error, ErrorKind, Phase};
use super::request::Job;
use crate::http::ReplyHead;

/// Fields that are secrets between the caller and one origin.
const SECRETS: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];

/// Fields that speak of a body.
const OF_BODY: [&str; 4] =
    ["Content-Encoding", "Content-Language", "Content-Location", "Content-Type"];

/// Where `head` sends us; `None` if it does not. A redirect status without `Location` is an answer
/// like others.
pub(super) fn target(head: &ReplyHead, url: &Url) -> Option<Result<Url, Error>> {
    if !matches!(head.status(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = head.get("Location")?;
    Some(join(location, url).map_err(|why| {
        let location = location.escape_ascii();
        let message = format!("{url} redirects to `{location}`: {why}");
        Error::new(ErrorKind::Redirect, Phase::Head, message)
    }))
}

fn join(location: &[u8], url: &Url) -> Result<Url, String> {
    let location = str::from_utf8(location).map_err(|_| "not a URL")?;
    let mut next = url.join(location).map_err(|error| error.to_string())?;
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

impl Job {
    /// Makes this the request that follows a redirect with `status` to `next`.
    ///
    /// A POST becomes a GET after 301 and 302, and everything but GET and HEAD after 303; 307 and 308
    /// keep the method and the body. Secrets go to the origin for which they were given, and to no
    /// other, be it only the same host without TLS.
    pub(super) fn redirect(&mut self, status: u16, next: Url) {
        let becomes_get = match status {
            301 | 302 => self.method == "POST",
            303 => !matches!(&*self.method, "GET" | "HEAD"),
            _ => false,
        };
        if becomes_get {
            self.method = "GET".into();
            self.body = None;
            self.drop_headers(&OF_BODY);
        }
        if next.origin() != self.url.origin() {
            self.drop_headers(&SECRETS);
        }
        self.url = next;
    }

    fn drop_headers(&mut self, names: &[&str]) {
        self.headers.retain(|(name, _)| !names.iter().any(|drop| drop.eq_ignore_ascii_case(name)));
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
}
