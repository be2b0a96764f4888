//! Bodies that come compressed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use std::time::Duration;

use helloop::client::{Client, ClientBuilder, Error, ErrorKind, Timeouts};
use helloop::limits::DECODED_BYTES_PER_RESUME_MAX;

use crate::server::{Server, get, run};

fn coded(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn answering(coded: &[u8]) -> Server {
    answering_in("gzip", coded)
}

fn answering_in(codings: &str, coded: &[u8]) -> Server {
    let length = coded.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {codings}\r\nContent-Length: {length}\r\n\r\n"
    );
    Server::answering([head.as_bytes(), coded].concat())
}

#[test]
fn a_coded_body_is_asked_for_and_decoded() {
    let body = "hello ".repeat(100_000);
    let server = answering(&coded(body.as_bytes()));
    let (reply, got) = get(server.url("/"), |client| client).unwrap();
    assert!(got == body.as_bytes());
    assert_eq!(reply.codings(), [""; 0]);
    let all = cfg!(feature = "brotli") && cfg!(feature = "zstd");
    let asked = "\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n";
    assert_eq!(server.next_seen().contains(asked), all);
}

#[test]
fn what_cannot_be_decoded_is_an_error_and_never_a_body() {
    for (codings, word) in [("compress", "`compress`"), ("gzip, x-unheard-of", "`x-unheard-of`")] {
        let server = answering_in(codings, b"hello");
        let error = get(server.url("/"), |client| client).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        let text = error.to_string();
        assert!(text.contains(word) && text.contains(&server.address.to_string()), "{text}");
    }
    // A head alone claims nothing.
    let server = answering_in("compress", b"");
    let url = server.url("/");
    let reply =
        run(|handle| async move { Client::new(&handle).head(&url).send().await?.bytes().await });
    assert_eq!(reply.unwrap(), b"");
}

#[test]
fn who_asks_by_hand_gets_it_as_it_is() {
    let body = coded(b"hello");
    for is_of_the_client in [false, true] {
        let server = answering(&body);
        let url = server.url("/");
        let (codings, got) = run(move |handle| async move {
            let mut builder = Client::builder(&handle);
            if is_of_the_client {
                builder = builder.header("Accept-Encoding", "gzip;q=1").unwrap();
            }
            let mut request = builder.build().unwrap().get(&url);
            if !is_of_the_client {
                request = request.header("accept-encoding", "gzip;q=1");
            }
            let reply = request.send().await.unwrap();
            (reply.codings(), reply.bytes().await.unwrap())
        });
        assert_eq!((codings, got), (vec!["gzip".to_owned()], body.clone()));
        let request = server.next_seen().to_ascii_lowercase();
        assert!(request.contains("\r\naccept-encoding: gzip;q=1\r\n"), "{request}");
    }
}

/// Takes a body piece by piece: how many bytes it came to, in how many turns.
fn count(
    url: String,
    build: impl FnOnce(ClientBuilder) -> ClientBuilder + 'static,
) -> Result<(usize, u64), Error> {
    run(|handle| async move {
        let client = build(Client::builder(&handle)).build()?;
        let mut reply = client.get(&url).send().await?;
        let (turn, mut bytes) = (handle.turns(), 0);
        while let Some(piece) = reply.chunk().await? {
            bytes += piece.len();
        }
        Ok((bytes, handle.turns() - turn))
    })
}

#[test]
fn a_body_that_comes_to_much_does_not_have_the_loop_to_itself() {
    for bytes in [5_000_000, 40_000_000] {
        let server = answering(&coded(&vec![0; bytes]));
        let (came, turns) = count(server.url("/"), |client| client).unwrap();
        assert_eq!(came, bytes);
        // A step may begin just below the limit.
        let turns_min = (bytes / (2 * DECODED_BYTES_PER_RESUME_MAX)) as u64;
        assert!(turns >= turns_min, "{turns} turns for {bytes} bytes, and not {turns_min}");
    }
}

#[cfg(feature = "zstd")]
#[test]
fn a_body_that_never_ends_to_come_out_ends_with_the_time_of_the_fetch() {
    // 128 GiB of zeros.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    for _ in 0..1 << 20 {
        bomb.extend_from_slice(&(((128_u32 * 1024) << 3) | (1 << 1)).to_le_bytes()[..3]);
        bomb.push(0);
    }
    let server = answering_in("zstd", &bomb);
    let timeouts = Timeouts { whole: Some(Duration::from_millis(500)), ..Timeouts::default() };
    let build = move |client: ClientBuilder| client.timeouts(timeouts).body_bytes_max(u64::MAX);
    let error = count(server.url("/"), build).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
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
