//! What must hold of any bytes. Each property is a function that panics when it is violated; the
//! fuzz targets call it with bytes that they make up, the tests with bytes that are kept.
//!
//! What is accepted is held against two other readers: a *naive* one, which is slow and written
//! from the grammar, must come to the same; a *lenient* one, as others use it, must understand the
//! same by whatever is accepted here. The second is what smuggling lives on.

use std::fmt;

mod chunks;
#[cfg(feature = "gzip")]
mod content;
mod cuts;
mod drive;
#[cfg(feature = "cli")]
mod events;
mod exchange;
mod framing;
mod head;
mod lenient;
mod naive;
mod percent;
#[cfg(feature = "proxies")]
mod proxies;
#[cfg(feature = "cli")]
mod ps;
mod reply;
mod server;
mod trace;

/// One property.
pub(crate) struct Property {
    /// That of its fuzz target, too.
    pub(crate) name: &'static str,
    /// Panics if the property does not hold of the bytes.
    pub(crate) hold: fn(&[u8]),
    /// What to begin with: an input made of the bytes that a peer sends.
    pub(crate) seed: fn(&[u8]) -> Vec<u8>,
    /// What those bytes are.
    pub(crate) begins_with: BeginsWith,
}

/// The bytes that seeds are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeginsWith {
    /// What clients send: the inputs of the transcripts.
    Requests,
    /// What servers send: the outputs of the transcripts, and replies that are wrong.
    Replies,
}

/// All of them, in reading order.
pub(crate) const ALL: &[Property] = &[
    head::PROPERTY,
    framing::PROPERTY,
    chunks::PROPERTY,
    exchange::PROPERTY,
    reply::PROPERTY,
    #[cfg(feature = "gzip")]
    content::PROPERTY,
    percent::PROPERTY,
    #[cfg(feature = "proxies")]
    proxies::PROPERTY,
    server::PROPERTY,
    trace::PROPERTY,
    #[cfg(feature = "cli")]
    events::PROPERTY,
    #[cfg(feature = "cli")]
    ps::PROPERTY,
];

/// The property with this name.
///
/// # Panics
/// If there is none.
pub(crate) fn find(name: &str) -> &'static Property {
    let found = ALL.iter().find(|property| property.name == name);
    found.unwrap_or_else(|| panic!("there is no property {name}"))
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Property").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Takes the first byte, which chooses among ways to hold the property; 0 if there is none.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// Whether `bits` has the bit of `mask`.
fn has(bits: u8, mask: u8) -> bool {
    bits & mask != 0
}
