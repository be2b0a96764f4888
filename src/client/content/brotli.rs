//! br (RFC 7932), by the crate `brotli-decompressor`.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Coding, Flaw, IN_THE_MIDDLE, PIECE_BYTES, Step};

/// A window is at most 16 MiB. The extension for larger ones is not of this coding.
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    is_over: bool,
}

impl Brotli {
    pub(super) fn new() -> Brotli {
        let alloc = StandardAlloc::default;
        Brotli { state: BrotliState::new_strict(alloc(), alloc(), alloc()), is_over: false }
    }
}

impl Coding for Brotli {
    fn decode(&mut self, coded: &[u8], plain: &mut Vec<u8>) -> Result<Step, Flaw> {
        if self.is_over {
            return match coded {
                [] => Ok(Step { taken: 0, is_starved: true }),
                _ => Err("more bytes come after its end".into()),
            };
        }
        plain.resize(coded.len().saturating_mul(8).clamp(512, PIECE_BYTES), 0);
        let (mut here, mut taken) = (coded.len(), 0);
        let (mut room, mut written, mut total) = (plain.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut here,
            &mut taken,
            coded,
            &mut room,
            &mut written,
            plain,
            &mut total,
            &mut self.state,
        );
        plain.truncate(written);
        let is_starved = match result {
            BrotliResult::ResultFailure => {
                return Err(format!("{:?}", self.state.error_code).into());
            }
            BrotliResult::ResultSuccess => {
                self.is_over = true;
                taken == coded.len()
            }
            BrotliResult::NeedsMoreInput => true,
            BrotliResult::NeedsMoreOutput => false,
        };
        Ok(Step { taken, is_starved })
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.is_over { Ok(()) } else { Err(IN_THE_MIDDLE) }
    }
}
