//! Words of events that come from outside: from a trace of another run, or of another program.
//!
//! The words of an [`Event`](crate::events::Event) live as long as the process (kinds, states and reasons
//! are written in its source). A word that is read from a file is therefore kept for good, once for
//! the process, and how many of them there can be is limited.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::locks::unpoisoned;

/// Different words that a process keeps. At the limit: a reader of traces fails. A program of this
/// crate has fewer than a hundred.
pub const WORDS_MAX: usize = 4096;

/// Bytes of a word. At the limit: a reader of traces fails. Reasons are sentences.
pub const WORD_BYTES_MAX: usize = 256;

/// The words of the process. Append-only, and nothing but texts: loops do not meet here.
static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// The word that reads like `text`. `None` if it is longer than [`WORD_BYTES_MAX`], or if there are
/// [`WORDS_MAX`] others already.
pub fn intern(text: &str) -> Option<&'static str> {
    let mut words = unpoisoned(WORDS.lock());
    if let Some(word) = words.get(text) {
        return Some(word);
    }
    if text.len() > WORD_BYTES_MAX || words.len() >= WORDS_MAX {
        return None;
    }
    let word: &'static str = Box::leak(text.into());
    words.insert(word);
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_once() {
        let first = intern("a word of this test").unwrap();
        let second = intern(&String::from("a word of this test")).unwrap();
        assert!(std::ptr::eq(first, second));
        assert_eq!(intern(&"x".repeat(WORD_BYTES_MAX + 1)), None);
        assert!(intern(&"x".repeat(WORD_BYTES_MAX)).is_some());
    }
}
