//! Fetching many pages, from a list and by following links.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use helloop::http::{Request, Response, Status};
use helloop::server::{OwnedRequest, Running, Server, coroutines};

use crate::examples::documents::{not_of_the_web, refusal};
use crate::examples::{example, refused};
use crate::server::{Server as Scripted, script};

/// The site is a tree: `/n` links to `/3n+1`, `/3n+2` and `/3n+3`.
const PAGES: usize = 300;

fn site(elsewhere: String) -> Running {
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let answer = move |request: &Request<'_>, response: &mut Response| {
        let number = request.path()[1..].parse::<usize>().ok().filter(|number| *number < PAGES);
        match (request.path(), number) {
            ("/data", _) => response.body("application/octet-stream", &[7; 5000]).unwrap(),
            ("/moved", _) => response.status(Status::FOUND).header("Location", &elsewhere).unwrap(),
            (_, Some(number)) => {
                let page = page(number, &elsewhere);
                response.body("text/html; charset=utf-8", page.as_bytes()).unwrap()
            }
            _ => response.status(Status::NOT_FOUND).text("nothing\n"),
        };
    };
    server.spawn(answer).unwrap()
}

fn page(number: usize, elsewhere: &str) -> String {
    let child = |place| 3 * number + place;
    // The usual mess, of which only three links are to be followed.
    let mut page = format!(
        "<!DOCTYPE html><html><head><TITLE>\n Page {number} &amp;\t<b>more</b></TITLE>\n\
         <script>let a = '<a href=\"/script\">';</script></head><body>\n\
         <!-- <a href=\"/comment\">no</a> --><a name=x>no</a><a href='#top'>up</a>\n\
         <a href=\"mailto:a@b.c\">mail</a><a href=\"{elsewhere}\">elsewhere</a>\n\
         <a href=http://[>bad</a>\n\
         <a class=\"a>b\" href = /{}>one</a> <A HREF='./{}?#part'>two</A>\n\
         <a href=\"{}&#x23;x\">three</a>\n\
         <a href=/0>home</a>",
        child(1),
        child(2),
        child(3),
    );
    if number == 3 {
        page += "<a href=/data>data</a><a href=/moved>moved</a><a href=/missing>missing</a>";
    }
    page
}

/// What it printed: exit code, lines of standard output, and standard error.
fn scrape(arguments: &[&str], input: &str) -> (Option<i32>, Vec<[String; 4]>, String) {
    let mut command = example("scrape", arguments);
    let output = with_input(&mut command, input);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        fields.try_into().unwrap()
    };
    let lines = text.lines().map(line).collect();
    (output.status.code(), lines, String::from_utf8(output.stderr).unwrap())
}

fn with_input(command: &mut Command, input: &str) -> std::process::Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Dropped then, so that the program reads the end.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The sentence before the time, which is no news.
fn sum(complaints: &str) -> &str {
    complaints.split(", seconds: ").next().unwrap()
}

#[test]
fn links_are_followed_through_the_whole_site() {
    // A page of another origin; who went there would be refused.
    let elsewhere = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    let running = site(elsewhere.url("/"));
    let root = format!("http://{}", running.local_addrs()[0]);
    let (code, lines, complaints) = scrape(&["--follow", &format!("{root}/0")], "");
    assert_eq!(code, Some(0), "{complaints}");
    // Children beyond the last page are missing; `?` makes the second child another URL.
    let mut expected = BTreeSet::new();
    let mut bytes = 5000 + 3;
    let mut expect = |status: &str, path: &str, title: &str| {
        expected.insert([status.to_owned(), format!("{root}{path}"), title.to_owned()]);
    };
    let mut known = vec![0];
    let mut paths = vec!["/0".to_owned()];
    while let Some(number) = known.pop() {
        for place in 1..=3 {
            let child = 3 * number + place;
            paths.push(if place == 2 { format!("/{child}?") } else { format!("/{child}") });
            known.extend(Some(child).filter(|child| *child < PAGES));
        }
    }
    for path in &paths {
        let number: usize = path[1..].trim_end_matches('?').parse().unwrap();
        if number < PAGES {
            bytes += page(number, &elsewhere.url("/")).len();
            expect("200", path, &format!("Page {number} & <b>more</b>"));
        } else {
            bytes += "nothing\n".len();
            expect("404", path, "");
        }
    }
    bytes += "nothing\n".len();
    expect("404", "/missing", "");
    expect("200", "/data", "");
    expect("200", "/moved", "");
    let pages = expected.len();
    assert!(pages > 900, "{pages}");
    let numbers: Vec<String> = lines.iter().map(|line| line[0].clone()).collect();
    assert_eq!(numbers, (1..=pages).map(|number| number.to_string()).collect::<Vec<_>>());
    let found: BTreeSet<[String; 3]> =
        lines.into_iter().map(|[_, status, url, title]| [status, url, title]).collect();
    assert_eq!(found, expected);
    assert_eq!(sum(&complaints), format!("pages: {pages}, errors: 0, bytes: {bytes}"));
    running.handle().shutdown();
}

#[test]
fn one_worker_goes_breadth_first_and_stops_at_the_limit() {
    let running = site(format!("http://{}/", refused()));
    let root = format!("http://{}", running.local_addrs()[0]);
    let arguments = ["--follow", "--workers", "1", "--pages", "9", &format!("{root}/0#here")];
    let (code, lines, complaints) = scrape(&arguments, "");
    assert_eq!(code, Some(0), "{complaints}");
    let urls: Vec<&str> = lines.iter().map(|line| line[2].trim_start_matches(&root)).collect();
    assert_eq!(urls, ["/0", "/1", "/2?", "/3", "/4", "/5?", "/6", "/7", "/8?"]);
    let rest = complaints.split_once('\n').unwrap().1;
    // /9 of page 2, six links of page 3, and three of each of pages 4 to 8.
    assert_eq!(rest, "found, and not fetched: 22\n");
    running.handle().shutdown();
}

/// Eight requests are answered when eight are there: fewer workers would wait for ever.
#[test]
fn so_many_fetches_are_made_at_a_time_and_no_more() {
    const WORKERS: usize = 8;
    let (arrived, open, most) = (counter(), counter(), counter());
    let most_of_all = Arc::clone(&most);
    let handler = move |request: OwnedRequest| {
        let place = arrived.fetch_add(1, Ordering::SeqCst);
        most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (arrived, open) = (Arc::clone(&arrived), Arc::clone(&open));
        async move {
            let batch_end = (place / WORKERS + 1) * WORKERS;
            while arrived.load(Ordering::SeqCst) < batch_end {
                request.handle().sleep(Duration::from_millis(1)).await;
            }
            open.fetch_sub(1, Ordering::SeqCst);
            let mut response = Response::new();
            response.text(request.path());
            response
        }
    };
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let running = server.spawn(coroutines(handler)).unwrap();
    let address = running.local_addrs()[0];
    let urls: Vec<String> =
        (0..50 * WORKERS).map(|number| format!("http://{address}/{number}\n\n")).collect();
    let (code, lines, complaints) = scrape(&["--workers", "8", "-"], &urls.concat());
    assert_eq!((code, lines.len()), (Some(0), 50 * WORKERS), "{complaints}");
    assert_eq!(most_of_all.load(Ordering::SeqCst), WORKERS);
    running.handle().shutdown();
}

fn counter() -> Arc<AtomicUsize> {
    Arc::default()
}

#[test]
fn an_error_is_a_line_and_the_others_go_on() {
    let nobody = refused();
    let lies = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    let good = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let hangs = Scripted::start(vec![script(|peer| {
        peer.request();
        peer.wait_for_close();
    })]);
    let urls = [
        "nonsense".to_owned(),
        format!("http://{nobody}/"),
        lies.url("/"),
        "ftp://localhost/".to_owned(),
        hangs.url("/"),
        good.url("/"),
    ];
    let (code, mut lines, complaints) =
        scrape(&["--timeout", "0.5", "--workers", "6", "-"], &urls.join("\n"));
    assert_eq!((code, sum(&complaints)), (Some(1), "pages: 1, errors: 5, bytes: 2"));
    // They end in any order.
    lines.sort_by_key(|line| urls.iter().position(|url| *url == line[2]));
    let words: Vec<(&str, &str)> =
        lines.iter().map(|line| (line[1].as_str(), line[3].as_str())).collect();
    let silence =
        format!("timeout: no reply from {} within the whole limit of 500ms", hangs.address);
    let lie = format!("bad reply from {}: body: truncated, 5 of 9 bytes came", lies.address);
    let refusal = refusal(&nobody.to_string());
    assert_eq!(
        words,
        [
            ("error", "not a URL: relative URL without a base"),
            ("error", &refusal),
            ("error", &lie),
            ("error", &not_of_the_web("ftp://localhost/")),
            ("error", &silence),
            ("200", ""),
        ]
    );
}

/// A reader that has seen enough, such as `head`, ends it.
#[test]
fn output_that_nobody_reads_ends_it() {
    let running = site(format!("http://{}/", refused()));
    let url = format!("http://{}/0", running.local_addrs()[0]);
    let mut command = example("scrape", &["--follow", &url]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn();
    let output = output.unwrap().wait_with_output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaints.contains("\nfailures in a task group: cannot write: "), "{complaints}");
    running.handle().shutdown();
}
