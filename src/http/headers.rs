//! The header fields of a message.

use super::head::fields;
use std::fmt;

/// The header fields of a request, in the order in which they came. Names compare without case.
///
/// ```
/// use helloop::http::{Headers, Request, Version};
///
/// fn describe(request: &Request<'_>) -> String {
///     let headers: Headers<'_> = request.headers();
///     let accepted = headers.all("Accept").count();
///     let is_old = request.version() == Version::Http10;
///     format!("{} fields, {accepted} of them Accept, old: {is_old}", headers.len())
/// }
/// let request = Request::new("GET", "/")?;
/// assert_eq!(describe(&request), "0 fields, 0 of them Accept, old: false");
/// # Ok::<(), helloop::http::Error>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    /// Good field lines, each with its CRLF. They are taken apart on demand: most services read one field
    /// or none.
    pub(super) lines: &'a [u8],
    /// How many.
    pub(super) count: usize,
}

impl<'a> Headers<'a> {
    /// The value of the first field with this name, without white space around it.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The same as text. `None` if there is no such field, or its value is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// The values of all fields with this name, in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Names (as sent) and values of all fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        fields(self.lines).map(|(name, value)| {
            (str::from_utf8(name).expect("a field name is a token, thus ASCII"), value)
        })
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.iter().map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(fields).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_and_order_is_kept() {
        let headers = Headers { lines: b"A: 1\r\nb:\xff \r\na:2\r\n", count: 3 };
        assert_eq!(headers.get("a"), Some(&b"1"[..]));
        assert_eq!(headers.all("A").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.text("B"), None);
        assert_eq!((headers.len(), headers.is_empty()), (3, false));
        assert_eq!(headers.iter().last(), Some(("a", &b"2"[..])));
        assert_eq!(format!("{headers:?}"), r#"{"A": "1", "b": "\\xff", "a": "2"}"#);
    }
}
