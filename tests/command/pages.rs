//! What the pages show of the command is what it does: each excerpt is made again, and compared
//! without its moments, ports and numbers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use crate::program::{Program, command, run};

const README: &str = include_str!("../../README.md");
const LEARN: &str = include_str!("../../docs/learn.md");
const OPERATE: &str = include_str!("../../docs/operate.md");
const TRACE: &str = include_str!("../../docs/trace.md");

/// The block of a page, without its fences, that has this in it.
#[track_caller]
fn block<'a>(page: &'a str, text: &str) -> &'a str {
    let mut fenced = page.split("\n```").skip(1).step_by(2);
    let block = fenced.find(|block| block.contains(text));
    let block = block.unwrap_or_else(|| panic!("no block has {text:?}"));
    block.split_once('\n').expect("a fence is a line").1
}

/// Numbers that differ from run to run as `#`: moments in milliseconds at the beginning of a line or
/// anywhere else, and the numbers of turns, tasks and sources counted anew from the first one on.
fn canonical(lines: &[&str]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut text = String::new();
    for line in lines {
        let mut before = "";
        for word in line.split_whitespace() {
            let bare = word.trim_end_matches([':', ',']);
            let is_moment = bare.contains('.') && bare.parse::<f64>().is_ok();
            let is_id = ["turn", "task", "source"].contains(&before) && bare.parse::<u32>().is_ok();
            let shown = if is_moment {
                "#".to_owned()
            } else if is_id {
                let name = format!("{before} {bare}");
                let known = names.iter().position(|other| *other == name);
                let number = known.unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                format!("#{number}")
            } else {
                word.to_owned()
            };
            write!(text, "{shown} ").unwrap();
            before = word;
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_story_of_a_request_is_told_as_the_page_has_it() {
    let expected: Vec<&str> = block(LEARN, "is resumed: readable").lines().collect();
    let mut program =
        Program::start(&mut command(&["serve", "--listen", "localhost:0", "--explain"]));
    program.wait_for("nothing is ready, no timer is set");
    // It finds the connection and the request in one moment, as when both come over a network.
    program.signal("STOP");
    let mut stream = program.connect();
    let host = "Host: localhost:8080\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n";
    stream.write_all(format!("GET /World HTTP/1.1\r\n{host}\r\n").as_bytes()).unwrap();
    program.signal("CONT");
    program.wait_for("sets a timer");
    program.wait_for(" waits");
    drop(stream);
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let said: Vec<&str> = program.said.iter().map(String::as_str).collect();
    let is_told =
        said.windows(expected.len()).any(|lines| canonical(lines) == canonical(&expected));
    assert!(is_told, "docs/learn.md tells another story than this:\n{}", said.join("\n"));
}

#[test]
fn an_answer_is_as_the_readme_has_it() {
    let expected = block(README, "$ curl -i");
    let program = Program::start(&mut command(&["serve", "--listen", "localhost:0"]));
    let mut stream = program.connect();
    stream.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = std::io::read_to_string(stream).unwrap().replace("\r\n", "\n");
    let without_date = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('$'));
        let line =
            |line: &str| line.split_once("Date: ").map_or(line.to_owned(), |_| "Date".into());
        lines.map(line).collect::<Vec<String>>()
    };
    assert_eq!(without_date(&answer), without_date(expected));
}

#[test]
fn a_fetch_says_what_the_page_has() {
    let program = Program::start(&mut command(&["serve", "--listen", "localhost:0"]));
    let here = format!("localhost:{}", program.port);
    let text = block(OPERATE, "$ helloop fetch").replace("localhost:8080", &here);
    let (typed, expected) = text.split_once('\n').unwrap();
    let arguments: Vec<&str> = typed.split_whitespace().skip(2).collect();
    let (code, output, errors) = run(&mut command(&arguments));
    assert_eq!((code, (output + &errors).trim_end()), (Some(1), expected));
}

#[test]
fn a_lab_says_what_the_page_has() {
    let shown = block(LEARN, "$ helloop lab");
    let mut lab = Program::start(&mut command(&["lab", "--listen", "localhost:0"]));
    lab.wait_for("Lab at ");
    let shape = |line: &str| {
        let (begin, rest) = line.rsplit_once(':').unwrap();
        (begin.to_owned(), rest.matches('/').count())
    };
    let shown: Vec<_> = shown.lines().skip(1).map(shape).collect();
    let said: Vec<_> = lab.said.iter().map(|line| shape(line)).collect();
    assert_eq!(said, shown);
}

#[test]
fn the_lines_of_a_trace_can_be_read() {
    let lines = block(TRACE, "{\"at\":");
    let mut child = command(&["explain", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (story, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), errors.as_ref()), (Some(0), ""));
    assert!(story.contains("(connection) is resumed: readable"), "{story}");
    assert!(story.contains("12 "), "{story}");
}
