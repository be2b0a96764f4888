//! Lines of JSON, in ASCII: what a peer or a file says cannot send escapes to a terminal.

use std::fmt::Write;

use helloop::watch::json::write_text;

/// One object on one line, its members in the order in which they are given.
#[derive(Debug)]
pub(crate) struct Object {
    /// It begins with `{`, and has no end yet.
    text: String,
}

impl Object {
    pub(crate) fn new() -> Object {
        Object { text: "{".into() }
    }

    /// A text, or `null`.
    pub(crate) fn text(&mut self, name: &str, value: Option<&str>) {
        self.name(name);
        match value {
            Some(value) => write_text(value, &mut self.text),
            None => self.text.push_str("null"),
        }
    }

    /// A text; what is not UTF-8 in it becomes U+FFFD.
    pub(crate) fn bytes(&mut self, name: &str, value: Option<&[u8]>) {
        self.text(name, value.map(String::from_utf8_lossy).as_deref());
    }

    /// A number, or `null`.
    pub(crate) fn number(&mut self, name: &str, value: Option<u64>) {
        self.name(name);
        match value {
            Some(value) => self.push(format_args!("{value}")),
            None => self.text.push_str("null"),
        }
    }

    /// An object, or `null`.
    pub(crate) fn object(&mut self, name: &str, value: Option<Object>) {
        self.name(name);
        self.text.push_str(value.map(Object::end).as_deref().unwrap_or("null"));
    }

    pub(crate) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }

    /// Names are our own, and need no escapes.
    fn name(&mut self, name: &str) {
        let comma = if self.text.len() > 1 { "," } else { "" };
        self.push(format_args!("{comma}\"{name}\":"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_ascii() {
        let mut inner = Object::new();
        inner.number("n", Some(1));
        let mut object = Object::new();
        object.text("a", Some("\u{1b}\"ü😀\u{7f}"));
        object.bytes("b", Some(b"\xff"));
        object.text("c", None);
        object.object("d", Some(inner));
        object.object("e", None);
        object.number("f", None);
        let expected = r#"{"a":"\u001b\"\u00fc\ud83d\ude00\u007f","b":"\ufffd","c":null,"d":{"n":1},"e":null,"f":null}"#;
        assert_eq!(object.end(), expected);
        assert_eq!(Object::new().end(), "{}");
    }
}
