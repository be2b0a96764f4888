//! Lists as people have them, and the secrets in them.

use std::fs;

use super::{fetch, greeter, names, objects, refused_port};
use crate::program::run;
use crate::server::{Server, script};

#[test]
fn a_list_from_anywhere_is_read() {
    let (server, list) = (greeter(), tempfile::NamedTempFile::new().unwrap());
    let base = &server.url;
    let text = format!("\u{feff}{base}a # the first\r\n# none\r\n\r\n{base}b\r{base}c\t# the last");
    fs::write(&list, text).unwrap();
    let (code, output, said) = run(fetch(&["-i"]).arg(list.path()));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let line = |name| format!("Successfully fetched {base}{name}: 10 characters\n");
    assert_eq!(output, ["a", "b", "c"].map(line).concat());
}

#[test]
fn a_password_is_sent_and_nothing_shows_it() {
    let server = Server::start(vec![script(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n");
        peer.request();
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n");
        peer.request();
        peer.answer("hello");
        peer.wait_for_close();
    })]);
    let place = tempfile::tempdir().unwrap();
    let (list, trace) = (place.path().join("list"), place.path().join("trace"));
    let (address, refused) = (server.address, refused_port());
    let text = format!(
        "http://me:s3cret@{address}/\nhttp://me:s3cret@127.0.0.1:{refused}/\n\
         http://me:s3/cret@h:x/\nme:s3cret@h\nhttp://me:s3cret@h/\u{ff}\n"
    );
    // The last line is not UTF-8.
    let mut text = text.into_bytes();
    let last = text.len() - 3;
    text.remove(last);
    fs::write(&list, text).unwrap();
    let directory = place.path().join("bodies");
    for style in [Some("--json"), None] {
        let mut command = fetch(&["-vv", "--explain", "--retries", "1", "--per-host", "1"]);
        command.args(style).arg("--trace").arg(&trace).arg("-O").arg(&directory);
        command.arg("-i").arg(&list);
        let (code, output, said) = run(&mut command);
        assert_eq!(code, Some(1), "{said}");
        let traced = fs::read(&trace).unwrap().escape_ascii().to_string();
        let files = names(&directory).join(" ");
        for (what, text) in
            [("output", &output), ("standard error", &said), ("trace", &traced), ("files", &files)]
        {
            assert!(!text.contains("s3"), "{what}: {text}");
        }
        if style.is_some() {
            let objects = objects(&output);
            assert_eq!(objects[0]["url"], format!("http://{address}/"));
            assert_eq!(objects[0]["final_url"], format!("http://{address}/again"));
            assert_eq!((&objects[0]["attempts"], objects.len()), (&2.into(), 5));
        } else {
            assert!(
                said.contains(&format!("Error fetching http://127.0.0.1:{refused}/: ")),
                "{said}"
            );
        }
    }
    for _ in 0..3 {
        // printf me:s3cret | base64
        let request = server.next_seen();
        assert!(request.contains("\r\nAuthorization: Basic bWU6czNjcmV0\r\n"), "{request}");
    }
}
