//! What stands in for gzip in a program that was built without the feature `gzip`: nothing.

use std::convert::Infallible;

use super::error::Error;

/// What a request says that it accepts.
pub(super) const ACCEPT_ENCODING: Option<&str> = None;

/// There is none.
#[derive(Debug)]
pub(super) struct Decoder(Infallible);

impl Decoder {
    pub(super) fn new() -> Option<Decoder> {
        None
    }

    pub(super) fn decode(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Error> {
        match self.0 {}
    }

    pub(super) fn has_more(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Error> {
        match self.0 {}
    }
}
