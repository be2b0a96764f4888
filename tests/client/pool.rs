//! Connections: kept, reused, lost, and rationed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use helloop::client::{Client, ErrorKind, Timeouts};
use helloop::coroutine::yield_now;
use helloop::http::{Request, Response};
use helloop::server;

use crate::server::{Peer, Server, run, script};

/// Answers requests until the client closes.
fn serve(peer: &mut Peer) {
    while !peer.request().is_empty() {
        peer.answer("ok");
    }
}

async fn text(client: &Client, url: &str) -> String {
    client.get(url).send().await.unwrap().text().await.unwrap()
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    let server = Server::start(vec![script(serve)]);
    let url = server.url("/");
    run(|handle| async move {
        let client = Client::new(&handle);
        for _ in 0..3 {
            assert_eq!(text(&client, &url).await, "ok");
            assert_eq!(client.idle_connections(), 1);
        }
        let reply = client.get(&url).send().await.unwrap();
        assert_eq!(client.idle_connections(), 1, "a body that is here already holds nothing up");
        assert_eq!(reply.timings().connect, Duration::ZERO);
    });
}

#[test]
fn a_connection_that_says_close_or_says_too_much_is_not_kept() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
    ] {
        let once = || {
            script(move |peer| {
                peer.request();
                peer.send(answer.as_bytes());
                peer.wait_for_close();
            })
        };
        let server = Server::start(vec![once(), once()]);
        let url = server.url("/");
        run(move |handle| async move {
            let client = Client::new(&handle);
            for _ in 0..2 {
                assert_eq!(text(&client, &url).await, "ok");
                assert_eq!(client.idle_connections(), 0, "{answer}");
            }
        });
    }
}

#[test]
fn a_body_that_comes_late_to_a_reply_without_one_answers_nobody() {
    for connections in [1, 100] {
        let server = Server::start(vec![
            script(|peer| {
                peer.request();
                peer.send(b"HTTP/1.1 204 No Content\r\n\r\n");
                // A request that comes now gets what is not for it.
                if !peer.request().is_empty() {
                    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nnobody");
                }
            }),
            script(serve),
        ]);
        let url = server.url("/");
        run(move |handle| async move {
            let client = Client::builder(&handle).connections_max(connections).build().unwrap();
            let get = || {
                let request = client.get(&url);
                async move { request.send().await?.text().await }
            };
            let texts = if connections == 1 {
                // The second waits for the place of the first.
                let texts = handle.gather([get(), get()]).await;
                texts.into_iter().map(|text| text.unwrap().unwrap()).collect()
            } else {
                vec![get().await.unwrap(), get().await.unwrap()]
            };
            assert_eq!(texts, ["", "ok"]);
        });
    }
}

#[test]
fn an_idle_connection_that_the_server_closes_is_dropped() {
    let server = Server::start(vec![
        script(|peer| {
            peer.request();
            peer.answer("first");
        }),
        script(serve),
    ]);
    let url = server.url("/");
    run(|handle| async move {
        let client = Client::new(&handle);
        assert_eq!(text(&client, &url).await, "first");
        while client.idle_connections() > 0 {
            handle.sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(text(&client, &url).await, "ok");
    });
}

#[test]
fn a_request_that_meets_the_close_of_a_kept_connection_is_sent_again_if_that_is_harmless() {
    for method in ["GET", "HEAD", "POST"] {
        for is_reset in [false, true] {
            let server = Server::start(vec![
                script(move |peer| {
                    peer.request();
                    peer.answer("first");
                    // The next request is on its way when this closes.
                    peer.request();
                    if is_reset {
                        peer.reset();
                    }
                }),
                script(serve),
            ]);
            let url = server.url("/");
            run(move |handle| async move {
                let client = Client::new(&handle);
                assert_eq!(text(&client, &url).await, "first");
                let outcome = client.request(method, &url).send().await;
                match (method, outcome) {
                    ("POST", Err(error)) => assert!(
                        matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Reset),
                        "{error}"
                    ),
                    ("POST", Ok(_)) => panic!("a POST was sent twice"),
                    (_, outcome) => assert_eq!(outcome.unwrap().status(), 200),
                }
            });
        }
    }
}

#[test]
fn a_new_connection_that_dies_is_not_tried_again() {
    let server = Server::start(vec![
        script(|peer| drop(peer.request())),
        script(|peer| peer.report("a second connection")),
    ]);
    let url = server.url("/");
    run(|handle| async move {
        let error = Client::new(&handle).get(&url).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    });
    server.next_seen();
    assert!(server.seen.try_recv().is_err());
}

#[test]
fn a_retry_that_dies_is_not_tried_again() {
    let server = Server::start(vec![
        script(|peer| {
            peer.request();
            peer.answer("first");
            peer.request();
        }),
        script(|peer| drop(peer.request())),
        script(|peer| peer.report("a third connection")),
    ]);
    let url = server.url("/");
    run(|handle| async move {
        let client = Client::new(&handle);
        assert_eq!(text(&client, &url).await, "first");
        let error = client.get(&url).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    });
    for _ in 0..3 {
        assert!(server.next_seen().starts_with("GET / "));
    }
    assert!(server.seen.try_recv().is_err());
}

/// A server of ours, and the most connections that it has had at once.
fn counting_server() -> (server::Running, String) {
    let server = server::Server::builder().bind("127.0.0.1:0").unwrap();
    let running = server
        .spawn(|request: &Request<'_>, response: &mut Response| {
            response.text(request.path());
        })
        .unwrap();
    let url = format!("http://{}", running.local_addrs()[0]);
    (running, url)
}

#[test]
fn fetches_above_the_limit_wait_in_order() {
    let (running, url) = counting_server();
    run(move |handle| async move {
        let client = Client::builder(&handle).connections_max(2).build().unwrap();
        let ended = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let fetches = (0..20).map(|number| {
            let (client, url, ended) = (client.clone(), format!("{url}/{number}"), ended.clone());
            async move {
                let reply = client.get(&url).send().await.unwrap();
                assert!(client.idle_connections() <= 2);
                ended.borrow_mut().push(number);
                reply.text().await.unwrap()
            }
        });
        let texts = handle.gather(fetches).await;
        for (number, text) in texts.into_iter().enumerate() {
            assert_eq!(text.unwrap(), format!("/{number}"));
        }
        let ended = ended.take();
        assert!(ended.windows(2).all(|pair| pair[1] + 2 > pair[0]), "{ended:?}");
        assert_eq!(client.idle_connections(), 2);
    });
    running.handle().shutdown();
    assert_eq!(running.join().unwrap().connections, 2);
}

#[test]
fn a_host_at_its_limit_does_not_hold_up_others() {
    let started = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&started);
    let slow = Server::start(vec![script(move |peer| {
        peer.request();
        counter.fetch_add(1, Ordering::SeqCst);
        // Never answers.
        peer.wait_for_close();
    })]);
    let (running, fast) = counting_server();
    let slow_url = slow.url("/");
    run(move |handle| async move {
        let client = Client::builder(&handle).connections_per_host_max(Some(1)).build().unwrap();
        let get = |url: &str| {
            let request = client.get(url);
            handle.spawn(async move { request.send().await.map(|reply| reply.status()) })
        };
        let (first, second) = (get(&slow_url), get(&slow_url));
        assert_eq!(get(&fast).await.unwrap().unwrap(), 200);
        first.cancel();
        second.cancel();
        yield_now().await;
        yield_now().await;
    });
    assert!(started.load(Ordering::SeqCst) <= 1);
    running.handle().shutdown();
}

#[test]
fn an_idle_connection_makes_room_for_another_host() {
    let (first, second) = (Server::start(vec![script(serve)]), Server::start(vec![script(serve)]));
    let (one, two) = (first.url("/"), second.url("/"));
    run(|handle| async move {
        let client = Client::builder(&handle).connections_max(1).build().unwrap();
        assert_eq!(text(&client, &one).await, "ok");
        assert_eq!(text(&client, &two).await, "ok");
        assert_eq!(client.idle_connections(), 1);
    });
    assert!(first.next_seen().starts_with("GET"));
    assert_eq!(first.next_seen(), "", "closed");
}

#[test]
fn who_gives_up_waiting_passes_the_place_on() {
    let hang = |peer: &mut Peer| {
        peer.request();
        peer.wait_for_close();
    };
    let hung = Server::start(vec![script(hang), script(hang)]);
    let (running, url) = counting_server();
    let hung_url = hung.url("/");
    run(move |handle| async move {
        let timeouts = Timeouts { whole: Some(Duration::from_millis(100)), ..Timeouts::default() };
        let client =
            Client::builder(&handle).connections_max(1).timeouts(timeouts).build().unwrap();
        let holder = client.get(&hung_url);
        let holder = handle.spawn(async move { holder.send().await.map(drop) });
        yield_now().await;
        // Waits, and is cancelled when it was just handed the place.
        let waiter = client.get(&url);
        let waiter = handle.spawn(async move { waiter.send().await.map(drop) });
        yield_now().await;
        holder.cancel();
        yield_now().await;
        waiter.cancel();
        assert_eq!(text(&client, &url).await, "/");

        // Waits until the whole limit.
        let holder = client.get(&hung_url);
        let holder = handle.spawn(async move { holder.send().await.map(drop) });
        yield_now().await;
        let error = client.get(&url).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        drop(holder);
    });
    running.handle().shutdown();
}
