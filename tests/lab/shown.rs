//! What a page is shown is what is.

use std::io::{Read, Write};

use serde_json::Value;

use crate::lab::page::Lab;

#[test]
fn a_loop_that_sleeps_after_a_burst_is_shown_as_it_is() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    // It asks, and stays: the loop sleeps with it.
    let mut client = lab.program.connect();
    client.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    page.wait_for_event("response", |_| true);
    let idle = |task: &Value| {
        task["kind"] == "connection" && task["state"] == "idle" && task["waits_for"] != ""
    };
    let is_shown = |shown: &Value| shown["tasks"].as_array().unwrap().iter().any(idle);
    page.wait_for("snapshot", is_shown);
}

#[test]
fn what_was_done_before_a_page_was_opened_is_counted() {
    let lab = Lab::start(&[]);
    let mut client = lab.program.connect();
    client.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_ne!(client.read(&mut [0; 512]).unwrap(), 0);
    let page = lab.open();
    let has_both = |source: &Value| {
        source["read"].as_u64() >= Some(20) && source["written"].as_u64() >= Some(20)
    };
    let (_, shown) = page.told.back().unwrap();
    assert!(shown["sources"].as_array().unwrap().iter().any(has_both), "{shown}");
}

#[test]
fn before_the_first_turn_no_timeout_was_worked_out() {
    let lab = Lab::start(&["--paused"]);
    let page = lab.open();
    let (_, shown) = page.told.back().unwrap();
    assert!(shown["timeout"].is_null() && shown["turn"] == 0, "{shown}");
}
