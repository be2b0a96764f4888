//! A disk that is full.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread;

use crate::faults::namespaces::{ip, is_inside};
use crate::program::{command, run};

/// Answers one request on each connection with so many bytes.
fn serve(listener: &TcpListener, bodies: &[usize]) {
    for bytes in bodies {
        let (mut peer, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            peer.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
        // A server that cannot write the body down need not read all of it.
        let _ = peer.write_all(&[head.as_bytes(), &vec![b'x'; *bytes]].concat());
    }
}

#[test]
fn a_body_that_finds_no_room_on_the_disk_costs_itself() {
    if !is_inside(module_path!(), "a_body_that_finds_no_room_on_the_disk_costs_itself") {
        return;
    }
    ip("link set lo up");
    let directory = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(directory.path());
    assert!(mount.status().unwrap().success());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(&listener, &[1000, 3_000_000, 1000]));
    let urls = ["first", "large", "last"].map(|name| format!("http://{address}/{name}"));
    let mut fetch = command(&["fetch", "-j", "1", "-O"]);
    let (code, output, said) = run(fetch.arg(directory.path()).args(&urls));
    assert_eq!((code, output.lines().count()), (Some(1), 2), "{output}{said}");
    let lost = format!("Error fetching {}: cannot write ", urls[1]);
    assert!(said.starts_with(&lost) && said.contains("No space left on device"), "{said}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left of it");
}
