use serde_json::Value;

use crate::lab::page::Lab;

#[test]
fn only_the_own_page_on_this_machine_may_look_and_do() {
    let lab = Lab::start(&[]);
    let pause = format!("{}do/pause", lab.path);
    let host = format!("Host: 127.0.0.1:{}\r\n", 8080);
    for (method, target, fields, expected) in [
        ("GET", lab.path.as_str(), "", 200),
        ("GET", "/", "", 404),
        ("GET", "/0123456789abcdef0123456789abcdef/", "", 404),
        ("GET", &format!("{}else", lab.path), "", 404),
        ("GET", &pause, "", 404),
        ("POST", &format!("{}do/nothing", lab.path), "", 404),
        ("POST", "/0123456789abcdef0123456789abcdef/do/pause", "", 404),
        // A name of somebody else that leads here.
        ("GET", lab.path.as_str(), "Host: evil.example\r\n", 403),
        ("POST", &pause, "Host: evil.example:80\r\n", 403),
        // A page of somebody else.
        ("POST", &pause, "Origin: http://evil.example\r\n", 403),
        ("POST", &pause, "Origin: null\r\n", 403),
        ("POST", &pause, "Sec-Fetch-Site: cross-site\r\n", 403),
        ("POST", &pause, "Sec-Fetch-Site: same-site\r\n", 403),
        ("POST", &pause, &format!("{host}Origin: http://127.0.0.1:8081\r\n"), 403),
        ("POST", &pause, &format!("{host}Origin: http://127.0.0.1:8080\r\n"), 200),
        ("POST", &pause, "Sec-Fetch-Site: same-origin\r\n", 200),
    ] {
        let (status, answer) = lab.ask(method, target, fields);
        assert_eq!(status, expected, "{method} {target} {fields}: {answer}");
        assert!(status == 200 || answer["error"].is_string(), "{answer}");
    }
}

#[test]
fn commands_that_make_no_sense_are_refused() {
    let lab = Lab::start(&[]);
    for what in [
        "until",
        "until?what=never",
        "until?what=connection",
        "until?what=connection&task=x",
        "slow",
        "slow?dwell_ms=-1",
        "slow?dwell_ms=10001",
        "traffic",
        "traffic?scenario=two",
    ] {
        let (status, answer) = lab.ask("POST", &format!("{}do/{what}", lab.path), "");
        assert!(status == 400 && answer["error"].is_string(), "{what}: {status} {answer}");
    }
    assert_eq!(lab.snapshot()["paused"], false);
}

#[test]
fn who_may_only_look_does_nothing() {
    let lab = Lab::start(&["--read-only"]);
    let mut page = lab.open();
    for what in ["pause", "step-turn", "slow?dwell_ms=10", "traffic?scenario=one"] {
        let (status, answer) = lab.ask("POST", &format!("{}do/{what}", lab.path), "");
        assert!(status == 403 && answer["error"].is_string(), "{what}: {status} {answer}");
    }
    let (_, hello) = page.told.iter().find(|(name, _)| name == "hello").unwrap();
    assert_eq!(hello["read_only"], true);
    lab.program.greet();
    page.wait_for_event("response", |event| event["status"] == 200);
}

#[test]
fn a_server_beside_which_a_lab_stands_has_no_lessons() {
    let lab = Lab::beside_a_server(&[]);
    let answer = lab.program.ask(b"GET /block/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let target = format!("{}do/traffic?scenario=block", lab.path);
    let (status, answer) = lab.ask("POST", &target, "");
    assert!(status == 409 && answer["error"].is_string(), "{status} {answer}");
}

#[test]
fn a_lab_is_never_open_to_other_machines() {
    let mut command =
        crate::program::command(&["lab", "--listen", "localhost:0", "--page", "0.0.0.0:0"]);
    let (code, _, said) = crate::program::run(&mut command);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("open to other machines"), "{said}");
}

#[test]
fn a_lab_is_for_one_loop() {
    let arguments = ["serve", "--listen", "localhost:0", "--lab", "localhost:0", "--loops", "2"];
    let (code, _, said) = crate::program::run(&mut crate::program::command(&arguments));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--lab is for one event loop"), "{said}");
}

#[test]
fn the_page_is_one_that_browsers_keep_to_itself() {
    let lab = Lab::start(&[]);
    let mut stream = lab.connect();
    let request =
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", lab.path);
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    for field in [
        "\r\nContent-Type: text/html; charset=utf-8\r\n",
        "\r\nContent-Security-Policy: default-src 'none'; ",
        "\r\nReferrer-Policy: no-referrer\r\n",
        "\r\nCache-Control: no-store\r\n",
    ] {
        assert!(answer.contains(field), "{field} is missing");
    }
    assert_eq!(lab.ask("GET", &lab.path, "").1, Value::Null, "it is no JSON");
}
