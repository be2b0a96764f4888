//! HTTPS, and certificates that prove nothing.

use std::fs;

use super::fetch;
use crate::authority::{Authority, answer, over_tls, self_signed};
use crate::program::run;
use crate::server::Server;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Fetches from a server for `name` whose certificate `issuer` has signed.
fn visit(
    issuer: &Authority,
    name: &str,
    is_expired: bool,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let config = issuer.server(name, is_expired);
    let server = Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))]);
    let url = format!("https://localhost:{}/", server.address.port());
    let (code, output, said) = run(fetch(arguments).arg(&url));
    (code, output.replace(&url, "URL"), said.replace(&url, "URL"))
}

#[test]
fn a_certificate_must_prove_who_the_server_is() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, &authority.pem).unwrap();
    let trusting = ["--cacert", file.path().to_str().unwrap()];

    let (code, output, said) = visit(&authority, "localhost", false, &trusting);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(output, "Successfully fetched URL: 5 characters\n");

    for (issuer, name, is_expired, words) in [
        (&authority, "localhost", true, "certificate expired"),
        (&authority, "elsewhere.example", false, "not valid for name \"localhost\""),
        (&stranger, "localhost", false, "its certificate is signed by no trusted authority"),
    ] {
        let (code, output, said) = visit(issuer, name, is_expired, &trusting);
        assert_eq!((code, output.as_str()), (Some(1), ""));
        assert!(said.starts_with("Error fetching URL: ") && said.contains(words), "{said}");
    }
}

#[test]
fn a_self_signed_certificate_can_be_given() {
    let (config, pem) = self_signed("localhost", true, false);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, pem).unwrap();
    for is_given in [true, false] {
        let server = Server::start(vec![over_tls(&config, |tls| answer(tls, OK, true))]);
        let mut command = fetch(&[format!("https://localhost:{}/", server.address.port())]);
        if is_given {
            command.arg("--cacert").arg(file.path());
        }
        let (code, _, said) = run(&mut command);
        assert_eq!(code, Some(i32::from(!is_given)), "{said}");
        assert_eq!(said.contains("trust that certificate or its authority: --cacert"), !is_given);
    }
}

#[test]
fn believing_anybody_is_possible_and_loud() {
    let stranger = Authority::new("theirs");
    let (code, output, said) = visit(&stranger, "elsewhere.example", true, &["--insecure"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(output, "Successfully fetched URL: 5 characters\n");
    assert!(said.starts_with("helloop: WARNING: --insecure believes every server."), "{said}");
}
