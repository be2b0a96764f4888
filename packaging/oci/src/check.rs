//! Whether a folder is an image layout, and its image one that we would have written.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use oci_spec::image::{
    ANNOTATION_REF_NAME, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType,
    OciLayout, Os,
};
use serde::de::DeserializeOwned;
use tar::EntryType;

use crate::{USER, blob, elf};

/// A layer that unpacks to more is refused.
const LAYER_BYTES_MAX: u64 = 512 << 20;

/// Holds every byte of a layout against the specification, and against what our images promise: one static binary,
/// root's, run by nobody.
///
/// Returns the digests of its manifests.
///
/// # Errors
///
/// The first thing that is wrong, with the file in which it is.
pub fn check(layout: &Path) -> Result<Vec<String>> {
    let marker: OciLayout = parse(&fs::read(layout.join("oci-layout")).context("no oci-layout")?)
        .context("oci-layout")?;
    let version = marker.image_layout_version();
    ensure!(version == "1.0.0", "oci-layout: version {version:?} is not 1.0.0");
    let index: ImageIndex = parse(&fs::read(layout.join("index.json")).context("no index.json")?)
        .context("index.json")?;
    check_index(&index).context("index.json")?;

    let mut known = BTreeSet::new();
    for descriptor in index.manifests() {
        let blobs = check_image(layout, descriptor)
            .with_context(|| format!("image {}", descriptor.digest()))?;
        known.extend(blobs);
    }
    let entries = fs::read_dir(layout.join("blobs/sha256")).context("no blobs")?;
    for entry in entries {
        let path = entry?.path();
        ensure!(known.contains(&path), "nothing leads to the blob {}", path.display());
    }
    Ok(index.manifests().iter().map(|manifest| manifest.digest().to_string()).collect())
}

/// JSON, which says nothing that the type does not know.
fn parse<T: DeserializeOwned + serde::Serialize>(bytes: &[u8]) -> Result<T> {
    let parsed: T = serde_json::from_slice(bytes)?;
    let (written, read) =
        (blob::json(&parsed)?, serde_json::from_slice::<serde_json::Value>(bytes)?);
    ensure!(written == serde_json::to_vec(&read)?, "it has fields that the specification has not");
    Ok(parsed)
}

fn check_index(index: &ImageIndex) -> Result<()> {
    ensure!(index.schema_version() == 2, "schemaVersion {} is not 2", index.schema_version());
    ensure!(
        index.media_type().as_ref() == Some(&MediaType::ImageIndex),
        "mediaType is not an index's"
    );
    ensure!(!index.manifests().is_empty(), "it names no image");
    let mut tags = BTreeSet::new();
    for manifest in index.manifests() {
        has_type(manifest, &MediaType::ImageManifest)?;
        let annotations = manifest.annotations().as_ref();
        let tag = annotations.and_then(|all| all.get(ANNOTATION_REF_NAME));
        let tag = tag.context("an image has no tag")?;
        ensure!(is_reference(tag), "{tag:?} is no tag");
        ensure!(tags.insert(tag), "the tag {tag:?} is there twice");
        ensure!(manifest.platform().is_some(), "the image {tag:?} has no platform");
    }
    Ok(())
}

/// The grammar of `org.opencontainers.image.ref.name`: alphanumeric parts, one separator between two.
fn is_reference(tag: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    tag.replace("--", "-").split(['-', '.', '_', ':', '@', '+', '/']).all(is_part)
}

fn has_type(descriptor: &Descriptor, wanted: &MediaType) -> Result<()> {
    let found = descriptor.media_type();
    ensure!(found == wanted, "{} is {found}, not {wanted}", descriptor.digest());
    Ok(())
}

/// Returns the blobs that belong to the image.
fn check_image(layout: &Path, descriptor: &Descriptor) -> Result<Vec<PathBuf>> {
    let manifest: ImageManifest =
        parse(&blob::read(layout, descriptor)?).context("its manifest")?;
    ensure!(manifest.schema_version() == 2, "schemaVersion is not 2");
    ensure!(
        manifest.media_type().as_ref() == Some(&MediaType::ImageManifest),
        "mediaType is not a manifest's"
    );
    has_type(manifest.config(), &MediaType::ImageConfig)?;
    let configuration: ImageConfiguration =
        parse(&blob::read(layout, manifest.config())?).context("its configuration")?;
    let platform = descriptor.platform().as_ref().context("no platform")?;
    ensure!(
        configuration.architecture() == platform.architecture() && configuration.os() == &Os::Linux,
        "the configuration is for another platform than the index says"
    );
    let root = configuration.rootfs();
    ensure!(root.typ() == "layers", "rootfs.type {:?} is not \"layers\"", root.typ());
    let (layers, diff_ids) = (manifest.layers(), root.diff_ids());
    let [layer] = layers.as_slice() else { bail!("{} layers, and not one", layers.len()) };
    let [diff_id] = diff_ids.as_slice() else { bail!("{} diff_ids, and not one", diff_ids.len()) };
    has_type(layer, &MediaType::ImageLayerGzip)?;
    let mut unpacked = Vec::new();
    let bytes = blob::read(layout, layer)?;
    GzDecoder::new(bytes.as_slice()).take(LAYER_BYTES_MAX + 1).read_to_end(&mut unpacked)?;
    ensure!(unpacked.len() as u64 <= LAYER_BYTES_MAX, "the layer unpacks to too much");
    let really = format!("sha256:{}", blob::sha256(&unpacked));
    ensure!(*diff_id == really, "the layer unpacks to {really}, and its diff_id is {diff_id}");
    check_layer(&unpacked, &configuration).context("its layer")?;
    [descriptor, manifest.config(), layer]
        .map(|blob| blob::path(layout, blob))
        .into_iter()
        .collect()
}

/// One binary, which is root's, cannot be changed by others, and is what the image starts.
fn check_layer(archive: &[u8], configuration: &ImageConfiguration) -> Result<()> {
    let config = configuration.config().as_ref().context("the image has no configuration")?;
    ensure!(config.user().as_deref() == Some(USER), "the image's user is not {USER}");
    let [entrypoint] = config.entrypoint().as_deref().unwrap_or_default() else {
        bail!("the image starts nothing")
    };
    let mut archive = tar::Archive::new(archive);
    let mut names = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let (name, header) = (entry.path()?.into_owned(), entry.header().clone());
        ensure!(header.entry_type() == EntryType::Regular, "{} is no file", name.display());
        ensure!((header.uid()?, header.gid()?) == (0, 0), "{} is not root's", name.display());
        ensure!(header.mode()? == 0o755, "{} has mode {:o}", name.display(), header.mode()?);
        let mut binary = Vec::new();
        entry.read_to_end(&mut binary)?;
        ensure!(
            elf::architecture(&binary)? == *configuration.architecture(),
            "{} is for another processor",
            name.display()
        );
        names.push(Path::new("/").join(name));
    }
    ensure!(names == [Path::new(entrypoint)], "the image starts {entrypoint}, and has {names:?}");
    Ok(())
}
