//! Bytes that are worth beginning with: what the transcripts and the catalogue say, what is answered
//! there, and replies that are wrong in one place.

use std::fs;
use std::path::PathBuf;

use crate::properties::{BeginsWith, Property};
use crate::text;

/// Longer ones are about limits, and slow.
const BYTES_MAX: usize = 4096;

/// Seeds for `property`, each with the place that it comes from.
pub(crate) fn of(property: &Property) -> Vec<(String, Vec<u8>)> {
    let mut sent = Vec::new();
    match property.begins_with {
        BeginsWith::Requests => {
            sent.extend(blocks("in"));
            sent.extend(catalogue());
        }
        BeginsWith::Replies => {
            sent.extend(blocks("out"));
            let replies = REPLIES.iter().enumerate();
            sent.extend(replies.map(|(at, reply)| (format!("reply {at}"), reply.to_vec())));
        }
    }
    let seeds = sent.into_iter().map(|(place, bytes)| (place, (property.seed)(&bytes)));
    seeds.filter(|(_, seed)| seed.len() <= BYTES_MAX).collect()
}

/// The pages in a directory of the tests: name and text.
fn pages(directory: &str) -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
    let entries = fs::read_dir(&directory).expect("the directory of the pages");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.retain(|path| !path.ends_with("README.md"));
    paths.sort();
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a page is text");
    paths.iter().map(|path| (path.display().to_string(), text(path))).collect()
}

/// The bytes of every block with this name in the transcripts, and where it is.
fn blocks(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut blocks = Vec::new();
    for (page, page_text) in pages("transcripts") {
        for section in page_text.split("\n## ").skip(1) {
            let heading = section.lines().next().unwrap_or_default();
            let place = format!("{page}, \"{heading}\"");
            let Some((_, block)) = section.split_once(&format!("```{name}\n")) else { continue };
            let (block, _) = block.split_once("```").expect("the block is closed");
            blocks.push((place, text::parse(block)));
        }
    }
    blocks
}

/// The requests of the catalogue: the lines that are indented.
fn catalogue() -> Vec<(String, Vec<u8>)> {
    let mut requests = Vec::new();
    for (page, page_text) in pages("catalogue") {
        let lines = page_text.lines().enumerate();
        requests.extend(lines.filter_map(|(number, line)| {
            let request = text::parse(line.strip_prefix("    ")?);
            Some((format!("{page}, line {}", number + 1), request))
        }));
    }
    requests
}

/// Shapes of replies that our own server does not send.
const REPLIES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200\r\ntransfer-encoding:\tChunked \r\n\r\n3;a=b\r\nabc\r\n00\r\nT: u\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3  \r\nabc\r\n0 \r\nT: u\r\n\tv\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
      HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\t3 \r\n \r\nX: a \r\n  b\r\n\tc\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\n X: folds nothing\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
    b"HTTP/1.7 299 \xc3\xbc\tx\r\nConnection: x, close\r\nContent-Length: 1\r\n\r\na",
    b"HTTP/2 200\r\n\r\n",
    b"HTTP/1.1 600 Much\r\n\r\n",
    b"HTTP/1.1 999 Request denied\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 099 Less\r\nContent-Length: 0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"<!doctype html><title>0.9</title>",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
];
