//! URLs are often of one origin. What is in front of the path is parsed once for all of them: of
//! 5,800 instructions for `http://127.0.0.1:8080/1`, 1,070 are left (counted by callgrind).

use std::cell::RefCell;

use url::{ParseError, Url};

/// The origin of the last URL.
#[derive(Default)]
pub(super) struct LastOrigin(RefCell<Option<Known>>);

struct Known {
    /// What is in front of the path, as it was written: `http://localhost:8080`.
    text: String,
    /// What that means, with the path `/`.
    url: Url,
}

impl LastOrigin {
    /// As `Url::parse`.
    pub(super) fn parse(&self, text: &str) -> Result<Url, ParseError> {
        if let Some(known) = &*self.0.borrow()
            && let Some(path) = text.strip_prefix(&*known.text)
            && is_simple_path(path)
        {
            if path.contains(['?', '#']) {
                return known.url.join(path);
            }
            let mut url = known.url.clone();
            url.set_path(path);
            return Ok(url);
        }
        let url = Url::parse(text)?;
        if let Some(origin) = simple_origin(text) {
            let known = Known { text: origin.to_owned(), url: url.join("/")? };
            *self.0.borrow_mut() = Some(known);
        }
        Ok(url)
    }
}

/// What is in front of the path, if it is only that: no user, and nothing that a parser drops or
/// takes for something else (white space, `\`).
fn simple_origin(text: &str) -> Option<&str> {
    let scheme = ["http://", "https://"].into_iter().find(|scheme| text.starts_with(scheme))?;
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let after = &text[scheme.len()..];
    let bytes = after.bytes().position(|byte| is_end(&byte)).unwrap_or(after.len());
    let is_simple = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte);
    let authority = &after.as_bytes()[..bytes];
    (bytes > 0 && authority.iter().all(is_simple)).then(|| &text[..scheme.len() + bytes])
}

/// Whether this means the same after an origin and as a reference to that origin: it is a path,
/// and not another authority.
fn is_simple_path(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_absolute = matches!(bytes, [b'/'] | [b'/', b'!'..=b'.' | b'0'..=b'[' | b']'..=b'~', ..]);
    is_absolute && bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_is_in_front_of_the_path() {
        for (text, origin) in [
            ("http://a:80/b?c#d", "http://a:80"),
            ("https://a?b/c", "https://a"),
            ("http://a#/b", "http://a"),
            ("http://[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(simple_origin(text), Some(origin), "{text}");
        }
        let others =
            ["http:///a", "http://u@a/", "http://a\\b", "HTTP://a/", "ftp://a/", "http://ü/"];
        for text in
            others.into_iter().chain(["http://a b/", " http://a/", "http:/a/", "http://a\t/"])
        {
            assert_eq!(simple_origin(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_remembered_changes_no_result() {
        const PIECES: [&str; 24] = [
            "/", "/", "//", "\\", ".", "..", "?", "#", "@", ":", "a", "b%2fc", "%", "ü", " ", "\t",
            "\n", "http:", "http://", "[", "|", "\"", "&x=y", "~",
        ];
        const ORIGINS: [&str; 8] = [
            "http://a",
            "http://a:80",
            "http://a:8080",
            "https://a",
            "http://A",
            "http://[::1]:1",
            "http://127.1",
            "http://u@a",
        ];
        let mut random = fastrand::Rng::with_seed(1);
        let mut remembered = 0;
        for _ in 0..2_000 {
            let (origin, known) = (random.choice(ORIGINS).unwrap(), LastOrigin::default());
            for _ in 0..20 {
                let mut text = format!("{origin}/");
                for _ in 0..random.usize(..6) {
                    text += random.choice(PIECES).unwrap();
                }
                let goes_short = known.0.borrow().as_ref().is_some_and(|known| {
                    text.strip_prefix(&*known.text).is_some_and(is_simple_path)
                });
                remembered += u32::from(goes_short);
                assert_eq!(known.parse(&text), Url::parse(&text), "{text:?}");
            }
        }
        assert!(remembered > 1_000, "only {remembered} went the short way");
    }
}
