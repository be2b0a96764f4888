//! `-O`: bodies into files.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{fetch, greeter, names, objects};
use crate::program::run;
use crate::server::{Peer, Server, script};

fn into(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(fetch(arguments).arg("-O").arg(directory))
}

#[test]
fn bodies_go_into_files_of_their_own() {
    let (server, place) = (greeter(), tempfile::tempdir().unwrap());
    let directory = place.path().join("made").join("for this");
    let (world, up) = (format!("{}World", server.url), format!("{}%2e%2e%2fup", server.url));
    let (code, output, said) = into(&directory, &["--json", &world, &world, &up]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let (port, mut files) = (server.port, names(&directory));
    let mut expected = vec![
        format!("127.0.0.1_{port}_%2e%2e%2fup"),
        format!("127.0.0.1_{port}_World"),
        format!("127.0.0.1_{port}_World-2"),
    ];
    files.sort();
    expected.sort();
    assert_eq!(files, expected);
    for object in objects(&output) {
        let body = fs::read(directory.join(object["file"].as_str().unwrap())).unwrap();
        assert_eq!(body.len() as u64, object["bytes"].as_u64().unwrap());
    }
}

#[test]
fn a_file_is_replaced_by_a_whole_one_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let body = "x".repeat(1_000_000);
    let server = Server::start(vec![
        script(move |peer| {
            peer.request();
            peer.answer(&body);
        }),
        script(|peer| {
            peer.request();
            let half = "y".repeat(600_000);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
            peer.send(format!("{head}{half}").as_bytes());
        }),
    ]);
    let url = server.url("/big");
    assert_eq!(into(directory.path(), &[&url]).0, Some(0));
    let files = names(directory.path());
    let path = directory.path().join(&files[0]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 1_000_000);
    let (code, _, said) = into(directory.path(), &[&url]);
    assert!(code == Some(1) && said.contains("600000 of 1000000"), "{said}");
    assert_eq!(names(directory.path()), files, "nothing is left of the half");
    assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == b'x'));
}

#[test]
fn no_file_is_made_of_a_failure() {
    let (server, directory) = (greeter(), tempfile::tempdir().unwrap());
    let (code, ..) = into(directory.path(), &["--fail", &format!("{}a/b", server.url)]);
    assert_eq!((code, names(directory.path())), (Some(4), vec![]));
}

#[test]
fn where_nothing_can_be_written_nothing_is_fetched() {
    let (server, file) = (greeter(), tempfile::NamedTempFile::new().unwrap());
    let (code, output, said) = into(file.path(), &[&format!("{}World", server.url)]);
    assert_eq!((code, output.as_str()), (Some(3), ""));
    assert!(said.contains("cannot write to") && said.contains("not a directory"), "{said}");
}

#[test]
fn a_directory_that_vanishes_ends_the_batch() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("pages");
    let vanishing = directory.clone();
    let server = Server::start(vec![script(move |peer| {
        peer.request();
        fs::remove_dir(&vanishing).unwrap();
        peer.answer("hello");
        peer.request();
        peer.answer("never asked for");
    })]);
    let (first, second) = (server.url("/1"), server.url("/2"));
    let (code, output, said) = into(&directory, &["-j", "1", &first, &second]);
    assert_eq!((code, output.as_str()), (Some(3), ""), "{said}");
    let lost = format!("Error fetching {first}: cannot write 127.0.0.1");
    assert!(said.starts_with(&lost), "{said}");
    let end = "the directory of --output-dir is gone: 0 fetched, 1 failed, 0 cancelled";
    assert!(said.contains(end), "{said}");
}

#[test]
fn what_cannot_be_written_costs_one_url_and_is_told() {
    let (server, directory) = (greeter(), tempfile::tempdir().unwrap());
    let (taken, free) = (format!("{}taken", server.url), format!("{}free", server.url));
    let name = |url: &str| url.trim_start_matches("http://").replace([':', '/'], "_");
    fs::create_dir(directory.path().join(name(&taken))).unwrap();
    let (code, output, said) = into(directory.path(), &["-j", "1", &taken, &free]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(output, format!("Successfully fetched {free}: 13 characters\n"));
    let why = format!("cannot write {}: Is a directory (os error 21)", name(&taken));
    assert_eq!(said, format!("Error fetching {taken}: {why}\n"));
    assert_eq!(names(directory.path()), [name(&free), name(&taken)]);
    let (code, output, _) = into(directory.path(), &["--json", &taken]);
    let object = &objects(&output)[0];
    assert_eq!((code, &object["error"], &object["status"]), (Some(1), &"disk".into(), &200.into()));
}

/// The system takes no more of a file than so much, as of one on a disk that is full.
#[test]
fn a_body_for_which_there_is_no_room_costs_one_url() {
    let directory = tempfile::tempdir().unwrap();
    let answering = |bytes| {
        script(move |peer: &mut Peer| {
            peer.request();
            let body = "x".repeat(bytes);
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length";
            peer.send(format!("{head}: {bytes}\r\n\r\n{body}").as_bytes());
        })
    };
    let server = Server::start(vec![answering(2_000_000), answering(1000)]);
    let (large, small) = (server.url("/large"), server.url("/small"));
    let mut command = Command::new("sh");
    // Without the signal that the system sends by default.
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_helloop"), "fetch", "-j", "1"]);
    let (code, output, said) = run(command.args([&large, &small]).arg("-O").arg(directory.path()));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(output, format!("Successfully fetched {small}: 1000 characters\n"));
    assert!(said.starts_with(&format!("Error fetching {large}: cannot write ")), "{said}");
    assert!(said.contains("File too large") && said.lines().count() == 1, "{said}");
    assert_eq!(names(directory.path()).len(), 1, "nothing is left of the large one");
}
