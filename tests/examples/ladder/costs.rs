use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, PATIENCE};
use super::{Rung, folder};
use crate::program::Program;
use crate::strace::{Strace, has_strace};

pub(super) fn lines(rung: &Rung) {
    let text = fs::read_to_string(folder().join(format!("{}.rs", rung.name))).unwrap();
    assert_eq!(text.lines().count().to_string(), rung.cell("lines"), "{}", rung.name);
}

/// Of one client that asks and waits, so that there is nothing to share between requests.
pub(super) fn system_calls(rung: &Rung) {
    const REQUESTS: usize = 200;
    if !has_strace() {
        return;
    }
    let server = rung.start();
    let mut client = Client::of(&server);
    client.greet();
    let mut strace = Strace::run(&["-f", "-p", &server.id().to_string()]).unwrap();
    for _ in 0..REQUESTS {
        // While it is traced it is slow, and might find the next request before it waits for it.
        wait_until_it_waits(&server);
        client.greet();
    }
    wait_until_it_waits(&server);
    strace.interrupt();
    // A call that another one interrupts takes two lines.
    let is_call = |line: &String| line.contains('(') && !line.contains("resumed>");
    let calls = strace.lines.iter().filter(is_call).count();
    let each = (calls + REQUESTS / 2) / REQUESTS;
    assert_eq!(each.to_string(), rung.cell("system calls for a request"), "{}: {calls}", rung.name);
}

/// Nothing is left for it to do.
pub(super) fn wait_until_it_waits(server: &Program) {
    let deadline = Instant::now() + PATIENCE;
    let is_asleep = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('S')
    };
    while !threads(server).into_iter().all(is_asleep) {
        assert!(Instant::now() < deadline, "it does not come to rest");
        thread::sleep(Duration::from_micros(200));
    }
}

fn threads(server: &Program) -> Vec<fs::DirEntry> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    threads.map(Result::unwrap).collect()
}

/// 1,000 of them, each after its first request.
pub(super) fn idle_clients(rung: &Rung) {
    const ATTEMPTS: usize = 10;
    let row = "threads for 1,000 idle clients";
    if rung.cell(row) == "–" {
        return;
    }
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // On a busy machine some clients' time is over before the last one has come.
    let costs = (0..ATTEMPTS).find_map(|_| threads_and_bytes(rung));
    let (threads, bytes) = costs.unwrap_or_else(|| panic!("{}: this took too long", rung.name));
    assert_eq!(threads, number(rung.cell(row)), "{}", rung.name);
    // Allocators differ, and pages are coarse.
    let about = number(rung.cell("bytes of memory for each of them"));
    let is_near = (about / 2..about * 2).contains(&bytes);
    assert!(is_near, "{}: {bytes} bytes, not about {about}", rung.name);
}

/// Threads with 1,000 clients, and bytes for each of them; `None` if some were ended by time.
fn threads_and_bytes(rung: &Rung) -> Option<(usize, usize)> {
    const CLIENTS: usize = 1000;
    let server = rung.start();
    Client::of(&server).greet();
    let before = resident_bytes(&server);
    let greeted = |_| {
        let mut client = Client::of(&server);
        client.greet();
        client
    };
    let clients: Vec<_> = (0..CLIENTS).map(greeted).collect();
    let bytes = resident_bytes(&server).saturating_sub(before) / CLIENTS;
    let threads = threads(&server).len();
    clients.iter().all(Client::is_open).then_some((threads, bytes))
}

/// `1,001`.
fn number(cell: &str) -> usize {
    cell.replace(',', "").parse().unwrap()
}

fn resident_bytes(server: &Program) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", server.id())).unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
