//! A layout has the same bytes each time, the checker finds what is wrong with one, and so do others' tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use helloop_oci::{Build, Content, check, write};
use tempfile::TempDir;

/// The head of a static binary, and no more: nobody runs it.
fn binary(machine: u8) -> Vec<u8> {
    let mut binary = b"\x7fELF\x02\x01\x01".to_vec();
    binary.resize(64, 0);
    (binary[16], binary[18], binary[54]) = (2, machine, 56);
    binary
}

fn build(content: Content) -> Build {
    let revision = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
    Build { content, version: "0.1.0".to_owned(), revision, created: 1_700_000_000 }
}

fn layout() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    write(&binary(62), &build(Content::Helloop), &layout).unwrap();
    (directory, layout)
}

/// Every file of a folder, with what it holds.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn the_same_binary_gives_the_same_bytes() {
    let ((_one, first), (_two, second)) = (layout(), layout());
    let named = |layout: &Path| -> Vec<_> {
        let name = |path: &Path| path.strip_prefix(layout).unwrap().to_owned();
        files(layout).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
    };
    assert_eq!(named(&first), named(&second));
    assert_eq!(named(&first).len(), 5, "oci-layout, index.json, manifest, configuration, layer");
}

#[test]
fn what_is_written_passes_the_check() {
    for (content, machine) in [(Content::Helloop, 62), (Content::Hostile, 183)] {
        let directory = tempfile::tempdir().unwrap();
        let layout = directory.path().join("layout");
        let digest = write(&binary(machine), &build(content), &layout).unwrap();
        assert_eq!(check(&layout).unwrap(), [digest]);
    }
}

#[test]
fn a_binary_that_needs_a_loader_is_refused() {
    let mut dynamic = binary(62);
    // One program header, which names an interpreter.
    (dynamic[32], dynamic[56]) = (64, 1);
    dynamic.extend([3, 0, 0, 0]);
    dynamic.resize(64 + 56, 0);
    for (binary, because) in [
        (dynamic, "asks for a dynamic loader"),
        (b"#!/bin/sh\n".to_vec(), "is no 64-bit ELF file"),
        (binary(62)[..40].to_vec(), "ends within its headers"),
        (binary(8), "processor 8 is none"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let layout = directory.path().join("layout");
        let error = write(&binary, &build(Content::Helloop), &layout).unwrap_err();
        assert!(format!("{error:#}").contains(because), "{error:#}");
        assert!(!layout.exists(), "{because}");
    }
}

#[test]
fn nothing_is_written_over() {
    let (_directory, layout) = layout();
    let error = write(&binary(62), &build(Content::Helloop), &layout).unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error:#}");
}

/// The blob that holds these bytes. The layer is the only one that does not begin as JSON does.
fn blob_with(layout: &Path, part: &str) -> PathBuf {
    let is_it = |bytes: &[u8]| bytes.windows(part.len()).any(|window| window == part.as_bytes());
    let mut blobs = files(&layout.join("blobs")).into_iter();
    blobs.find(|(_, bytes)| is_it(bytes)).expect("there is such a blob").0
}

fn replace(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(path, text.replace(old, new)).unwrap();
}

/// Changes a blob and everything that names it, so that only the change itself is wrong.
fn replace_within(layout: &Path, part: &str, old: &str, new: &str) {
    let path = blob_with(layout, part);
    replace(&path, old, new);
    rename(layout, &path);
}

/// Gives a blob the name that its bytes ask for, and so on up to the index.
fn rename(layout: &Path, path: &Path) {
    let bytes = fs::read(path).unwrap();
    let old = path.file_name().unwrap().to_str().unwrap();
    let sum = Command::new("sha256sum").arg(path).output().unwrap();
    let new = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    fs::rename(path, path.with_file_name(&new)).unwrap();
    for (parent, text) in files(layout) {
        let Ok(text) = String::from_utf8(text) else { continue };
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        if !text.contains(old) {
            continue;
        }
        let kinds = ["manifests", "layers"];
        let lists = kinds.map(|kind| value.get_mut(kind).map(serde_json::Value::take));
        let mut descriptors: Vec<_> =
            lists.into_iter().flatten().flat_map(|list| list.as_array().unwrap().clone()).collect();
        let config = value.get_mut("config").map(serde_json::Value::take);
        let fixed = |mut descriptor: serde_json::Value| {
            if descriptor["digest"].as_str().is_some_and(|digest| digest.ends_with(old)) {
                descriptor["digest"] = format!("sha256:{new}").into();
                descriptor["size"] = bytes.len().into();
            }
            descriptor
        };
        descriptors = descriptors.into_iter().map(fixed).collect();
        if let Some(config) = config {
            value["config"] = fixed(config);
        }
        let kind = if value.get("manifests").is_some() { "manifests" } else { "layers" };
        value[kind] = descriptors.into();
        fs::write(&parent, value.to_string()).unwrap();
        if parent.parent() != Some(layout) {
            rename(layout, &parent);
        }
        return;
    }
    panic!("nothing names {}", path.display());
}

#[test]
fn the_check_finds_what_is_wrong() {
    let index = |layout: &Path| layout.join("index.json");
    type Fault<'a> = (&'a str, &'a dyn Fn(&Path));
    let faults: &[Fault<'_>] = &[
        ("no oci-layout", &|layout| fs::remove_file(layout.join("oci-layout")).unwrap()),
        ("version \"1.1.0\"", &|layout| replace(&layout.join("oci-layout"), "1.0.0", "1.1.0")),
        ("schemaVersion 1", &|layout| {
            replace(&index(layout), "\"schemaVersion\":2", "\"schemaVersion\":1")
        }),
        ("fields that the specification has not", &|layout| {
            replace(&index(layout), "\"schemaVersion\":2", "\"schemaVersion\":2,\"x\":1");
        }),
        ("is no tag", &|layout| replace(&index(layout), "\"0.1.0\"", "\"0..1\"")),
        ("no tag", &|layout| replace(&index(layout), "image.ref.name", "image.other.name")),
        ("another platform", &|layout| replace(&index(layout), "amd64", "arm64")),
        ("not application/vnd.oci.image.manifest", &|layout| {
            replace(&index(layout), "oci.image.manifest.v1", "oci.image.config.v1");
        }),
        ("no blob", &|layout| fs::remove_file(blob_with(layout, "rootfs")).unwrap()),
        ("is described as one of", &|layout| {
            let layer = blob_with(layout, "\u{1f}");
            fs::write(&layer, fs::read(&layer).unwrap().repeat(2)).unwrap();
        }),
        ("holds bytes with the digest", &|layout| {
            replace(&blob_with(layout, "rootfs"), "8080", "8081");
        }),
        ("nothing leads to", &|layout| {
            fs::write(layout.join("blobs/sha256/other"), "").unwrap();
        }),
        ("user is not 65534", &|layout| replace_within(layout, "rootfs", "65534:65534", "0")),
        ("the image starts /other", &|layout| {
            replace_within(layout, "rootfs", "\"/helloop\"", "\"/other\"");
        }),
        ("its diff_id is", &|layout| {
            replace_within(layout, "rootfs", "\"diff_ids\":[\"sha256:", "\"diff_ids\":[\"sha256:0");
        }),
        ("not application/vnd.oci.image.layer", &|layout| {
            replace_within(layout, "\"layers\":[", "layer.v1.tar+gzip", "layer.v1.tar");
        }),
    ];
    for (because, plant) in faults {
        let (_directory, layout) = layout();
        plant(&layout);
        let Err(error) = check(&layout) else { panic!("not found: {because}") };
        assert!(format!("{error:#}").contains(because), "{because}: {error:#}");
    }
}

/// There are two ways to make the image, and one image.
#[test]
fn the_dockerfile_says_the_same() {
    let (_directory, layout) = layout();
    let text = fs::read_to_string(blob_with(&layout, "rootfs")).unwrap();
    let image: serde_json::Value = serde_json::from_str(&text).unwrap();
    let config = &image["config"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/Dockerfile");
    let dockerfile = fs::read_to_string(path).unwrap();
    let words = |key: &str| config[key].to_string().replace(',', ", ");
    let mut lines = vec![
        format!("USER {}", config["User"].as_str().unwrap()),
        format!("STOPSIGNAL {}", config["StopSignal"].as_str().unwrap()),
        format!("ENTRYPOINT {}", words("Entrypoint")),
        format!("CMD {}", words("Cmd")),
        "EXPOSE 8080".to_owned(),
    ];
    lines.extend(config["Env"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()));
    for line in lines {
        assert!(dockerfile.contains(&line), "the Dockerfile has no {line}");
    }
}

/// Nothing where the tool is not installed. Where everything has to be tested (CI), it must be.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {said}");
            Some(output)
        }
        Err(_) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn skopeo_reads_it() {
    let (_directory, layout) = layout();
    let image = format!("oci:{}:0.1.0", layout.display());
    let Some(output) = run("skopeo", &["inspect", "--config", &image]) else { return };
    let configuration: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(configuration["config"]["User"], "65534:65534");
    assert_eq!(configuration["config"]["Entrypoint"][0], "/helloop");
    assert!(configuration["config"]["ExposedPorts"]["8080/tcp"].is_object());
    let labels = &configuration["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], "0.1.0");
    assert!(labels["org.opencontainers.image.revision"].as_str().unwrap().starts_with("01234567"));
    // Copies every blob, and verifies it on the way.
    let copy = format!("oci:{}:0.1.0", layout.with_file_name("copy").display());
    run("skopeo", &["--insecure-policy", "copy", &image, &copy]).unwrap();
}

#[test]
fn umoci_unpacks_it() {
    let (_directory, layout) = layout();
    let image = format!("{}:0.1.0", layout.display());
    let bundle = layout.with_file_name("bundle");
    let arguments = ["unpack", "--rootless", "--image", &image, bundle.to_str().unwrap()];
    if run("umoci", &arguments).is_none() {
        return;
    }
    let unpacked = files(&bundle.join("rootfs"));
    assert_eq!(unpacked, [(bundle.join("rootfs/helloop"), binary(62))]);
}
