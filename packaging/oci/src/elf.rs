//! What the head of a binary says of it: for which processor it is, and whether it needs a loader.

use anyhow::{Context, Result, bail, ensure};
use oci_spec::image::Arch;

/// Offsets and values of the ELF format, 64 bits, little endian.
const MACHINE: usize = 18;
const PROGRAM_HEADERS: usize = 32;
const PROGRAM_HEADER_BYTES: usize = 54;
const PROGRAM_HEADER_COUNT: usize = 56;
const INTERPRETER: u32 = 3;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64> {
    let end = at.checked_add(N).context("an offset is too large")?;
    let found = bytes.get(at..end).context("it ends within its headers")?;
    Ok(found.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The processor that `binary` is for.
///
/// # Errors
///
/// If it is no ELF file of 64 bits for a processor that we know, or if it asks for a dynamic loader, which an image
/// with nothing else in it does not have.
pub fn architecture(binary: &[u8]) -> Result<Arch> {
    ensure!(binary.starts_with(b"\x7fELF\x02\x01"), "it is no 64-bit ELF file");
    let headers = usize::try_from(number::<8>(binary, PROGRAM_HEADERS)?)?;
    let size = number::<2>(binary, PROGRAM_HEADER_BYTES)? as usize;
    for index in 0..number::<2>(binary, PROGRAM_HEADER_COUNT)? as usize {
        let at = headers.checked_add(index * size).context("an offset is too large")?;
        let kind = number::<4>(binary, at)?;
        ensure!(
            kind != u64::from(INTERPRETER),
            "it asks for a dynamic loader: build it for a musl target"
        );
    }
    match number::<2>(binary, MACHINE)? {
        62 => Ok(Arch::Amd64),
        183 => Ok(Arch::ARM64),
        243 => Ok(Arch::RISCV64),
        other => bail!("processor {other} is none that we know"),
    }
}
