//! What stands before the first request: who the client is, however it was cut, and what becomes of a connection without
//! a good one. The preface here is a line with an address, or `-`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use helloop::http::{Headers, Request, Response};
use helloop::limits::{HEAD_TIMEOUT, IDLE_TIMEOUT, PREFACE_BYTES_MAX};
use helloop::server::{Access, Builder, OwnedRequest, Preface, Server, Service, coroutines};
use helloop::world::sim::{Faults, Sim};
use std::time::Duration;

use crate::sim::{Client, House};

const NO_PREFACE: &str = "no good preface before the first request";

fn read(_: SocketAddr, input: &[u8]) -> Preface {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Preface::Partial };
    match str::from_utf8(&input[..end]) {
        Ok("-") => Preface::Whole { bytes: end + 1, client: None },
        Ok("panic") => panic!("as the line asked"),
        Ok("more") => Preface::Whole { bytes: input.len() + 1, client: None },
        text => match text.unwrap_or_default().parse() {
            Ok(client) => Preface::Whole { bytes: end + 1, client: Some(client) },
            Err(_) => Preface::Wrong("no address"),
        },
    }
}

/// Says who asks. `/later`: when a coroutine has slept.
fn who(request: &Request<'_>, response: &mut Response) {
    let (peer, client) = (request.peer().unwrap(), request.client_addr().unwrap());
    response.text(format_args!("{} asks for {client}", peer.ip()));
}

async fn who_later(request: OwnedRequest) -> Response {
    request.handle().sleep(Duration::from_millis(5)).await;
    let mut response = Response::new();
    who(&request.view(), &mut response);
    assert_eq!(request.client_addr(), request.view().client_addr());
    response
}

/// Servers of each kind of connection.
fn builders() -> Vec<Builder> {
    let builders = [
        Server::builder(),
        #[cfg(feature = "twin")]
        Server::builder().connections(helloop::server::Connections::Coroutine),
    ];
    builders.into_iter().map(|builder| builder.preface(read)).collect()
}

fn house(builder: Builder, faults: Faults, service: impl Service + 'static) -> House {
    let world = Sim::with_faults(1, faults);
    let net = world.net();
    House::built(builder, Box::new(world), net, service)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn bodies(client: &Client, answers: usize) -> Vec<String> {
    (0..answers).map(|_| client.answer().1).collect()
}

#[test]
fn all_requests_of_a_connection_have_its_client_however_it_is_cut() {
    let sent = format!("192.0.2.1:50000\n{GET}{GET}");
    let expected = vec!["127.0.0.1 asks for 192.0.2.1:50000"; 2];
    for faults in [Faults::NONE, Faults::ROUGH] {
        for cut in 0..=sent.len() {
            for builder in builders() {
                let mut house = house(builder, faults, who);
                let client = house.connect();
                for part in [&sent[..cut], &sent[cut..]] {
                    client.send(part);
                    house.settle();
                }
                house.pass(Duration::from_millis(100));
                assert_eq!(bodies(&client, 2), expected, "cut at {cut}");
                assert_eq!(house.endings(), [""; 0]);
            }
        }
        for builder in builders() {
            let mut house = house(builder, faults, coroutines(who_later));
            let client = house.connect();
            for at in 0..sent.len() {
                client.send(&sent[at..=at]);
                house.settle();
            }
            house.pass(Duration::from_millis(100));
            assert_eq!(bodies(&client, 2), expected, "byte by byte");
        }
    }
}

#[test]
fn one_that_names_nobody_leaves_the_peer() {
    for builder in builders() {
        let mut house = house(builder, Faults::NONE, who);
        let client = house.connect();
        client.send("-\n");
        house.pass(IDLE_TIMEOUT - Duration::from_millis(1));
        client.assert_quiet();
        client.send(GET);
        house.settle();
        let (_, body) = client.answer();
        assert!(body.starts_with("127.0.0.1 asks for 127.0.0.1:"), "{body}");
    }
}

/// What was sent, and why the connection ends then.
#[test]
fn without_a_good_one_nothing_is_answered() {
    let long = "1".repeat(PREFACE_BYTES_MAX);
    for (sent, finishes, why) in [
        (GET, false, NO_PREFACE),
        ("192.0.2.1\n", false, NO_PREFACE),
        ("panic\n", false, NO_PREFACE),
        ("more\n", false, NO_PREFACE),
        (&*long, false, NO_PREFACE),
        ("192.0.2.", true, NO_PREFACE),
        // A balancer that only looks whether somebody listens.
        ("", true, "the peer finished"),
        ("-\n", true, "the peer finished"),
    ] {
        for whole in [true, false] {
            for builder in builders() {
                let mut house = house(builder, Faults::NONE, who);
                let client = house.connect();
                for part in sent.as_bytes().chunks(if whole { sent.len().max(1) } else { 1 }) {
                    client.peer.send(part);
                    house.settle();
                }
                if finishes {
                    client.peer.finish();
                }
                house.settle();
                assert_eq!(client.receive(), "", "{sent:?}");
                assert_eq!(house.endings(), [why], "{sent:?}");
                assert_eq!(house.server.open_connections(), 0);
                assert_eq!(house.server.report().requests, 0);
            }
        }
    }
}

#[test]
fn it_has_the_time_of_a_head_from_its_first_byte_and_dribbling_gains_none() {
    for builder in builders() {
        let mut house = house(builder, Faults::NONE, who);
        let client = house.connect();
        house.pass(IDLE_TIMEOUT - Duration::from_secs(20));
        client.assert_quiet();
        let tenth = HEAD_TIMEOUT / 10;
        for byte in ["1", "9", "2", ".", "0", ".", "2", ".", "1"] {
            client.send(byte);
            house.pass(tenth);
            client.assert_quiet();
        }
        client.send(":");
        house.pass(tenth + Duration::from_millis(1));
        assert_eq!(client.receive(), "", "no 408: it is not known to be a client of HTTP");
        assert_eq!(house.endings(), [NO_PREFACE]);
    }
}

#[test]
fn a_drain_waits_for_no_preface_and_answers_what_comes_after_one() {
    for builder in builders() {
        let mut house = house(builder, Faults::NONE, who);
        let (silent, slow) = (house.connect(), house.connect());
        slow.send("192.0.2.1:");
        house.settle();
        house.server.handle().drain(Duration::from_secs(20));
        house.pass(Duration::from_millis(100));
        slow.send(&format!("50000\n{GET}"));
        house.settle();
        assert_eq!(slow.answer(), (200, "127.0.0.1 asks for 192.0.2.1:50000".to_owned()));
        slow.peer.finish();
        house.pass(Duration::from_secs(1));
        silent.assert_end();
        assert!(house.server.is_finished() && house.server.report().cut == 0);
    }
}

#[test]
fn a_rule_sees_what_the_preface_said_and_the_log_sees_both() {
    /// Adds what a field says to whom is known.
    fn rule(nearest: SocketAddr, headers: Headers<'_>) -> Option<SocketAddr> {
        let port = headers.text("X-Port")?.parse().ok()?;
        Some(SocketAddr::new(nearest.ip(), port))
    }

    for builder in builders() {
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&log);
        let note = move |access: &Access<'_>| {
            let (peer, client) = (access.peer.ip(), access.client());
            lines.lock().unwrap().push(format!("{peer} {client:?}"));
        };
        let mut house = house(builder.client_addr(rule).access_log(note), Faults::NONE, who);
        let client = house.connect();
        client.send(&format!(
            "192.0.2.1:50000\n{}{GET}x\r\n\r\n",
            GET.replace("Host", "X-Port: 7\r\nHost")
        ));
        house.settle();
        let asks = ["127.0.0.1 asks for 192.0.2.1:7", "127.0.0.1 asks for 192.0.2.1:50000"];
        assert_eq!(bodies(&client, 2), asks);
        assert_eq!(client.answer().0, 400);
        let without = house.connect();
        without.send(&format!("-\n{GET}"));
        house.settle();
        let told = "127.0.0.1 Some(192.0.2.1:50000)";
        let expected = ["127.0.0.1 Some(192.0.2.1:7)", told, told, "127.0.0.1 None"];
        assert_eq!(*log.lock().unwrap(), expected);
    }
}
