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
fn shards_fetch_each_url_once_and_those_of_a_host_together() {
    let (server, list) = (greeter(), tempfile::NamedTempFile::new().unwrap());
    let port = server.port;
    let hosts: Vec<String> = (1..=9).map(|number| format!("127.0.0.{number}")).collect();
    let urls = hosts
        .iter()
        .flat_map(|host| ["a", "b"].map(|name| format!("http://{host}:{port}/{name}\n")));
    fs::write(&list, urls.collect::<String>()).unwrap();
    let mut lines = Vec::new();
    for shard in ["0/3", "1/3", "2/3"] {
        let (_, output, said) = run(fetch(&["--json", "--shard", shard, "-i"]).arg(list.path()));
        assert_eq!(said, "");
        let of_shard: Vec<String> = objects(&output)
            .iter()
            .map(|object| object["url"].as_str().unwrap().to_owned())
            .collect();
        for host in &hosts {
            let count = of_shard.iter().filter(|url| url.contains(&format!("{host}:"))).count();
            assert!(count == 0 || count == 2, "{shard} has {count} of {host}");
        }
        lines.extend(of_shard);
    }
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 18);
}

#[test]
fn a_shard_that_is_none_is_a_usage_error() {
    for (shard, why) in [("3/3", "the last is 2"), ("0/0", "at least one"), ("1", "0/8")] {
        let (code, output, said) = run(&mut fetch(&["--shard", shard, "http://h/"]));
        assert_eq!((code, output.as_str()), (Some(2), ""));
        assert!(said.contains("--shard <I/N>") && said.contains(why), "{said}");
    }
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
