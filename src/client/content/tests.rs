//! What comes off, what does not, and how much is in memory meanwhile. Coded texts are by the
//! reference implementations of their codings.

use super::*;
use crate::http::{Reply, ReplyEvent};
use crate::limits::ReplyLimits;

/// The head of a reply with these field lines.
fn head(fields: &str) -> ReplyHead {
    let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let mut reply = Reply::new("GET", ReplyLimits::default()).unwrap();
    match reply.advance(&mut text.as_bytes(), false) {
        Ok(ReplyEvent::Head(head)) => head,
        other => panic!("{other:?}"),
    }
}

fn decoder(codings: &str, bytes_max: u64) -> Option<Decoder> {
    let peer = SocketAddr::from(([127, 0, 0, 1], 80));
    Decoder::new(&head(&format!("Content-Encoding: {codings}\r\n")), peer, bytes_max)
}

/// What came of a body.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    body: Vec<u8>,
    longest_piece: usize,
}

/// Decodes `coded`, given in pieces of `size` bytes.
fn decoded(codings: &str, coded: &[u8], size: usize) -> Result<Decoded, Error> {
    let mut decoder = decoder(codings, u64::MAX).expect("there is a coding");
    let mut pieces = coded.chunks(size);
    let mut decoded = Decoded { body: Vec::new(), longest_piece: 0 };
    loop {
        match decoder.advance()? {
            Progress::Plain(piece) => {
                assert!(!piece.is_empty());
                decoded.longest_piece = decoded.longest_piece.max(piece.len());
                decoded.body.extend(piece);
            }
            Progress::Busy => {}
            Progress::Read => match pieces.next() {
                Some(piece) => decoder.push(piece.to_vec()),
                None => decoder.end(),
            },
            Progress::End => return Ok(decoded),
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// `hello, hello, hello` 100 times.
fn hello() -> Vec<u8> {
    b"hello, hello, hello".repeat(100)
}

#[cfg(feature = "brotli")]
const HELLO_BR: &str = "1b6b07f88d946ede44095286966c2c6f158f619580083a8e1307";

#[cfg(feature = "zstd")]
const HELLO_ZSTD: &str = "28b52ffd646c06dd01007068656c6c6f2c202c2068656c6c6f80c6a8e0b703e0d71006\
    c67c5555455555515555545515555545555551555554551555554555d57a8a35520a0974f607";

/// The same by an encoder that did not know how much would come.
#[cfg(feature = "zstd")]
const HELLO_ZSTD_STREAM: &str = "28b52ffd0458dd01007068656c6c6f2c202c2068656c6c6f80c6a8e0b703e0d71006\
    c67c5555455555515555545515555545555551555554551555554555d57a8a35520a0974f607";

#[cfg(feature = "gzip")]
mod flate {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    pub(super) fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    pub(super) fn raw(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }
}

/// The text of [`hello`], in every coding and shape that is known here.
fn hellos() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        #[cfg(feature = "gzip")]
        ("gzip", flate::gzip(&hello())),
        #[cfg(feature = "gzip")]
        ("X-GZip", flate::gzip(&hello())),
        #[cfg(feature = "gzip")]
        ("deflate", flate::zlib(&hello())),
        #[cfg(feature = "gzip")]
        ("Deflate", flate::raw(&hello())),
        #[cfg(feature = "brotli")]
        ("br", unhex(HELLO_BR)),
        #[cfg(feature = "zstd")]
        ("zstd", unhex(HELLO_ZSTD)),
        #[cfg(feature = "zstd")]
        ("ZSTD", unhex(HELLO_ZSTD_STREAM)),
    ]
}

#[test]
fn any_cut_gives_the_same_body() {
    for (coding, coded) in hellos() {
        for size in 1..=coded.len() {
            let decoded = decoded(coding, &coded, size).unwrap();
            assert!(decoded.body == hello(), "{coding} in pieces of {size}");
        }
    }
}

#[test]
fn a_body_that_ends_within_its_coding_or_goes_on_after_it_is_an_error() {
    for (coding, coded) in hellos() {
        for end in 1..coded.len() {
            let error = decoded(coding, &coded[..end], 16).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{coding} {end}: {error}");
        }
        for size in [1, 1000] {
            let error = decoded(coding, &[&coded[..], b"surplus"].concat(), size).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{coding}: {error}");
        }
        let error = decoded(coding, b"hello, this is just text", 5).unwrap_err();
        let claims = format!("not the {} that it claims", coding.to_ascii_lowercase());
        assert!(error.to_string().contains(&claims.replace("x-gzip", "gzip")), "{error}");
        // No content needs no coding: a reply to HEAD, a 304.
        assert_eq!(decoded(coding, b"", 1).unwrap().body, b"");
    }
}

/// One bit that is wrong is noticed, or it does not matter to what comes out. (br and raw deflate have
/// no checksum.)
#[test]
fn a_damaged_body_is_an_error_where_its_coding_can_know() {
    for (coding, coded) in
        hellos().into_iter().filter(|(name, _)| !["br", "Deflate"].contains(name))
    {
        for bit in 0..8 * coded.len() {
            let mut damaged = coded.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = decoded(coding, &damaged, 1000) {
                assert!(decoded.body == hello(), "{coding}, bit {bit}");
            }
        }
    }
}

#[test]
fn what_is_not_known_is_refused_by_name_with_the_first_byte() {
    let long = "x".repeat(1000);
    for (codings, words) in [
        ("compress", "`compress` is not known here"),
        ("identity, x-zip", "`x-zip`"),
        ("none", "Accept-Encoding"),
        ("gzip;q=1", "`gzip;q=1`"),
        ("\u{9b}31m", "`\\xc2\\x9b31m`"),
        (&long, &format!("`{}`", &long[..SHOWN_BYTES_MAX])),
        ("gzip, gzip, gzip, gzip, gzip, gzip", "6 codings are on it, and at most 5"),
    ] {
        let mut empty = decoder(codings, u64::MAX).unwrap();
        assert_eq!(empty.advance(), Ok(Progress::Read));
        empty.end();
        assert_eq!(empty.advance(), Ok(Progress::End), "nothing is wrong with no content");

        let mut decoder = decoder(codings, u64::MAX).unwrap();
        decoder.push(b"?".to_vec());
        let error = decoder.advance().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(decoder.advance(), Err(error), "it stays so");
    }
    for none in ["identity", "", ",", "Identity, identity"] {
        assert!(decoder(none, u64::MAX).is_none(), "{none}");
    }
}

#[test]
fn what_is_asked_for_is_what_comes_off() {
    let asked = accept_encoding();
    for name in ["gzip", "deflate", "br", "zstd"] {
        let is_asked_for = asked.split(", ").any(|asked| asked == name);
        assert_eq!(is_asked_for, coding(name.as_bytes()).is_some(), "{name}");
    }
    assert_eq!(asked == "identity", NAMES.is_empty());
}

#[cfg(feature = "gzip")]
#[test]
fn codings_come_off_in_the_reverse_order_over_all_fields() {
    let twice = flate::gzip(&flate::zlib(&hello()));
    for size in [1, 7, twice.len()] {
        assert!(decoded("deflate, gzip", &twice, size).unwrap().body == hello());
    }
    assert!(decoded("gzip, deflate", &twice, 100).is_err());
    let peer = SocketAddr::from(([127, 0, 0, 1], 80));
    let head = head("Content-Encoding: deflate\r\nA: b\r\ncontent-encoding: identity, gzip\r\n");
    let decoder = Decoder::new(&head, peer, u64::MAX).unwrap();
    assert_eq!(
        decoder.layers.iter().map(|layer| layer.name).collect::<Vec<_>>(),
        ["gzip", "deflate"]
    );

    let mut five = hello();
    (0..CONTENT_CODINGS_MAX).for_each(|_| five = flate::gzip(&five));
    let codings = ["gzip"; CONTENT_CODINGS_MAX].join(",");
    assert!(decoded(&codings, &five, 10).unwrap().body == hello());
    // Where the inner coding ends early, the outer one did not.
    let cut = flate::gzip(&flate::zlib(&hello())[..20]);
    let error = decoded("deflate, gzip", &cut, 100).unwrap_err();
    assert!(error.to_string().contains("not the deflate"), "{error}");
}

#[cfg(feature = "gzip")]
#[test]
fn two_members_are_one_body() {
    let both = [flate::gzip(b"a"), flate::gzip(b"b")].concat();
    assert_eq!(decoded("gzip", &both, 7).unwrap().body, b"ab");
}

/// A body of zeros in each coding, and how many there are.
fn bombs() -> Vec<(&'static str, Vec<u8>, usize)> {
    vec![
        #[cfg(feature = "gzip")]
        ("gzip", flate::gzip(&vec![0; 50_000_000]), 50_000_000),
        #[cfg(feature = "gzip")]
        ("deflate", flate::zlib(&vec![0; 50_000_000]), 50_000_000),
        #[cfg(feature = "gzip")]
        ("deflate, gzip", flate::gzip(&flate::zlib(&vec![0; 50_000_000])), 50_000_000),
        #[cfg(feature = "brotli")]
        (
            "br",
            unhex(
                "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeff\
                 ffc13f0110870500baf77ffcffff837f02200e0b0074effff20f5e0fff04401c1600e8a0eb01",
            ),
            50_000_000,
        ),
        #[cfg(feature = "zstd")]
        ("zstd", zstd_runs(17, 400), 400 << 17),
    ]
}

/// A frame with a window of so many bits, of so many runs of 128 KiB.
#[cfg(feature = "zstd")]
fn zstd_runs(window_bits: u8, runs: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_bits - 10) << 3];
    for run in 1..=runs {
        let is_last = u32::from(run == runs);
        frame.extend_from_slice(&((128 * 1024) << 3 | 1 << 1 | is_last).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn a_bomb_comes_in_small_pieces_and_stops_at_the_limit() {
    for (codings, bomb, bytes) in bombs() {
        let Decoded { body, longest_piece } = decoded(codings, &bomb, 64 * 1024).unwrap();
        assert_eq!(body.len(), bytes, "{codings}");
        assert!(longest_piece < 2_000_000, "{codings}: {longest_piece}");

        let mut decoder = decoder(codings, 1_000_000).unwrap();
        decoder.push(bomb);
        let mut came = 0;
        let error = loop {
            match decoder.advance() {
                Ok(Progress::Plain(piece)) => came += piece.len(),
                Ok(Progress::Busy) => {}
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TooLong, "{codings}: {error}");
        assert!(came <= 1_000_000, "{codings}: {came}");
    }
}

/// What waits between two layers is bounded, too: a bomb in a bomb.
#[cfg(feature = "gzip")]
#[test]
fn a_bomb_in_a_bomb_is_never_in_memory() {
    let inner = flate::gzip(&vec![0; 200_000_000]);
    // Its second half is as long as its first, and comes to nothing: an outer layer that ran ahead
    // would have all of it wait.
    let bomb = flate::gzip(&inner);
    let mut decoder = decoder("gzip, gzip", u64::MAX).unwrap();
    decoder.push(bomb);
    let (mut waiting_max, mut came) = (0, 0);
    while let Ok(progress) = decoder.advance() {
        match progress {
            Progress::Plain(piece) => came += piece.len(),
            Progress::Busy => {}
            Progress::Read => decoder.end(),
            Progress::End => break,
        }
        waiting_max = waiting_max.max(decoder.layers[1].waiting.bytes.len());
    }
    assert_eq!(came, 200_000_000);
    assert!(waiting_max < 2_000_000, "{waiting_max}");
}

#[cfg(feature = "brotli")]
#[test]
fn a_brotli_with_a_window_of_another_coding_is_refused() {
    let large = unhex(
        "111effffffe19f0088c70201b9f7fffcffff877f02200e0b00e8deffe71fbc3efe0980382c00a083ae0f",
    );
    let error = decoded("br", &large, 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

#[cfg(feature = "zstd")]
mod zstd_frames {
    use super::*;

    #[test]
    fn frames_are_joined_and_some_are_skipped() {
        let skipped = [&0x184d_2a57_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        let nothing = [&0x184d_2a50_u32.to_le_bytes()[..], &[0; 4]].concat();
        let hello = unhex(HELLO_ZSTD);
        let all = [&skipped[..], &hello, &nothing, &hello, &skipped].concat();
        for size in 1..all.len() {
            assert!(decoded("zstd", &all, size).unwrap().body == super::hello().repeat(2));
        }
        for end in [skipped.len() - 1, 3, 7] {
            assert!(decoded("zstd", &skipped[..end], 1).is_err());
        }
    }

    #[test]
    fn a_window_is_at_most_eight_mebibytes() {
        assert_eq!(decoded("zstd", &zstd_runs(23, 3), 100).unwrap().body.len(), 3 << 17);
        let error = decoded("zstd", &zstd_runs(24, 3), 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }

    #[test]
    fn a_frame_that_is_not_as_long_as_it_says_is_an_error() {
        // One segment of so many bytes, and a raw block.
        let frame = |bytes: u8, content: &[u8]| {
            let block = (u32::try_from(content.len()).unwrap() << 3 | 1).to_le_bytes();
            [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes], &block[..3], content].concat()
        };
        assert_eq!(decoded("zstd", &frame(5, b"hello"), 4).unwrap().body, b"hello");
        assert_eq!(decoded("zstd", &frame(0, b""), 4).unwrap().body, b"");
        assert!(decoded("zstd", &frame(6, b"hello"), 4).is_err());
        assert!(decoded("zstd", &frame(4, b"hello"), 4).is_err());
    }

    #[test]
    fn another_encoder_is_understood() {
        let mut random = fastrand::Rng::with_seed(1);
        for bytes in [0, 1, 100, 131_072, 131_073, 1_000_000] {
            let words = || ["hello ", "loop ", "turn\n", "0123456789"][random.usize(..4)];
            let body: String = std::iter::repeat_with(words).take(bytes / 4).collect();
            let body = &body.as_bytes()[..body.len().min(bytes)];
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            let coded = ruzstd::encoding::compress_to_vec(body, level);
            for size in [1000, 64 * 1024] {
                assert!(decoded("zstd", &coded, size).unwrap().body == body, "{bytes}");
            }
        }
    }
}
