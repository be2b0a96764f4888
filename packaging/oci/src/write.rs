//! Writes an image: one layer with one binary, its configuration, a manifest, an index.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_LICENSES, ANNOTATION_REF_NAME, ANNOTATION_REVISION,
    ANNOTATION_TITLE, ANNOTATION_VERSION, Arch, ConfigBuilder, Descriptor, HistoryBuilder,
    ImageConfiguration, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder,
    MediaType, OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder,
};
use tar::{EntryType, Header};

use crate::{USER, blob, elf};

/// What an image is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// The server.
    Helloop,
    /// The campaign of hostile worlds: `examples/hostile.rs`.
    Hostile,
}

impl Content {
    /// The name of the image and of the binary in it.
    pub fn name(self) -> &'static str {
        match self {
            Content::Helloop => "helloop",
            Content::Hostile => "hostile",
        }
    }

    /// What a container hears without arguments of its own.
    fn arguments(self) -> Vec<String> {
        let words: &[&str] = match self {
            Content::Helloop => &["serve", "--drain-timeout", "8s"],
            Content::Hostile => &["--seeds", "100000"],
        };
        words.iter().map(ToString::to_string).collect()
    }

    fn environment(self) -> Vec<String> {
        let lines: &[&str] = match self {
            Content::Helloop => &["HELLOOP_LISTEN=[::]:8080", "HELLOOP_ADMIN=127.0.0.1:9090"],
            Content::Hostile => &[],
        };
        lines.iter().map(ToString::to_string).collect()
    }

    fn ports(self) -> Vec<String> {
        match self {
            Content::Helloop => vec!["8080/tcp".to_owned()],
            Content::Hostile => Vec::new(),
        }
    }
}

/// Everything that an image depends on, beside the binary.
#[derive(Clone, Debug)]
pub struct Build {
    /// What the image is for.
    pub content: Content,
    /// The version, which is the image's tag too.
    pub version: String,
    /// The commit that the binary was built from.
    pub revision: Option<String>,
    /// The moment that everything in the image bears, in seconds since 1970.
    pub created: u64,
}

/// Writes an image of `binary` into the folder `layout`, which must not be there yet. Returns the digest of its manifest.
///
/// # Errors
///
/// If `binary` is not a static one, or the folder is there or cannot be written.
pub fn write(binary: &[u8], build: &Build, layout: &Path) -> Result<String> {
    let architecture = elf::architecture(binary).context("the binary does not fit an image")?;
    ensure!(!layout.exists(), "{} is there already", layout.display());
    fs::create_dir_all(layout.join("blobs/sha256"))
        .with_context(|| format!("cannot make {}", layout.display()))?;

    let layer = layer(build, binary)?;
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&layer)?;
    let layer_blob = blob::write(layout, MediaType::ImageLayerGzip, &gzip.finish()?)?;
    let configuration = configuration(build, architecture.clone(), &layer)?;
    let configuration = blob::write(layout, MediaType::ImageConfig, &blob::json(&configuration)?)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(configuration)
        .layers(vec![layer_blob])
        .annotations(labels(build))
        .build()?;
    let mut manifest = blob::write(layout, MediaType::ImageManifest, &blob::json(&manifest)?)?;
    let digest = manifest.digest().to_string();
    let platform = PlatformBuilder::default().architecture(architecture).os(Os::Linux).build()?;
    manifest.set_platform(Some(platform));
    let tag = HashMap::from([(ANNOTATION_REF_NAME.to_owned(), build.version.clone())]);
    manifest.set_annotations(Some(tag));
    finish(layout, manifest)?;
    Ok(digest)
}

/// The layer: a tar archive in which only the name, the mode, the moment and the bytes say anything.
fn layer(build: &Build, binary: &[u8]) -> Result<Vec<u8>> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_size(binary.len() as u64);
    // It is root's, so that the server cannot change itself.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(0o755);
    header.set_mtime(build.created);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, build.content.name(), binary)?;
    Ok(archive.into_inner()?)
}

fn configuration(build: &Build, architecture: Arch, layer: &[u8]) -> Result<ImageConfiguration> {
    let content = build.content;
    // There is no HEALTHCHECK: the specification has no place for it. Kubernetes asks for probes of its own; who runs
    // the image with docker or podman gives them `--health-cmd`.
    let config = ConfigBuilder::default()
        .user(USER)
        .exposed_ports(content.ports())
        .env(content.environment())
        .entrypoint(vec![format!("/{}", content.name())])
        .cmd(content.arguments())
        .stop_signal("SIGTERM")
        .labels(labels(build))
        .build()?;
    let moment = moment(build.created);
    let history = HistoryBuilder::default().created(&moment).created_by("helloop-oci").build()?;
    let layers = vec![format!("sha256:{}", blob::sha256(layer))];
    let configuration = ImageConfigurationBuilder::default()
        .created(&moment)
        .architecture(architecture)
        .os(Os::Linux)
        .config(config)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(layers).build()?)
        .history(vec![history])
        .build()?;
    Ok(configuration)
}

fn labels(build: &Build) -> HashMap<String, String> {
    let mut labels = HashMap::new();
    let mut label = |key: &str, value: &str| labels.insert(key.to_owned(), value.to_owned());
    label(ANNOTATION_TITLE, build.content.name());
    label(ANNOTATION_VERSION, &build.version);
    label(ANNOTATION_LICENSES, "MIT OR Apache-2.0");
    label(ANNOTATION_CREATED, &moment(build.created));
    if let Some(revision) = &build.revision {
        label(ANNOTATION_REVISION, revision);
    }
    labels
}

/// As RFC 3339 writes it.
fn moment(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// What makes a folder of blobs a layout.
fn finish(layout: &Path, manifest: Descriptor) -> Result<()> {
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![manifest])
        .build()?;
    fs::write(layout.join("index.json"), blob::json(&index)?)?;
    let marker = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    fs::write(layout.join("oci-layout"), blob::json(&marker)?)?;
    Ok(())
}
