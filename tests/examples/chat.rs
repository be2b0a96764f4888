//! The chat room, with members that behave and some that do not.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::examples::example;
use crate::program::{Program, run};
use crate::server::PATIENCE;

/// Somebody with a connection. Reading gives up after a time that no test should need.
struct Visitor {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Visitor {
    #[track_caller]
    fn come(room: &Program) -> Visitor {
        let stream = room.connect();
        let lines = BufReader::new(stream.try_clone().unwrap());
        let mut visitor = Visitor { stream, lines };
        visitor.reads("* What is your name?");
        visitor
    }

    /// Comes, and is among these others then.
    #[track_caller]
    fn join(room: &Program, name: &str, everybody: &str) -> Visitor {
        let mut visitor = Visitor::come(room);
        visitor.say(name);
        visitor.reads(&format!("* Here: {everybody}"));
        visitor
    }

    #[track_caller]
    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; empty at the end.
    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    #[track_caller]
    fn reads(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }
}

fn room() -> Program {
    Program::start_on_stdout(&mut example("chat", &["127.0.0.1:0"]))
}

#[test]
fn everybody_reads_the_lines_of_the_others_in_order() {
    let room = room();
    let mut ann = Visitor::join(&room, "ann", "ann");
    let mut bob = Visitor::join(&room, "bob", "ann, bob");
    ann.reads("* bob has joined");
    let mut cid = Visitor::join(&room, "cid", "ann, bob, cid");
    for member in [&mut ann, &mut bob] {
        member.reads("* cid has joined");
    }
    ann.say("one\r\n\n  two\nthree");
    for member in [&mut bob, &mut cid] {
        for line in ["one", "two", "three"] {
            member.reads(&format!("ann: {line}"));
        }
    }
    bob.say("four \u{1b}[31m\u{7}Jürgen");
    for member in [&mut ann, &mut cid] {
        member.reads("bob: four \\u{1b}[31m\\u{7}Jürgen");
    }
    cid.say("/who");
    cid.reads("* Here: ann, bob, cid");
    cid.say("/nonsense");
    cid.reads("* There are /who and /quit");
    cid.say("five\n/quit\nsix");
    cid.reads("* Bye.");
    cid.reads("");
    for member in [&mut ann, &mut bob] {
        member.reads("cid: five");
        member.reads("* cid has left");
    }
    ann.say("/who");
    ann.reads("* Here: ann, bob");
}

#[test]
fn a_name_is_asked_for_until_it_is_a_good_one() {
    let room = room();
    let mut ann = Visitor::join(&room, "ann", "ann");
    let mut other = Visitor::come(&room);
    for bad in ["", "a b", "a:", &"x".repeat(33)] {
        other.say(bad);
        other.reads("* A name has up to 32 letters, digits, - and _");
    }
    other.say("ann");
    other.reads("* ann is taken");
    other.say("Jürgen_2");
    other.reads("* Here: Jürgen_2, ann");
    ann.reads("* Jürgen_2 has joined");
}

#[test]
fn who_breaks_off_is_gone_for_the_others() {
    let room = room();
    let mut ann = Visitor::join(&room, "ann", "ann");
    // In the middle of a line; by a reset; before it has a name.
    let mut bob = Visitor::join(&room, "bob", "ann, bob");
    ann.reads("* bob has joined");
    bob.stream.write_all(b"half a li").unwrap();
    bob.stream.shutdown(Shutdown::Both).unwrap();
    ann.reads("* bob is gone");
    let cid = Visitor::join(&room, "cid", "ann, cid");
    ann.reads("* cid has joined");
    socket2::SockRef::from(&cid.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(cid);
    ann.reads("* cid is gone");
    drop(Visitor::come(&room));
    let mut dan = Visitor::join(&room, "dan", "ann, dan");
    ann.reads("* dan has joined");
    dan.say(&"x".repeat(1025));
    dan.reads("* A line has at most 1024 bytes.");
    dan.reads("");
    ann.reads("* dan said too much in one line and was disconnected");
}

/// So many lines fill an outbox and what the kernel buffers for one connection many times over.
const LINES_MAX: usize = 100_000;

#[test]
fn who_never_reads_loses_the_place_and_holds_nobody_up() {
    let room = room();
    let mut cid = Visitor::join(&room, "cid", "cid");
    let mut bob = Visitor::join(&room, "bob", "bob, cid");
    let mut ann = Visitor::join(&room, "ann", "ann, bob, cid");
    bob.reads("* ann has joined");
    let line = |number: usize| format!("{number} {}", "x".repeat(1000));
    let mut said = 0;
    let mut is_lost = false;
    while !is_lost {
        assert!(said < LINES_MAX, "nobody is lost after {said} lines");
        let lines: Vec<String> = (said..said + 100).map(line).collect();
        ann.say(&lines.join("\n"));
        // Bob reads all of them, in order, and in between that cid is lost.
        let until = said + 100;
        while said < until {
            let read = bob.line();
            if read == "* cid reads too slowly and has lost the place" && !is_lost {
                is_lost = true;
                continue;
            }
            assert!(read == format!("ann: {}", line(said)), "{said}: {}", &read[..20]);
            said += 1;
        }
    }
    ann.reads("* cid reads too slowly and has lost the place");

    // What cid reads at last has no gap, and ends with the reason.
    cid.reads("* bob has joined");
    cid.reads("* ann has joined");
    let mut number = 0;
    let last = loop {
        let read = cid.line();
        if !read.starts_with("ann: ") {
            break read;
        }
        assert!(read == format!("ann: {}", line(number)), "{number}: {}", &read[..20]);
        number += 1;
    };
    assert_eq!(last, "* You read too slowly and have lost your place.");
    cid.reads("");
    assert!(number < said);

    let mut cid = Visitor::join(&room, "cid", "ann, bob, cid");
    bob.reads("* cid has joined");
    ann.reads("* cid has joined");
    ann.say("welcome back");
    for member in [&mut bob, &mut cid] {
        member.reads("ann: welcome back");
    }
}

/// More lines at once than an outbox has room for.
#[test]
fn a_burst_of_lines_loses_nobody_who_reads() {
    let room = room();
    let mut bob = Visitor::join(&room, "bob", "bob");
    let mut ann = Visitor::join(&room, "ann", "ann, bob");
    bob.reads("* ann has joined");
    let lines: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    ann.say(&lines.join("\n"));
    for line in lines {
        bob.reads(&format!("ann: {line}"));
    }
}

#[test]
fn many_talk_at_once_and_nobody_misses_a_line() {
    let (members, rounds) = (50, 10);
    let room = room();
    let mut visitors: Vec<Visitor> = Vec::new();
    for number in 0..members {
        let mut visitor = Visitor::come(&room);
        visitor.say(&format!("m{number}"));
        assert!(visitor.line().starts_with("* Here: "));
        for other in &mut visitors {
            other.reads(&format!("* m{number} has joined"));
        }
        visitors.push(visitor);
    }
    for round in 0..rounds {
        for visitor in &mut visitors {
            visitor.say(&format!("round {round}"));
        }
    }
    for (own, visitor) in visitors.iter_mut().enumerate() {
        let mut next = vec![0; members];
        for _ in 0..(members - 1) * rounds {
            let line = visitor.line();
            let (name, round) = line.split_once(": round ").unwrap();
            let speaker: usize = name[1..].parse().unwrap();
            assert_eq!(round.parse(), Ok(next[speaker]), "m{own} reads {line}");
            next[speaker] += 1;
        }
        next[own] = rounds;
        assert_eq!(next, vec![rounds; members]);
    }
}

#[test]
fn who_comes_when_the_room_is_full_is_sent_away() {
    let room = Program::start_on_stdout(&mut example("chat", &["127.0.0.1:0", "1"]));
    let mut ann = Visitor::join(&room, "ann", "ann");
    let mut stream = BufReader::new(room.connect());
    let mut answer = String::new();
    stream.read_line(&mut answer).unwrap();
    assert_eq!(answer, "* The room is full.\n");
    drop(stream);
    ann.say("/quit");
    ann.reads("* Bye.");
    ann.reads("");
    drop(ann);
    // The place is free when the connection is closed, which nobody out here can see.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = BufReader::new(room.connect());
        let mut answer = String::new();
        stream.read_line(&mut answer).unwrap();
        match answer.as_str() {
            "* What is your name?\n" => return,
            "* The room is full.\n" => assert!(Instant::now() < deadline),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_address_that_is_none_or_taken_is_named() {
    let room = room();
    let taken = format!("127.0.0.1:{}", room.port);
    for address in ["somewhere", taken.as_str()] {
        let (code, output, complaint) = run(&mut example("chat", &[address]));
        assert_eq!((code, output.as_str()), (Some(1), ""));
        assert!(complaint.contains(address), "{complaint}");
    }
}
