//! Foreign text, as it may be shown to people: the one filter between such text and a terminal.
//!
//! A trace, another server, a name server, a certificate, a file's name: each brings words that this
//! program has not written, and a terminal obeys some of them. Code that shows such words, in a
//! sentence, in an error or in a log line, shows them through [`Printable`]. Two places have an
//! alphabet of their own and do not need it: JSON is written in ASCII, and the access log has the
//! escapes of its format.

use std::fmt::{self, Display, Write};

/// Shows a text on one line, with `\u{1b}` in the place of every character that a terminal would
/// obey, or that makes a line look like another: control characters (line feeds included), the marks
/// that turn the direction of writing, and the separators of lines and paragraphs.
///
/// ```
/// use helloop::Printable;
///
/// assert_eq!(Printable("J\u{fc}rgen\u{1b}[2J\n").to_string(), "J\u{fc}rgen\\u{1b}[2J\\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

/// As [`Printable`], but line feeds stay: for a text of several lines with foreign words in it.
///
/// ```
/// use helloop::PrintableLines;
///
/// assert_eq!(PrintableLines("one\ntwo\u{1b}[2J").to_string(), "one\ntwo\\u{1b}[2J");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PrintableLines<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Filter { out: f, is_escaped: is_obeyed }, "{}", self.0)
    }
}

impl<T: Display> Display for PrintableLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_escaped = |character| character != '\n' && is_obeyed(character);
        write!(Filter { out: f, is_escaped }, "{}", self.0)
    }
}

/// Lets through what is harmless, and escapes the rest.
struct Filter<'a, 'b, E> {
    out: &'a mut fmt::Formatter<'b>,
    is_escaped: E,
}

impl<E: Fn(char) -> bool> Write for Filter<'_, '_, E> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Harmless characters are passed on together.
        let mut passed = 0;
        for (at, character) in text.char_indices().filter(|(_, c)| (self.is_escaped)(*c)) {
            self.out.write_str(&text[passed..at])?;
            write!(self.out, "{}", character.escape_default())?;
            passed = at + character.len_utf8();
        }
        self.out.write_str(&text[passed..])
    }
}

/// Whether a terminal does something else with a character than to draw it in its place.
fn is_obeyed(character: char) -> bool {
    let turns = matches!(
        character,
        // Unicode's Bidi_Control: with them, `txt.exe` reads `exe.txt`.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    // Cc is C0, DEL and C1, of which 9b alone begins a sequence.
    turns || character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_nothing_else() {
        let shown = |text: &str| Printable(text).to_string();
        for harmless in ["", "GET /World", "Jürgen 世界 😀", "a\\b\"c'", "e\u{301}", "\u{fffd}"]
        {
            assert_eq!(shown(harmless), harmless);
        }
        assert_eq!(shown("\u{1b}[31mred\u{7}\r\n\t"), "\\u{1b}[31mred\\u{7}\\r\\n\\t");
        assert_eq!(shown("\u{7f}\u{9b}2J\u{85}ü\0"), "\\u{7f}\\u{9b}2J\\u{85}ü\\u{0}");
        assert_eq!(shown("a\u{202e}b\u{2069}\u{2028}"), "a\\u{202e}b\\u{2069}\\u{2028}");
    }

    #[test]
    fn every_character_is_shown_as_itself_or_in_ascii() {
        for character in '\0'..=char::MAX {
            let shown = Printable(character).to_string();
            let is_itself = shown.chars().eq([character]);
            assert!(is_itself || shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown:?}");
            assert!(!shown.chars().any(char::is_control));
        }
    }

    #[test]
    fn pieces_are_one_text() {
        let parts = Printable(format_args!("{}{}{:>4}", "\u{1b}", "[0m", 7)).to_string();
        assert_eq!(parts, "\\u{1b}[0m   7");
        assert_eq!(PrintableLines("a\nb\r\n\u{9b}").to_string(), "a\nb\\r\n\\u{9b}");
    }
}
