//! What is sent through the gateways: everything that the catalogue and the transcripts have.

use std::fs;
use std::path::Path;

use crate::support::catalogue::{Then, cases};
use crate::text;

/// The bytes of one client connection.
pub(crate) struct Input {
    /// Unique, and part of the targets that must not be smuggled.
    pub(crate) number: usize,
    /// Where the bytes come from.
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn all() -> Vec<Input> {
    let catalogue =
        cases().into_iter().map(|case| (case.place, case.input, case.then != Then::Cut));
    let transcripts = transcripts().into_iter().map(|(place, bytes)| (place, bytes, true));
    let number = |(number, (place, bytes, is_followed)): (usize, (String, Vec<u8>, bool))| {
        let mut bytes = named(bytes, number);
        if is_followed {
            let after = format!("GET /after-{number} HTTP/1.1\r\nHost: h\r\n");
            bytes.extend_from_slice(after.as_bytes());
            bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        }
        Input { number, place, bytes }
    };
    catalogue.chain(transcripts).enumerate().map(number).collect()
}

/// Where each case of the transcripts stands, and its input. Its limits and its service do not
/// count here.
fn transcripts() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut pages: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let mut inputs = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        for section in text.split("\n## ").skip(1) {
            let (title, body) = section.split_once('\n').unwrap();
            let (_, block) = body.split_once("```in\n").unwrap();
            let (block, _) = block.split_once("```").unwrap();
            inputs.push((format!("{name}, \"{title}\""), text::parse(block)));
        }
    }
    inputs
}

/// The bytes with a number in the targets `/smuggled` and `/after`, which keep their lengths: other
/// bytes may count them.
fn named(bytes: Vec<u8>, number: usize) -> Vec<u8> {
    let bytes = replace(bytes, b"/smuggled", format!("/s{number:07}").as_bytes());
    replace(bytes, b"/after ", format!("/a{number:04} ").as_bytes())
}

fn replace(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
    bytes
}
