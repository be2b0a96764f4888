//! Holding the loop, stepping it, letting it go: what the page shows is what the wire shows.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::browser::chromium::{Page, is_installed};
use crate::browser::lab::Lab;

fn ask(client: &mut TcpStream, name: &str) {
    let request = format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
}

/// True if the greeting of `name` is here. It does not wait: over loopback, what was written is
/// there to be read.
fn is_answered(client: &mut TcpStream, name: &str) -> bool {
    client.set_nonblocking(true).unwrap();
    let mut answer = [0; 1024];
    match client.read(&mut answer) {
        Ok(bytes) => {
            let answer = String::from_utf8_lossy(&answer[..bytes]).into_owned();
            assert!(answer.ends_with(&format!("Hello, {name}!\n")), "{answer}");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

#[test]
fn a_loop_without_a_server_is_stepped_and_has_no_traffic() {
    if !is_installed() {
        return;
    }
    let lab = Lab::beside_a_loop();
    let mut page = lab.page();
    page.until_status("held");
    for hidden in ["traffic", "lessons", "talk"] {
        let is_hidden = page.value(&format!("document.querySelector('#{hidden}').hidden"));
        assert_eq!(is_hidden, true, "{hidden}");
    }
    let coroutines = "document.querySelectorAll('.coroutine')";
    assert_eq!(page.value(&format!("{coroutines}.length")), 1);
    page.press_and_stop("#step-resume");
    while page.value(&format!("{coroutines}.length")) != 3 {
        page.press_and_stop("#step-resume");
    }
    let sites = format!("[...{coroutines}].map((one) => one.lastChild.textContent)");
    let sites = page.value(&sites).to_string();
    assert_eq!(sites.matches("examples/stepped.rs:").count(), 3, "{sites}");
    page.assert_content();
}

#[test]
fn steps_on_the_page_are_steps_on_the_wire() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.press("#open-log");
    page.press_and_stop("#pause");
    let mut clients = [("first", lab.program.connect()), ("second", lab.program.connect())];
    for (name, client) in &mut clients {
        ask(client, name);
    }

    let mut order: Vec<&str> = Vec::new();
    for _step in 0..40 {
        page.press_and_stop("#step-resume");
        for (name, client) in &mut clients {
            if !order.contains(name) && is_answered(client, name) {
                order.push(name);
            }
        }
        // Whatever was answered, the page tells: no less, and no more.
        page.until_told(" is answered 200", order.len());
        assert_eq!(page.told(" is answered 200").len(), order.len());
        if order.len() == clients.len() {
            break;
        }
    }
    assert_eq!(order.len(), clients.len(), "both are answered after some steps");

    let requests = page.told(": request 1 is GET /");
    let on_the_page: Vec<&str> =
        requests.iter().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(on_the_page, order);
    page.until("document.querySelectorAll('.card').length === 2");
    page.assert_content();
}

#[test]
fn both_ways_to_write_a_connection_have_one_cursor() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    let mut client = lab.program.connect();
    let here = "[...document.querySelectorAll('#listings .here')].map((l) => l.textContent.trim())";
    let at = |page: &mut Page, machine: &str, coroutine: &str| {
        // All at once: the state may be over before a second look.
        let both = format!("here[0].startsWith('{machine}') && here[1].includes('{coroutine}')");
        page.until(&format!("((here) => here.length === 2 && {both})({here})"));
    };
    client.write_all(b"GET /").unwrap();
    at(&mut page, "State::Receiving", ".read(");
    client.write_all(b"sleep/2 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    at(&mut page, "State::Serving", ".serve(");
    at(&mut page, "State::Idle", ".read(");
    drop(client);
    at(&mut page, "State::Closed", ".close(");
    page.assert_content();
}

#[test]
fn a_turn_is_a_turn() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.press_and_stop("#pause");
    let mut client = lab.program.connect();
    ask(&mut client, "World");
    let turn = page.turn();
    for step in 1..=2 {
        page.press_and_stop("#step-turn");
        assert_eq!(page.turn(), turn + step);
    }
    page.press("#resume");
    page.until_status("running");
    let mut answer = [0; 8];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1");
    page.assert_content();
}

#[test]
fn it_runs_until_what_was_chosen() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.press("#open-log");
    page.value("document.querySelector('#until-what').value = 'accept'");
    let stops = page.stops();
    page.press("#until");
    page.until_status("running until");
    let _client = lab.program.connect();
    page.until(&format!("document.querySelector('#status').dataset.stops > {stops}"));
    page.until_status("held");
    page.until_told(" accepts a connection", 1);
    assert!(page.told(" is answered").is_empty());
    page.assert_content();
}

#[test]
fn it_runs_until_a_connection_is_at_work() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.press("#open-log");
    let mut clients = [lab.program.connect(), lab.program.connect()];
    page.until("document.querySelectorAll('.card').length === 2");
    page.value(
        "(what => { what.value = 'connection'; what.dispatchEvent(new Event('change')); })
         (document.querySelector('#until-what'))",
    );
    // Both look the same; the page knows which one is the second.
    page.until("document.querySelectorAll('#until-task option').length === 2");
    let second = page.value(
        "(task => { task.selectedIndex = 1; return task.value; })
         (document.querySelector('#until-task'))",
    );
    let stops = page.stops();
    page.press("#until");
    page.until_status("running until");
    ask(&mut clients[0], "first");
    page.until_told(" is answered 200", 1);
    assert_eq!(page.stops(), stops, "that was the other one");
    ask(&mut clients[1], "second");
    page.until(&format!("document.querySelector('#status').dataset.stops > {stops}"));
    page.until_status("held");
    let second = second.as_str().unwrap();
    assert!(page.text("#narrator").contains(&format!("before resume of task {second}.")));
    assert!(!is_answered(&mut clients[1], "second"));
    page.assert_content();
}

#[test]
fn keys_do_what_buttons_do() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.until_status("running");
    page.key("p");
    page.until_status("held");
    let turn = page.turn();
    page.key("t");
    page.until(&format!(
        "document.querySelector('#turn-number').textContent === 'turn {}'",
        turn + 1
    ));
    page.key("r");
    page.until_status("running");
    page.key("?");
    page.until("!document.querySelector('#keys').hidden");
    page.key("Escape");
    page.until("document.querySelector('#keys').hidden");
    page.assert_content();
}

#[test]
fn slow_motion_goes_on_by_itself() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    let slow = |dwell: u32| {
        format!(
            "(slow => {{ slow.value = {dwell}; slow.dispatchEvent(new Event('change')); }})
             (document.querySelector('#slow'))"
        )
    };
    page.value(&slow(100));
    page.until_status("slow motion");
    let mut client = lab.program.connect();
    ask(&mut client, "World");
    let mut answer = [0; 8];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1");
    assert!(page.text("#slow-value").starts_with("100 ms"));
    page.value(&slow(0));
    page.until_status("running");
    page.assert_content();
}
