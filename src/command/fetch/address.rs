//! A URL as it was given.

use std::borrow::Cow;
use std::fmt;

use helloop::client::without_credentials;

/// A URL, or what was meant to be one. It may hold a user name and a password, which are sent and never
/// shown: there is one way to the whole text, and it is named for that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address(String);

impl Address {
    pub(super) fn new(text: impl Into<String>) -> Address {
        Address(text.into())
    }

    /// All of it: for a request, and nothing else.
    pub(super) fn with_credentials(&self) -> &str {
        &self.0
    }

    /// For messages, logs, and names of files.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        without_credentials(&self.0)
    }

    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}
