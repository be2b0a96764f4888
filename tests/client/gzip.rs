//! Bodies that come compressed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use helloop::client::{Client, ErrorKind};

use crate::server::{Server, get, run};

fn coded(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn answering(coded: &[u8]) -> Server {
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length";
    Server::answering([format!("{head}: {}\r\n\r\n", coded.len()).as_bytes(), coded].concat())
}

#[test]
fn a_coded_body_is_asked_for_and_decoded() {
    let body = "hello ".repeat(100_000);
    let server = answering(&coded(body.as_bytes()));
    let (_, got) = get(server.url("/"), |client| client).unwrap();
    assert!(got == body.as_bytes());
    assert!(server.next_seen().contains("\r\nAccept-Encoding: gzip\r\n"));
}

#[test]
fn who_asks_by_hand_gets_it_as_it_is() {
    let body = coded(b"hello");
    let server = answering(&body);
    let url = server.url("/");
    let got = run(|handle| async move {
        let request = Client::new(&handle).get(&url).header("accept-encoding", "gzip;q=1");
        request.send().await?.bytes().await
    });
    assert_eq!(got.unwrap(), body);
    assert!(server.next_seen().contains("\r\naccept-encoding: gzip;q=1\r\n"));
}

#[test]
fn what_is_cut_off_broken_or_a_bomb_is_an_error() {
    let whole = coded(b"hello, hello, hello");
    for bad in [&whole[..whole.len() - 1], b"", b"hello"] {
        let error = get(answering(bad).url("/"), |client| client).err();
        match error {
            None => assert!(bad.is_empty(), "only nothing at all is let pass"),
            Some(error) => assert_eq!(error.kind(), ErrorKind::Protocol, "{error}"),
        }
    }
    let bomb = coded(&vec![0; 20_000_000]);
    let limit = |client: helloop::client::ClientBuilder| client.body_bytes_max(1_000_000);
    let error = get(answering(&bomb).url("/"), limit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLong, "{error}");
}
