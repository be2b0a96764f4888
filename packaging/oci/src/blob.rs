//! Blobs: files that are named by the hash of what they hold.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A blob that is larger is not read. The images have some MiB.
const BYTES_MAX: u64 = 256 << 20;

/// The digest of these bytes, as text of 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON with the keys of every object in order. The maps of `oci_spec` have none, and would give other bytes each time.
pub fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}

/// Writes a blob and describes it.
pub fn write(layout: &Path, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
    let digest: Sha256Digest = sha256(bytes).parse()?;
    let path = layout.join("blobs/sha256").join(digest.digest());
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Descriptor::new(media_type, bytes.len() as u64, digest))
}

/// Where the blob is that `descriptor` names. Only SHA-256, which every implementation must know.
pub fn path(layout: &Path, descriptor: &Descriptor) -> Result<PathBuf> {
    let digest = descriptor.as_digest_sha256();
    let digest = digest.with_context(|| format!("{}: not SHA-256", descriptor.digest()))?;
    Ok(layout.join("blobs/sha256").join(digest))
}

/// Reads the blob that `descriptor` names, and holds size and digest against it.
pub fn read(layout: &Path, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let path = path(layout, descriptor)?;
    let size = fs::metadata(&path).with_context(|| format!("no blob {}", path.display()))?.len();
    ensure!(
        size == descriptor.size(),
        "{} has {size} bytes, and is described as one of {}",
        descriptor.digest(),
        descriptor.size()
    );
    ensure!(size <= BYTES_MAX, "{} has more than {BYTES_MAX} bytes", descriptor.digest());
    let bytes = fs::read(&path)?;
    let really = sha256(&bytes);
    ensure!(
        descriptor.as_digest_sha256() == Some(really.as_str()),
        "{} holds bytes with the digest sha256:{really}",
        descriptor.digest()
    );
    Ok(bytes)
}
