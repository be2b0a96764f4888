//! Framing, decoding, charsets, and bodies on the way out.

use std::sync::mpsc::channel;

use helloop::client::{Client, ErrorKind};

use crate::server::{PATIENCE, Server, get, run, script};

#[test]
fn a_length_chunks_and_a_close_frame_the_same_body() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5   \r\nhello\r\n0   \r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let server = Server::answering(answer);
        let (reply, body) = get(server.url("/"), |client| client).unwrap();
        assert_eq!((reply.status(), &body[..]), (200, &b"hello"[..]), "{answer}");
        assert_eq!(reply.headers().get("A"), None, "a trailer is no header");
        assert_eq!(reply.peer(), server.address);
        assert!(reply.timings().body.is_some());
    }
}

#[test]
fn the_request_is_what_a_client_should_say() {
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let (reply, body) = get(server.url("/a%20b/ü?q=1#fragment"), |client| client).unwrap();
    assert_eq!((reply.status(), body.len()), (204, 0));
    let request = server.next_seen();
    assert!(request.starts_with("GET /a%20b/%C3%BC?q=1 HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    assert!(request.contains("\r\nUser-Agent: helloop/"), "{request}");
    assert!(request.contains("\r\nAccept: */*\r\n"), "{request}");
    for content in ["Content-Length", "Transfer-Encoding", "Expect", "TE"] {
        assert!(!request.contains(&format!("\r\n{content}:")), "{request}");
    }
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    get(server.url("/"), |client| client.user_agent("")).unwrap();
    assert!(!server.next_seen().contains("User-Agent"));
}

#[test]
fn a_url_without_a_path_asks_for_the_root() {
    for (url, line) in [("", "GET / HTTP/1.1\r\n"), ("?q#f", "GET /?q HTTP/1.1\r\n")] {
        let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
        get(server.url(url), |client| client).unwrap();
        assert!(server.next_seen().starts_with(line), "{url}");
    }
}

#[test]
fn a_status_that_nobody_knows_is_an_answer() {
    for status in [299, 499, 599, 600, 999] {
        let server = Server::answering(format!("HTTP/1.1 {status} \r\nContent-Length: 1\r\n\r\nx"));
        let (reply, body) = get(server.url("/"), |client| client).unwrap();
        assert_eq!((reply.status(), body), (status, b"x".to_vec()));
    }
}

#[test]
fn a_head_has_no_body_whatever_it_announces() {
    let server = Server::start(vec![script(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n");
        peer.request();
        peer.answer("x");
        peer.wait_for_close();
    })]);
    let url = server.url("/");
    run(|handle| async move {
        let client = Client::new(&handle);
        let reply = client.head(&url).send().await.unwrap();
        assert_eq!(reply.headers().text("content-length"), Some("5"));
        assert_eq!(reply.bytes().await.unwrap(), b"");
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "x");
    });
    assert!(server.next_seen().starts_with("HEAD / "));
}

#[test]
fn a_body_is_sent_whole_be_it_small_or_large() {
    for bytes in [0, 10, 16 * 1024, 3_000_000] {
        let server = Server::start(vec![script(move |peer| {
            let request = peer.request();
            assert!(request.contains(&format!("\r\nContent-Length: {bytes}\r\n")), "{request}");
            let body = peer.body(bytes);
            assert!(body.iter().enumerate().all(|(at, byte)| *byte == at.to_le_bytes()[0]));
            peer.answer("got it");
        })]);
        let url = server.url("/");
        let text = run(move |handle| async move {
            let body: Vec<u8> = (0..bytes).map(|at| at.to_le_bytes()[0]).collect();
            let post = Client::new(&handle).post(&url).header("Content-Type", "a/b").body(body);
            post.send().await?.text().await
        });
        assert_eq!(text.unwrap(), "got it");
        assert!(server.next_seen().starts_with("POST / "));
    }
}

#[test]
fn a_refusal_is_heard_although_the_body_is_not_sent() {
    let (_hears, heard) = channel::<()>();
    let server = Server::start(vec![script(move |peer| {
        peer.request();
        // It never reads the body, and does not close before the client does.
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
        let _ = heard.recv_timeout(PATIENCE);
    })]);
    let url = server.url("/");
    run(|handle| async move {
        let client = Client::new(&handle);
        let reply = client.post(&url).body(vec![0; 50_000_000]).send().await.unwrap();
        assert_eq!(reply.status(), 413);
        assert_eq!(reply.text().await.unwrap(), "no");
        assert_eq!(client.idle_connections(), 0, "the rest of the body was never sent");
    });
}

#[test]
fn text_goes_by_the_charset() {
    let server = Server::answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=ISO-8859-1\r\n\
          Content-Length: 6\r\n\r\nJ\xfcrgen"
            .to_vec(),
    );
    let url = server.url("/");
    let text =
        run(|handle| async move { Client::new(&handle).get(&url).send().await?.text().await });
    assert_eq!(text.unwrap(), "Jürgen");
}

#[test]
fn a_body_comes_in_pieces_while_it_is_made() {
    let (go_on, told) = channel();
    let server = Server::start(vec![
        script(move |peer| {
            peer.request();
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
            // The rest is not there before the first piece was seen.
            told.recv_timeout(PATIENCE).unwrap();
            peer.send(b"1\r\nb\r\n0\r\n\r\n");
        }),
        script(|peer| {
            peer.request();
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
            peer.wait_for_close();
            peer.report("closed");
        }),
    ]);
    let url = server.url("/");
    run(move |handle| async move {
        let client = Client::new(&handle);
        let mut reply = client.get(&url).send().await.unwrap();
        assert_eq!(reply.chunk().await.unwrap().unwrap(), b"a");
        assert!(reply.timings().body.is_none());
        go_on.send(()).unwrap();
        assert_eq!(reply.chunk().await.unwrap().unwrap(), b"b");
        assert_eq!(reply.chunk().await.unwrap(), None);
        assert_eq!(reply.chunk().await.unwrap(), None, "and stays over");
        assert!(reply.timings().body.is_some());
        drop(client);

        // Dropped before its end, a reply takes its connection with it.
        drop(Client::new(&handle).get(&url).send().await.unwrap());
    });
    while server.next_seen() != "closed" {}
}

#[test]
fn a_large_body_arrives_and_stays_below_the_limit() {
    let body = "0123456789abcdef".repeat(200_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let server = Server::answering(answer.clone());
    let (_, got) = get(server.url("/"), |client| client).unwrap();
    assert!(got == body.as_bytes());

    for answer in [answer, format!("HTTP/1.1 200 OK\r\n\r\n{body}")] {
        let server = Server::answering(answer);
        let error = get(server.url("/"), |client| client.body_bytes_max(1000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLong, "{error}");
    }
}
