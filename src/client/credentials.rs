//! The user name and the password in a URL: `http://user:password@host/`. They are taken out of it at
//! once, sent as Basic authentication (RFC 7617), and never shown.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

/// The field that they become.
pub(super) const AUTHORIZATION: &str = "Authorization";

/// Takes them out of `url`: the value of the field that they become. `None`: it has none.
pub(super) fn take_from(url: &mut Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    // A URL of the web has a host, and so may have no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// The text of a URL without the user name and the password that may be in it: for messages, logs,
/// and everything else that others may read.
///
/// It need not be a URL. If it is none, everything up to the last `@` is taken out, because there is no
/// telling where in it a password would end.
///
/// ```
/// use helloop::client::without_credentials;
///
/// assert_eq!(without_credentials("https://user:secret@host/@a"), "https://host/@a");
/// assert_eq!(without_credentials("https://user:sec/ret@host/"), "https://host/");
/// assert_eq!(without_credentials("https://host/a@b"), "https://host/a@b");
/// ```
pub fn without_credentials(url: &str) -> Cow<'_, str> {
    if !url.contains('@') {
        return url.into();
    }
    let begin = scheme_bytes(url);
    let rest = &url[begin..];
    let authority_bytes = match Url::parse(url) {
        Ok(url) if url.username().is_empty() && url.password().is_none() && url.has_host() => 0,
        Ok(url) if url.has_host() => rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()),
        _ => rest.len(),
    };
    match rest[..authority_bytes].rfind('@') {
        Some(at) => format!("{}{}", &url[..begin], &rest[at + 1..]).into(),
        None => url.into(),
    }
}

/// The length of the scheme, and of what is between it and the host.
fn scheme_bytes(url: &str) -> usize {
    let trimmed = url.trim_start_matches(|c: char| c <= ' ');
    let skipped = url.len() - trimmed.len();
    let Some(colon) = trimmed.find(':') else { return 0 };
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.\t\n\r".contains(c);
    let after = &trimmed[colon + 1..];
    let host = after.trim_start_matches(['/', '\\', '\t', '\n', '\r']);
    let has_slashes = host.len() < after.len();
    if has_slashes && trimmed[..colon].chars().all(is_scheme) {
        skipped + trimmed.len() - host.len()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_becomes_a_field_and_leaves_the_url() {
        for (url, pair, rest) in [
            ("http://u:p@h/a", Some("u:p"), "http://h/a"),
            ("http://u@h/", Some("u:"), "http://h/"),
            ("http://:p@h/", Some(":p"), "http://h/"),
            ("https://a%40b:c%3Ad%2F%FF@h:1/?q@r", Some("a@b:c:d/\u{ff}"), "https://h:1/?q@r"),
            ("http://a@b:c@h/", Some("a@b:c"), "http://h/"),
            ("http://@h/", None, "http://h/"),
            ("http://h/u:p@x", None, "http://h/u:p@x"),
        ] {
            let mut parsed = Url::parse(url).unwrap();
            let field = take_from(&mut parsed);
            let latin1 = |pair: &str| pair.chars().map(|c| c as u8).collect::<Vec<_>>();
            let expected =
                pair.map(|pair| format!("Basic {}", BASE64_STANDARD.encode(latin1(pair))));
            assert_eq!((field, parsed.as_str()), (expected, rest), "{url}");
        }
    }

    #[test]
    fn what_is_shown_of_a_url_has_no_secret_whatever_it_is() {
        for (text, shown) in [
            ("http://user:secret@h/a?b#c", "http://h/a?b#c"),
            ("HTTP://user:secret@h", "HTTP://h"),
            ("  https:\\\\user:secret@h\\a@b", "  https:\\\\h\\a@b"),
            ("http:/user:secret@h/", "http:/h/"),
            ("http:user:secret@h/", "h/"),
            ("ht\ntp://user:secret@h/", "ht\ntp://h/"),
            ("http://a@b:secret@h/", "http://h/"),
            ("http://user:secret@", "http://"),
            ("http://user:secret@:x/", "http://:x/"),
            ("http://user:sec/ret@h/", "http://h/"),
            ("http://user:sec?ret@h/", "http://h/"),
            ("http://user:sec#ret@h/", "http://h/"),
            ("ftp://user:secret@h/", "ftp://h/"),
            ("//user:secret@h/", "h/"),
            ("user:secret@h/", "h/"),
            ("user:secret@h", "h"),
            ("http://h/a@b", "http://h/a@b"),
            ("http://h:1/?x@y", "http://h:1/?x@y"),
            ("no URL", "no URL"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(text), shown, "{text}");
        }
    }

    #[test]
    fn no_text_around_a_secret_brings_it_out() {
        const BEGINNINGS: [&str; 8] =
            ["http://", "https:", "HTTP:/", " http:\\\\", "ht\ntp://", "http:\t//", "//", "ftp://"];
        const PIECES: [&str; 18] = [
            "SECRET", "SECRET", "SECRET", "@", "@", "h", ":", "/", "\\", "?", "#", " ", "\t", "\n",
            "%", "[", "ü", "1",
        ];
        let mut random = fastrand::Rng::with_seed(1);
        let mut with_secret = 0;
        for _ in 0..200_000 {
            let mut text = random.choice(BEGINNINGS).unwrap().to_owned();
            for _ in 0..random.usize(1..8) {
                text += random.choice(PIECES).unwrap();
            }
            let shown = without_credentials(&text).into_owned();
            let Ok(mut url) = Url::parse(&text) else { continue };
            let is_secret = |part: &str| part.to_ascii_uppercase().contains("SECRET");
            let [user, password] = [url.username(), url.password().unwrap_or_default()];
            let (has_secret, has_user) =
                (is_secret(user) || is_secret(password), !user.is_empty() || !password.is_empty());
            take_from(&mut url);
            if has_secret && !is_secret(url.as_str()) {
                with_secret += 1;
                assert!(!is_secret(&shown), "{text:?} is shown as {shown:?}");
            } else if !has_user {
                assert_eq!(shown, text, "there is nothing to hide");
            }
        }
        assert!(with_secret > 1_000, "only {with_secret} had a secret");
    }
}
