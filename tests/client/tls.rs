//! HTTPS, with an authority that is made here.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::Duration;

use helloop::client::{Client, ClientBuilder, Error, ErrorKind, Timeouts, TlsConfig};

use crate::authority::{Authority, TlsPeer, answer, over_tls, request, self_signed};
use crate::server::{PATIENCE, Peer, Server, run, script};

/// What a client is told that takes its word.
fn trusted(authority: &Authority) -> TlsConfig {
    TlsConfig::new().without_system_roots().add_roots_pem(authority.pem.as_bytes()).unwrap()
}

fn url(server: &Server, host: &str) -> String {
    format!("https://{host}:{}/", server.address.port())
}

fn text(url: String, config: TlsConfig) -> Result<String, Error> {
    fetch(url, move |client| client.tls(config))
}

fn fetch(
    url: String,
    build: impl FnOnce(ClientBuilder) -> ClientBuilder + 'static,
) -> Result<String, Error> {
    run(|handle| async move {
        let client = build(Client::builder(&handle)).build()?;
        client.get(&url).send().await?.text().await
    })
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const UNTIL_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nhello";

#[test]
fn a_server_with_a_good_certificate_is_believed() {
    let authority = Authority::new("one");
    for (name, host) in [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")] {
        let config = authority.server(name, false);
        let server = Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))]);
        assert_eq!(text(url(&server, host), trusted(&authority)).unwrap(), "hello");
        assert!(server.next_seen().contains(&format!("{:?}", Some(b"http/1.1"))));
    }
}

#[test]
fn a_connection_is_kept_and_a_session_is_used_again() {
    let authority = Authority::new("one");
    let config = authority.server("localhost", false);
    let twice = |tls: &mut TlsPeer<'_>| {
        for _ in 0..2 {
            answer(tls, OK, false);
        }
    };
    let server = Server::start(vec![over_tls(&config, twice), over_tls(&config, twice)]);
    let (url, trusted) = (url(&server, "localhost"), trusted(&authority));
    run(|handle| async move {
        let client = Client::builder(&handle).tls(trusted).build().unwrap();
        for number in 0..4 {
            let reply = client.get(&url).send().await.unwrap();
            let is_kept = reply.timings().connect.is_zero();
            assert_eq!(is_kept, number % 2 == 1, "fetch {number}");
            assert_eq!(reply.text().await.unwrap(), "hello");
            while number == 1 && client.idle_connections() > 0 {
                handle.sleep(Duration::from_millis(1)).await;
            }
        }
    });
    assert!(server.next_seen().starts_with("Some(Full"));
    assert!(server.next_seen().starts_with("Some(Resumed"));
}

#[test]
fn who_cannot_prove_it_is_refused() {
    let (authority, stranger) = (Authority::new("one"), Authority::new("another"));
    for (issuer, name, is_expired, words) in [
        (&authority, "localhost", true, "expired"),
        (&authority, "elsewhere.example", false, "not valid for name"),
        (&stranger, "localhost", false, "its certificate is signed by no trusted authority"),
    ] {
        let config = issuer.server(name, is_expired);
        let server = Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))]);
        let error = text(url(&server, "localhost"), trusted(&authority)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(error.to_string().contains(words), "`{words}`: {error}");
        assert!(error.to_string().contains("localhost:"), "{error}");
    }
}

#[test]
fn a_self_signed_certificate_that_was_given_is_believed_for_its_name_and_time() {
    for is_ca in [false, true] {
        for (name, host, is_expired, words) in [
            ("localhost", "localhost", false, None),
            ("127.0.0.1", "127.0.0.1", false, None),
            ("elsewhere.example", "localhost", false, Some("not valid for name")),
            ("localhost", "localhost", true, Some("expired")),
        ] {
            let (config, pem) = self_signed(name, is_ca, is_expired);
            let server = Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))]);
            let given =
                TlsConfig::new().without_system_roots().add_roots_pem(pem.as_bytes()).unwrap();
            match (text(url(&server, host), given), words) {
                (Ok(text), None) => assert_eq!(text, "hello"),
                (Err(error), Some(words)) => {
                    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
                    assert!(error.to_string().contains(words), "`{words}`: {error}");
                }
                (outcome, _) => panic!("{name}, authority {is_ca}: {outcome:?}"),
            }
        }
    }
}

#[test]
fn a_self_signed_certificate_that_was_not_given_is_refused_with_a_remedy() {
    let authority = Authority::new("another");
    let (_, others) = self_signed("localhost", true, false);
    for (is_ca, words) in [
        (false, "its certificate is signed by no trusted authority"),
        (true, "its certificate is that of an authority, and not of a server"),
    ] {
        let (config, _) = self_signed("localhost", is_ca, false);
        let server = Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))]);
        // Another server's, of the same name, makes no difference.
        let trusted = trusted(&authority).add_roots_pem(others.as_bytes()).unwrap();
        let error = text(url(&server, "localhost"), trusted).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("--cacert FILE"), "{text}");
    }
}

#[test]
fn whoever_insists_believes_anybody() {
    let stranger = Authority::new("another");
    for (name, is_expired) in [("localhost", true), ("elsewhere.example", false)] {
        let config = stranger.server(name, is_expired);
        let server = Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))]);
        let believing = TlsConfig::new().danger_accept_invalid_certs();
        assert_eq!(text(url(&server, "localhost"), believing).unwrap(), "hello");
    }
}

#[test]
fn an_end_without_a_goodbye_is_a_cut_where_only_that_tells() {
    let authority = Authority::new("one");
    let config = authority.server("localhost", false);
    for (bytes, is_polite, is_good) in [
        (UNTIL_CLOSE, true, true),
        (UNTIL_CLOSE, false, false),
        (OK, false, true),
        (&OK[..OK.len() - 1], true, false),
    ] {
        let server =
            Server::start(vec![over_tls(&config, move |tls| answer(tls, bytes, is_polite))]);
        let outcome = text(url(&server, "localhost"), trusted(&authority));
        match outcome {
            Ok(text) => assert!(is_good && text == "hello", "{bytes:?}"),
            Err(error) => assert!(!is_good && error.kind() == ErrorKind::Truncated, "{error}"),
        }
    }
}

#[test]
fn a_client_says_goodbye_before_it_closes() {
    let authority = Authority::new("one");
    let config = authority.server("localhost", false);
    let (tell, told) = channel();
    let server = Server::start(vec![over_tls(&config, move |tls| {
        answer(tls, OK, false);
        // Without the goodbye, this is an error: a cut.
        tell.send(tls.read(&mut [0]).map_err(|error| error.kind())).unwrap();
    })]);
    assert_eq!(text(url(&server, "localhost"), trusted(&authority)).unwrap(), "hello");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(0)));
}

#[test]
fn a_large_body_goes_both_ways() {
    let authority = Authority::new("one");
    let config = authority.server("localhost", false);
    let server = Server::start(vec![over_tls(&config, |tls| {
        assert!(request(tls));
        let mut body = vec![0; 2_000_000];
        tls.read_exact(&mut body).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        tls.write_all(head.as_bytes()).unwrap();
        tls.write_all(&body).unwrap();
        tls.flush().unwrap();
    })]);
    let (url, trusted) = (url(&server, "localhost"), trusted(&authority));
    let body: Vec<u8> = (0..2_000_000_usize).map(|at| at.to_le_bytes()[0]).collect();
    let sent = body.clone();
    let got = run(|handle| async move {
        let client = Client::builder(&handle).tls(trusted).build().unwrap();
        client.post(&url).body(sent).send().await?.bytes().await
    });
    assert!(got.unwrap() == body);
}

#[test]
fn who_does_not_speak_tls_is_told_from_who_does_not_speak() {
    let authority = Authority::new("one");
    let plain = Server::start(vec![script(|peer| {
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.wait_for_close();
    })]);
    let error = text(url(&plain, "localhost"), trusted(&authority)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");

    let closed = Server::start(vec![script(|_| {})]);
    let error = text(url(&closed, "localhost"), trusted(&authority)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");

    let silent = Server::start(vec![script(Peer::wait_for_close)]);
    let (trusted, limit) = (trusted(&authority), Duration::from_millis(50));
    let timeouts = Timeouts { tls: limit, ..Timeouts::default() };
    let build = move |client: ClientBuilder| client.tls(trusted).timeouts(timeouts);
    let error = fetch(url(&silent, "localhost"), build).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
}

#[test]
fn authorities_are_looked_at_when_they_are_given() {
    for bad in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = TlsConfig::new().add_roots_pem(bad.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    }
    let nobody = TlsConfig::new().without_system_roots();
    let silent = Server::start(vec![script(Peer::wait_for_close)]);
    let error = text(url(&silent, "localhost"), nobody).unwrap_err();
    assert!(error.to_string().contains("no certificate authority is trusted"), "{error}");
}
