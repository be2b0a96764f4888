//! Processes, as the system lists them: which one listens on a port, and which are ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};

/// A process, told from a later one with the same number, and from what it was before it called exec(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    /// When it was started, in ticks since the system was.
    started: u64,
    pub(super) pid: i32,
    parent: i32,
    /// Where its stack begins, which the system draws anew for every program.
    stack: u64,
}

impl Process {
    /// The same program in the same process. Its parent may be another one by now.
    pub(super) fn is_same(&self, other: &Process) -> bool {
        (self.pid, self.started, self.stack) == (other.pid, other.started, other.stack)
    }
}

/// From now on, processes whose parent ends are children of this one, if they are its descendants: a successor that
/// a server has started is found, and ended.
///
/// # Errors
/// What prctl(2) says.
pub(super) fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(Some(getpid())).map_err(io::Error::from)
}

/// Our descendants that listen on a TCP port: the one that started the others first.
pub(super) fn listeners(port: u16) -> Vec<Process> {
    let sockets = listening_sockets();
    let inodes: BTreeSet<u64> =
        sockets.iter().filter(|(_, it)| **it == port).map(|(inode, _)| *inode).collect();
    let mut found: Vec<Process> = descendants();
    found.retain(|process| sockets_of(process.pid).iter().any(|inode| inodes.contains(inode)));
    let pids: BTreeSet<i32> = found.iter().map(|process| process.pid).collect();
    found.sort_by_key(|process| (pids.contains(&process.parent), process.started, process.pid));
    found
}

/// Whether a process is left that may come to listen.
pub(super) fn is_any_left() -> bool {
    !descendants().is_empty()
}

/// The other TCP ports that our descendants listen on.
pub(super) fn other_ports(known: &[u16]) -> Vec<u16> {
    let sockets = listening_sockets();
    let ours = descendants().into_iter().flat_map(|process| sockets_of(process.pid));
    let ports: BTreeSet<u16> = ours.filter_map(|inode| sockets.get(&inode).copied()).collect();
    ports.into_iter().filter(|port| !known.contains(port)).collect()
}

/// Kills everything that was started, and what that has started.
pub(super) fn kill_all() {
    loop {
        let living = descendants();
        for process in &living {
            if let Some(pid) = Pid::from_raw(process.pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // Whose parent was killed is ours now. With none left there is nothing to wait for.
        match waitid(WaitId::All, WaitIdOptions::EXITED) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn descendants() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let all: Vec<Process> = pids.filter_map(process).collect();
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let (mut found, mut next) = (Vec::new(), vec![getpid().as_raw_nonzero().get()]);
    while let Some(parent) = next.pop() {
        let of_it = children.remove(&parent).unwrap_or_default();
        next.extend(of_it.iter().map(|child| child.pid));
        found.extend(of_it);
    }
    found
}

/// What proc_pid_stat(5) says, unless it has ended.
fn process(pid: i32) -> Option<Process> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    // The name of the program may have anything in it; the third field comes after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
    let is_over = matches!(fields.first(), Some(&("Z" | "X")));
    let parent = i32::try_from(field(4)?).ok()?;
    let process = Process { pid, parent, started: field(22)?, stack: field(28)? };
    (!is_over).then_some(process)
}

fn sockets_of(pid: i32) -> Vec<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inodes = descriptors.filter_map(|descriptor| {
        let target = fs::read_link(descriptor.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    });
    inodes.collect()
}

/// Inode and port of each TCP socket that listens.
fn listening_sockets() -> BTreeMap<u64, u16> {
    let mut sockets = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(file) = File::open(table) else { continue };
        let lines = BufReader::new(file).lines().skip(1).map_while(Result::ok);
        sockets.extend(leading_listeners(lines));
    }
    sockets
}

/// The kernel lists sockets that listen before all others, and writes what is read only: the 100,000 connections
/// that rest in TIME_WAIT after a load test would otherwise be listed every 10 ms, which takes seconds.
fn leading_listeners(lines: impl Iterator<Item = String>) -> impl Iterator<Item = (u64, u16)> {
    lines.map_while(|line| parse_socket(&line))
}

/// `0: 0100007F:1F90 00000000:0000 0A … inode …`
fn parse_socket(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_listening = fields.get(3) == Some(&"0A");
    let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
    let inode = fields.get(9)?.parse().ok()?;
    is_listening.then_some((inode, port))
}

/// Where a program is: as execvp(3) looks for it.
pub(super) fn find(program: &str) -> Option<std::path::PathBuf> {
    let is_program = |path: &std::path::PathBuf| {
        fs::metadata(path).is_ok_and(|about| about.is_file() && about.mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(program.into()).filter(is_program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has servers where only root looks by default.
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_line_about_a_process_is_read_whatever_its_name_is() {
        let line = "17 (a) b (c) S 4 17 17 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9001 0 0 0 0 0 777 0 0";
        let expected = Process { pid: 17, parent: 4, started: 9001, stack: 777 };
        assert_eq!(parse_stat(17, line), Some(expected));
        assert_eq!(parse_stat(17, &line.replace(" S ", " Z ")), None, "it has ended");
        for broken in ["", "17 (a", "17 (a) S", "17 (a) S x 1"] {
            assert_eq!(parse_stat(17, broken), None);
        }
        let own = process(getpid().as_raw_nonzero().get()).unwrap();
        assert!(own.started > 0 && own.parent > 0);
    }

    #[test]
    fn a_line_about_a_socket_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1";
        assert_eq!(parse_socket(line), Some((4711, 8080)));
        assert_eq!(parse_socket(&line.replace(" 0A ", " 01 ")), None, "it is connected");
        assert_eq!(parse_socket(""), None);
    }

    #[test]
    fn what_follows_the_listening_sockets_is_not_read() {
        let line = |port, state: &str| {
            format!("0: 0100007F:{port:04X} 00000000:0000 {state} 0:0 00:0 0 0 0 {port} 1")
        };
        let mut lines =
            [line(80, "0A"), line(81, "0A"), line(82, "06"), line(83, "06")].into_iter();
        let found: Vec<(u64, u16)> = leading_listeners(lines.by_ref()).collect();
        assert_eq!(found, [(80, 80), (81, 81)]);
        assert_eq!(lines.len(), 1, "only the one that ends it");
    }

    #[test]
    fn a_listening_socket_is_listed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sockets = listening_sockets();
        let ours = sockets_of(getpid().as_raw_nonzero().get());
        assert!(ours.iter().any(|inode| sockets.get(inode) == Some(&port)));
        assert!(listeners(port).is_empty(), "it is our own, and no descendant's");
    }

    #[test]
    fn a_program_is_found() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("/bin/sh"), Some("/bin/sh".into()));
        assert_eq!(find("no-such-program"), None);
        assert_eq!(find("/etc/passwd"), None);
    }
}
