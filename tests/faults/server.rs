use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::client::Client;
use crate::program::{Program, command};

/// At the limit a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Memory that a server may keep after an episode: what an allocator holds back, and queues that
/// have grown once. A connection that leaks shows in `many`.
const KEPT_BYTES_MAX: u64 = 4 << 20;

/// CPU time that a server may take while it has nothing to do. Generous: one that spins takes all
/// the time there is.
const IDLE_CPU_MAX: Duration = Duration::from_millis(100);

/// A server, and how it was before the episode.
pub(crate) struct Server {
    pub(crate) program: Program,
    descriptors: usize,
    resident_bytes: u64,
    /// How much of that are pages of files.
    file_bytes: u64,
}

impl Server {
    pub(crate) fn start(flags: &[&str]) -> Server {
        Server::run(&mut command(&[&["serve", "--listen", "127.0.0.1:0"], flags].concat()))
    }

    /// As [`start`](Server::start), with a hard limit of so many descriptors.
    pub(crate) fn start_with_descriptors(limit: u32, flags: &[&str]) -> Server {
        let serve = command(&[&["serve", "--listen", "127.0.0.1:0"], flags].concat());
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\""));
        shell.arg(serve.get_program()).args(serve.get_args());
        for (name, value) in serve.get_envs() {
            assert!(value.is_none(), "variables are only taken away");
            shell.env_remove(name);
        }
        Server::run(&mut shell)
    }

    pub(crate) fn run(command: &mut Command) -> Server {
        let program = Program::start(command);
        let mut server = Server { program, descriptors: 0, resident_bytes: 0, file_bytes: 0 };
        server.descriptors = server.open_descriptors();
        // What is allocated once is there from now on.
        (0..10).for_each(|_| server.program.greet());
        server.wait_for_connections(0);
        server.resident_bytes = server.memory("VmRSS:");
        server.file_bytes = server.memory("RssFile:");
        server
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.program.connect())
    }

    pub(crate) fn clients(&self, number: usize) -> Vec<Client> {
        (0..number).map(|_| self.client()).collect()
    }

    /// A line of /proc/PID/status that gives a size, in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// Resident memory now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that was resident, above what was so at the beginning, without the pages of the executable, which come
    /// when they are first needed: without optimisation they are more than what five peers may cost.
    pub(crate) fn peak_growth_bytes(&self) -> u64 {
        let executable = self.memory("RssFile:").saturating_sub(self.file_bytes);
        self.memory("VmHWM:").saturating_sub(self.resident_bytes + executable)
    }

    /// But for those through which it looks at its own descriptors for a moment, as each of its
    /// loops does once: "Server started" may be said before that.
    pub(crate) fn open_descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.program.id())).unwrap();
        let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| !target.starts_with("/proc")).count()
    }

    /// The ids of the threads of its loops, the oldest first.
    pub(crate) fn threads(&self) -> Vec<u32> {
        let entries = fs::read_dir(format!("/proc/{}/task", self.program.id())).unwrap();
        let threads = entries.map(|entry| entry.unwrap()).filter(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap();
            name.trim_end() != "standard error"
        });
        let names = threads.map(|entry| entry.file_name());
        let mut ids: Vec<u32> = names.map(|name| name.to_str().unwrap().parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    /// Connections that the process has open.
    pub(crate) fn connections(&self) -> usize {
        self.open_descriptors().saturating_sub(self.descriptors)
    }

    #[track_caller]
    pub(crate) fn wait_for_connections(&self, number: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.connections() != number {
            let open = self.connections();
            assert!(Instant::now() < deadline, "{open} connections are open, not {number}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.program.id())).unwrap();
        // The name, in parentheses, may contain anything. Field 14 is utime, 15 is stime.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields = fields.split_whitespace().skip(11).take(2);
        // proc(5): in ticks of the clock, of which Linux shows 100 a second.
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Goes through an episode in which there is nothing to do for the server.
    #[track_caller]
    pub(crate) fn stays_calm(&mut self, episode: impl FnOnce(&mut Server)) {
        let before = self.cpu_time();
        episode(self);
        let took = self.cpu_time() - before;
        assert!(took <= IDLE_CPU_MAX, "{took:?} of CPU time for nothing");
    }

    /// After an episode: it greets, and what the episode cost is given back.
    #[track_caller]
    pub(crate) fn recovers(&self) {
        self.program.greet();
        self.wait_for_connections(0);
        let kept = self.resident_bytes().saturating_sub(self.resident_bytes);
        assert!(kept <= KEPT_BYTES_MAX, "{kept} more bytes are resident");
    }

    /// Stops the process as a terminal does, and waits until it stands still.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.program.signal("STOP");
        let stat = || fs::read_to_string(format!("/proc/{}/stat", self.program.id())).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !stat().rsplit_once(')').unwrap().1.starts_with(" T") {
            assert!(Instant::now() < deadline, "it does not stop: {}", stat());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it in peace, and gives the lines that it has said.
    #[track_caller]
    pub(crate) fn end(self) -> Said {
        self.program.signal("TERM");
        self.ended()
    }

    /// Waits until it has ended, in peace, and gives the lines that it has said.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Said {
        assert_eq!(self.program.end().0, Some(0), "{:?}", self.program.said);
        Said(std::mem::take(&mut self.program.said))
    }

    /// [`recovers`](Server::recovers), then [`end`](Server::end).
    #[track_caller]
    pub(crate) fn recovers_and_ends(self) -> Said {
        self.recovers();
        self.end()
    }
}

/// What a server said from its beginning to its end.
pub(crate) struct Said(Vec<String>);

impl Said {
    /// Lines with this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.0.iter().filter(|line| line.contains(text)).count()
    }

    /// What peers do is no news to who did not ask for it.
    #[track_caller]
    pub(crate) fn no_warnings(&self) {
        self.warnings(0, "");
    }

    /// At least one warning, at most `most`, and all of them name the fault.
    #[track_caller]
    pub(crate) fn warnings(&self, most: usize, fault: &str) {
        let is_warning = |line: &&String| {
            // That a resume or a turn took long says something of the machine on which the tests run.
            let is_slow = line.contains("WARN  helloop::watch::stall: ");
            (line.contains(" WARN ") || line.contains(" ERROR ")) && !is_slow
        };
        let warnings: Vec<&String> = self.0.iter().filter(is_warning).collect();
        assert!(warnings.iter().all(|line| line.contains(fault)), "not {fault:?}: {warnings:#?}");
        assert!(warnings.len() <= most, "a flood: {warnings:#?}");
        assert!(most == 0 || !warnings.is_empty(), "no word of {fault:?}: {:#?}", self.0);
    }
}
