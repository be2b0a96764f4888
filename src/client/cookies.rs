//! The cookies of one fetch (RFC 6265): a cookie that comes with a redirect is sent to where the redirect
//! leads, if it is meant for that server. The cookies are forgotten with the fetch.
//!
//! Many a page sets a cookie, redirects to itself, and does so for ever if the cookie does not come
//! back.

use std::time::SystemTime;

use url::{Host, Url};

use crate::http::ReplyHead;
use crate::limits::{COOKIE_BYTES_MAX, COOKIES_MAX};

/// The field that they are sent in.
pub(super) const COOKIE: &str = "Cookie";

/// What has been set so far, in that order.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

/// A cookie, and where it goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    name: String,
    value: String,
    /// A host, in the form in which URLs have it.
    domain: String,
    /// The hosts below `domain` get it, too.
    is_for_subdomains: bool,
    /// Begins with a slash.
    path: String,
    is_for_tls_only: bool,
}

impl Cookies {
    /// Takes the cookies that the reply to a request for `url` sets. One that is not UTF-8, is too long, or
    /// is for other servers is left out.
    pub(super) fn take(&mut self, head: &ReplyHead, url: &Url, now: SystemTime) {
        for field in head.all("Set-Cookie") {
            let Ok(text) = str::from_utf8(field) else { continue };
            let Some((cookie, is_over)) = Cookie::parse(text, url, now) else { continue };
            self.0.retain(|other| !other.has_the_place_of(&cookie));
            if !is_over {
                self.0.push(cookie);
            }
        }
        let surplus = self.0.len().saturating_sub(COOKIES_MAX);
        self.0.drain(..surplus);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the field in a request for `url`, to which the caller has `given` such fields. Of
    /// two cookies with one name, that of the server goes. `None`: there is nothing to be added.
    pub(super) fn field(&self, url: &Url, given: &[&str]) -> Option<String> {
        let mut sent: Vec<&Cookie> = self.0.iter().filter(|cookie| cookie.is_for(url)).collect();
        if sent.is_empty() {
            return None;
        }
        // Longer paths first, then by age (section 5.4).
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let is_set = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            sent.iter().any(|cookie| cookie.name == name)
        };
        let given = given.iter().flat_map(|field| field.split(';')).map(str::trim);
        let given = given.filter(|pair| !pair.is_empty() && !is_set(pair)).map(str::to_owned);
        let sent = sent.iter().map(|Cookie { name, value, .. }| format!("{name}={value}"));
        Some(given.chain(sent).collect::<Vec<_>>().join("; "))
    }
}

impl Cookie {
    /// Reads a `Set-Cookie` from the server of `url` (section 5.2): the cookie, and whether it has expired
    /// already, which is how a server deletes one. `None`: it is no cookie, or this server may not set
    /// it.
    fn parse(text: &str, url: &Url, now: SystemTime) -> Option<(Cookie, bool)> {
        if text.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return None;
        }
        let mut cookie = Cookie {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: url.host_str()?.to_owned(),
            is_for_subdomains: false,
            path: default_path(url),
            is_for_tls_only: false,
        };
        let (mut is_expired, mut has_age) = (false, None);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match &*name.trim().to_ascii_lowercase() {
                "domain" if !value.is_empty() => cookie.widen(value, url)?,
                "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
                "path" => cookie.path = default_path(url),
                "secure" => cookie.is_for_tls_only = true,
                "expires" => is_expired = date(value).map_or(is_expired, |date| date <= now),
                "max-age" => has_age = is_age(value).or(has_age),
                _ => {}
            }
        }
        // A page without TLS could overwrite the cookie of one with it.
        let is_for_another = cookie.is_for_tls_only && url.scheme() != "https";
        // Of the two, the age counts.
        let is_over = has_age.map_or(is_expired, |has_age| !has_age);
        (!is_for_another).then_some((cookie, is_over))
    }

    /// Makes it a cookie for all hosts of `domain`. `None`: the host of `url` is not in that domain, or
    /// that is one of the first level, in which others live, too.
    fn widen(&mut self, domain: &str, url: &Url) -> Option<()> {
        let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
        let host = url.host_str()?;
        self.is_for_subdomains = host != domain || matches!(url.host(), Some(Host::Domain(_)));
        let is_shared = !domain.contains('.') && host != domain;
        if is_shared || !is_within(host, &domain, url) {
            return None;
        }
        self.domain = domain;
        Some(())
    }

    fn is_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let is_for_host =
            host == self.domain || self.is_for_subdomains && is_within(host, &self.domain, url);
        let is_for_path = url.path().strip_prefix(&*self.path).is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        });
        is_for_host && is_for_path && (!self.is_for_tls_only || url.scheme() == "https")
    }

    fn has_the_place_of(&self, other: &Cookie) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }
}

/// Whether `host`, that of `url`, is `domain` or below it (section 5.1.3).
fn is_within(host: &str, domain: &str, url: &Url) -> bool {
    let is_below = || {
        let above = host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
        above && matches!(url.host(), Some(Host::Domain(_)))
    };
    host == domain || is_below()
}

/// The directory of `url` (section 5.1.4).
fn default_path(url: &Url) -> String {
    match url.path().rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((directory, _)) => directory.to_owned(),
    }
}

/// Whether a cookie of this age is to be kept. `None`: it is no number.
fn is_age(seconds: &str) -> Option<bool> {
    let (is_negative, digits) = match seconds.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, seconds),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| !is_negative && digits.bytes().any(|byte| byte != b'0'))
}

/// A date, with or without the hyphens that Netscape put into it: `Wed, 21-Oct-2015 07:28:00 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    let with_spaces = || httpdate::parse_http_date(&text.replace('-', " "));
    httpdate::parse_http_date(text).or_else(|_| with_spaces()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Reply, ReplyEvent};
    use crate::limits::ReplyLimits;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// Sets cookies from `from`.
    fn set(cookies: &mut Cookies, from: &str, fields: &[&str]) {
        let lines: String = fields.iter().map(|field| format!("Set-Cookie: {field}\r\n")).collect();
        let text = format!("HTTP/1.1 302 Found\r\n{lines}\r\n");
        let mut limits = ReplyLimits::default();
        limits.head_bytes_max *= 10;
        let mut reply = Reply::new("GET", limits).unwrap();
        let Ok(ReplyEvent::Head(head)) = reply.advance(&mut text.as_bytes(), false) else {
            panic!("{text}")
        };
        let now = httpdate::parse_http_date("Thu, 01 Jan 2026 00:00:00 GMT").unwrap();
        cookies.take(&head, &url(from), now);
    }

    /// Those of the cookies that `from` has set that are sent to `to`.
    fn goes(fields: &[&str], from: &str, to: &str) -> String {
        let mut cookies = Cookies::default();
        set(&mut cookies, from, fields);
        cookies.field(&url(to), &[]).unwrap_or_default()
    }

    #[test]
    fn a_cookie_goes_where_it_is_meant_to() {
        for (field, from, to, sent) in [
            ("a=b", "http://h/x", "http://h/y", "a=b"),
            ("a=b", "http://h/x", "http://other/", ""),
            ("a=b", "http://h:1/x", "https://h:2/x", "a=b"),
            (" a = b c=d ; HttpOnly; SameSite=Lax", "http://h/", "http://h/", "a=b c=d"),
            ("a=\"b\"", "http://h/", "http://h/", "a=\"b\""),
            ("a=", "http://h/", "http://h/", "a="),
            ("a", "http://h/", "http://h/", ""),
            ("=b", "http://h/", "http://h/", ""),
            ("a=b", "http://w.h.example/", "http://h.example/", ""),
            ("a=b", "http://h.example/", "http://w.h.example/", ""),
            ("a=b; Domain=h.example", "http://h.example/", "http://w.h.example/", "a=b"),
            ("a=b; domain=.H.Example", "http://w.h.example/", "http://x.h.example/", "a=b"),
            ("a=b; Domain=h.example", "http://w.h.example/", "http://xh.example/", ""),
            ("a=b; Domain=other.example", "http://h.example/", "http://other.example/", ""),
            ("a=b; Domain=w.h.example", "http://h.example/", "http://w.h.example/", ""),
            ("a=b; Domain=example", "http://h.example/", "http://other.example/", ""),
            ("a=b; Domain=localhost", "http://localhost/", "http://localhost/", "a=b"),
            ("a=b; Domain=127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1:8/", "a=b"),
            ("a=b; Domain=0.0.1", "http://127.0.0.1/", "http://1.0.0.1/", ""),
            ("a=b; Domain=", "http://h/", "http://h/", "a=b"),
            ("a=b", "http://h/x/y", "http://h/x/z", "a=b"),
            ("a=b", "http://h/x/y", "http://h/xz", ""),
            ("a=b; Path=/x", "http://h/", "http://h/x", "a=b"),
            ("a=b; Path=/x", "http://h/", "http://h/x/y?z", "a=b"),
            ("a=b; Path=/x/", "http://h/", "http://h/x", ""),
            ("a=b; Path=/x", "http://h/", "http://h/xy", ""),
            ("a=b; Path=x", "http://h/y/z", "http://h/y/", "a=b"),
            ("a=b; Secure", "https://h/", "http://h/", ""),
            ("a=b; Secure", "https://h/", "https://h/", "a=b"),
            ("a=b; Secure", "http://h/", "https://h/", ""),
            ("a=b; Max-Age=1", "http://h/", "http://h/", "a=b"),
            ("a=b; Max-Age=00", "http://h/", "http://h/", ""),
            ("a=b; Max-Age=-1", "http://h/", "http://h/", ""),
            ("a=b; Max-Age=x", "http://h/", "http://h/", "a=b"),
            ("a=b; Expires=Wed, 31 Dec 2025 23:59:59 GMT", "http://h/", "http://h/", ""),
            ("a=b; Expires=Wed, 31-Dec-2025 23:59:59 GMT", "http://h/", "http://h/", ""),
            ("a=b; Expires=Thu, 01-Jan-1970 00:00:00 GMT", "http://h/", "http://h/", ""),
            ("a=b; Expires=Fri, 02 Jan 2026 00:00:00 GMT", "http://h/", "http://h/", "a=b"),
            ("a=b; Expires=soon", "http://h/", "http://h/", "a=b"),
            (
                "a=b; Expires=Wed, 31 Dec 2025 23:59:59 GMT; Max-Age=9",
                "http://h/",
                "http://h/",
                "a=b",
            ),
        ] {
            assert_eq!(goes(&[field], from, to), sent, "{field} from {from} to {to}");
        }
    }

    #[test]
    fn a_newer_cookie_takes_the_place_of_an_older_one() {
        let mut cookies = Cookies::default();
        let (here, below) = (url("http://h/"), url("http://h/x/y"));
        set(&mut cookies, "http://h/", &["a=1", "b=2", "a=3; Path=/x"]);
        assert_eq!(cookies.field(&here, &[]).unwrap(), "a=1; b=2");
        assert_eq!(cookies.field(&below, &[]).unwrap(), "a=3; a=1; b=2");
        set(&mut cookies, "http://h/", &["a=4", "b=; Max-Age=0"]);
        assert_eq!(cookies.field(&here, &[]).unwrap(), "a=4");
        set(&mut cookies, "http://h/", &["a=5; Max-Age=0"]);
        assert_eq!(cookies.field(&here, &["c=6"]), None);
    }

    #[test]
    fn what_the_caller_gives_goes_along() {
        let mut cookies = Cookies::default();
        set(&mut cookies, "http://h/", &["a=1"]);
        let field = cookies.field(&url("http://h/"), &["b=2; a=0", "c=3;"]);
        assert_eq!(field.unwrap(), "b=2; c=3; a=1");
    }

    #[test]
    fn there_are_limits() {
        let mut cookies = Cookies::default();
        let long = format!("long={}", "x".repeat(COOKIE_BYTES_MAX));
        set(&mut cookies, "http://h/", &[&long]);
        assert!(cookies.0.is_empty());
        for number in 0..COOKIES_MAX + 5 {
            set(&mut cookies, "http://h/", &[&format!("c{number}=x")]);
        }
        assert_eq!((cookies.0.len(), &*cookies.0[0].name), (COOKIES_MAX, "c5"));
    }
}
