//! Name servers that take their time. The system asks the one of this test, because the files that say
//! whom to ask are covered by others.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;

use crate::faults::namespaces::{ip, is_inside};
use crate::program::{Program, command, run};

/// As many as are fetched at a time without other words.
const HOSTS: usize = 100;
/// Of each five hosts, this one does not exist.
const DEAD: usize = 3;

/// What the system reads instead of `path`.
fn cover(path: &str, text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    let mounted = Command::new("mount").arg("--bind").arg(file.path()).arg(path).status();
    assert!(mounted.unwrap().success(), "mount --bind ... {path}");
}

/// The name in the question of a DNS message (RFC 1035 section 4.1.2), and what is behind it.
fn question(message: &[u8]) -> (String, &[u8]) {
    let (mut name, mut rest) = (String::new(), &message[12..]);
    while let [length, behind @ ..] = rest
        && *length > 0
    {
        let (label, next) = behind.split_at((*length).into());
        name += str::from_utf8(label).unwrap();
        name.push('.');
        rest = next;
    }
    (name, &rest[1..])
}

/// A question back, as its answer: 127.0.0.1 where it was for an address of the fourth version and
/// the name exists.
fn answer(message: &[u8]) -> Vec<u8> {
    let (name, behind) = question(message);
    let exists = !name.starts_with("dead");
    let is_v4 = behind[..2] == [0, 1];
    let end = message.len() - behind.len() + 4;
    let mut answer = message[..end].to_vec();
    // An answer, recursion available; name error or none.
    answer[2..4].copy_from_slice(&[0x81, if exists { 0x80 } else { 0x83 }]);
    answer[6..12].copy_from_slice(&[0, u8::from(exists && is_v4), 0, 0, 0, 0]);
    if exists && is_v4 {
        // The name of the question, an address of the Internet, not to be kept, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

/// Answers when all names have been asked for, and not before.
fn serve_names(socket: &UdpSocket) {
    let mut asked: BTreeMap<String, Vec<(Vec<u8>, SocketAddr)>> = BTreeMap::new();
    let mut buffer = [0; 1024];
    loop {
        let (bytes, peer) = socket.recv_from(&mut buffer).unwrap();
        let message = &buffer[..bytes];
        asked.entry(question(message).0).or_default().push((message.to_vec(), peer));
        if asked.len() >= HOSTS {
            for (message, peer) in asked.values_mut().flat_map(std::mem::take) {
                socket.send_to(&answer(&message), peer).unwrap();
            }
        }
    }
}

#[test]
fn names_do_not_wait_for_each_other() {
    if !is_inside(module_path!(), "names_do_not_wait_for_each_other") {
        return;
    }
    ip("link set lo up");
    cover("/etc/resolv.conf", "nameserver 127.0.0.1\n");
    cover("/etc/nsswitch.conf", "hosts: files dns\n");
    let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
    thread::spawn(move || serve_names(&names));
    let server = Program::start(&mut command(&["serve", "--listen", "127.0.0.1:0"]));
    let is_dead = |number: &usize| number % 5 == DEAD;
    let url = |number: usize| {
        let host = if is_dead(&number) { "dead" } else { "host" };
        format!("http://{host}{number}.example.:{}/", server.port)
    };
    let urls: Vec<_> = (0..HOSTS).map(url).collect();
    let (code, output, said) = run(command(&["fetch"]).args(&urls));
    let dead = (0..HOSTS).filter(is_dead).count();
    assert_eq!((code, output.lines().count()), (Some(1), HOSTS - dead), "{said}");
    assert_eq!(said.matches(": cannot resolve dead").count(), dead, "{said}");
}
