//! Redirects: how far, with what, and to whom.

use helloop::client::{Client, ErrorKind};

use crate::server::{Peer, Script, Server, get, run, script};

/// One connection: a redirect, then an answer.
fn redirect_then_answer(status: u16, location: &'static str) -> Server {
    Server::start(vec![script(move |peer| {
        let request = peer.request();
        if request.starts_with("POST") {
            peer.body(4);
        }
        let head = format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n");
        peer.send(format!("{head}Content-Length: 0\r\n\r\n").as_bytes());
        let request = peer.request();
        if request.starts_with("POST") {
            peer.body(4);
        }
        peer.answer("here");
        peer.wait_for_close();
    })])
}

#[test]
fn the_method_changes_as_browsers_change_it() {
    for (status, method, then) in [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
    ] {
        let server = redirect_then_answer(status, "../to?x");
        let (url, wanted) = (server.url("/a/b/c#part"), server.url("/a/to?x#part"));
        run(move |handle| async move {
            let client = Client::new(&handle);
            let mut request = client.request(method, &url);
            if method == "POST" {
                request = request.header("Content-Type", "text/plain").body("body");
            }
            let reply = request.send().await.unwrap();
            assert_eq!((reply.status(), reply.url()), (200, &wanted[..]));
        });
        server.next_seen();
        let second = server.next_seen();
        assert!(second.starts_with(&format!("{then} /a/to?x HTTP/1.1\r\n")), "{status}: {second}");
        assert_eq!(second.contains("\r\nContent-Type:"), then == "POST");
        assert_eq!(second.contains("\r\nContent-Length: 4\r\n"), then == "POST");
    }
}

#[test]
fn secrets_stay_with_their_origin() {
    let other = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let location = other.url("/elsewhere");
    let first = Server::start(vec![script(move |peer| {
        peer.request();
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /same\r\nContent-Length: 0\r\n\r\n");
        peer.request();
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n");
        peer.send(format!("{head}\r\n").as_bytes());
        peer.wait_for_close();
    })]);
    let url = first.url("/");
    run(|handle| async move {
        let request = Client::new(&handle).get(&url).header("Authorization", "Basic c2VjcmV0");
        let request = request.header("cookie", "a=b").header("X-Plain", "c");
        assert_eq!(request.send().await.unwrap().status(), 200);
    });
    for _ in 0..2 {
        let request = first.next_seen();
        assert!(request.contains("Basic c2VjcmV0") && request.contains("a=b"), "{request}");
    }
    let request = other.next_seen();
    assert!(!request.contains("Basic") && !request.contains("a=b"), "{request}");
    assert!(request.contains("X-Plain: c"), "{request}");
}

#[test]
fn a_loop_ends_at_the_limit_and_a_bad_target_at_once() {
    let around = |_| -> Script {
        script(|peer| {
            while !peer.request().is_empty() {
                peer.send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
            }
        })
    };
    let server = Server::start((0..1).map(around).collect());
    let error = get(server.url("/"), |client| client.redirects_max(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(error.to_string().contains("already 3 were followed"), "{error}");
    assert_eq!(server.seen.iter().filter(|request| !request.is_empty()).count(), 4);

    for (location, shown) in [
        ("ftp://localhost/", "`ftp://localhost/`: neither http nor https"),
        ("http://user:secret@localhost/", "`http://localhost/`: it has a user name"),
        ("http://:x/", "`http://:x/`"),
    ] {
        let server = redirect_then_answer(302, location);
        let error = get(server.url("/"), |client| client).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Redirect);
        assert!(error.to_string().contains(shown), "{error}");
    }
}

/// Answers a request with a redirect to `location` that has these field lines, too.
fn moves(peer: &mut Peer, location: &str, lines: &str) {
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n{lines}");
    peer.send(format!("{head}Content-Length: 0\r\n\r\n").as_bytes());
}

#[test]
fn what_a_redirect_sets_comes_back_along_the_chain() {
    let server = Server::start(vec![script(|peer| {
        peer.request();
        moves(peer, "/a/b", "Set-Cookie: seen=yes; Path=/\r\nSet-Cookie: a=1; Path=/a\r\n");
        peer.request();
        moves(peer, "/c", "Set-Cookie: seen=twice; Path=/\r\nSet-Cookie: d=2; Secure\r\n");
        peer.request();
        peer.answer("here");
        // Another fetch knows nothing of it.
        peer.request();
        peer.answer("here");
        peer.wait_for_close();
    })]);
    let url = server.url("/");
    run(|handle| async move {
        let client = Client::new(&handle);
        let request = client.get(&url).header("Cookie", "own=0; seen=no");
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "here");
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "here");
    });
    for cookie in
        [Some("own=0; seen=no"), Some("own=0; a=1; seen=yes"), Some("own=0; seen=twice"), None]
    {
        let request = server.next_seen();
        let lines: Vec<_> =
            request.lines().filter_map(|line| line.strip_prefix("Cookie: ")).collect();
        assert_eq!(lines, cookie.into_iter().collect::<Vec<_>>(), "{request}");
    }
}

#[test]
fn a_location_in_latin_1_is_taken_at_its_bytes() {
    let server = Server::start(vec![script(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 301 Moved\r\nLocation: /caf\xe9\r\nContent-Length: 0\r\n\r\n");
        peer.request();
        peer.answer("here");
        peer.wait_for_close();
    })]);
    let (reply, _) = get(server.url("/"), |client| client).unwrap();
    assert_eq!(reply.url(), server.url("/caf%E9"));
    server.next_seen();
    assert!(server.next_seen().starts_with("GET /caf%E9 HTTP/1.1\r\n"));
}

#[test]
fn a_user_in_a_url_is_sent_as_basic_to_its_origin_and_shown_nowhere() {
    let other = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let location = other.url("/elsewhere");
    let first = Server::start(vec![script(move |peer| {
        peer.request();
        moves(peer, "/same", "");
        peer.request();
        moves(peer, &location, "");
        peer.wait_for_close();
    })]);
    let url = format!("http://me:s%40cret@{}/", first.address);
    run(|handle| async move {
        let request = Client::new(&handle).get(&url);
        assert!(!format!("{request:?}").contains("cret"), "{request:?}");
        let reply = request.send().await.unwrap();
        assert!(!format!("{} {reply:?}", reply.url()).contains("cret"), "{reply:?}");
    });
    // printf 'me:s@cret' | base64
    for path in ["/", "/same"] {
        let request = first.next_seen();
        assert!(
            request.starts_with(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:")),
            "{request}"
        );
        assert!(request.contains("\r\nAuthorization: Basic bWU6c0BjcmV0\r\n"), "{request}");
    }
    let request = other.next_seen();
    assert!(!request.contains("Authorization"), "{request}");
}

#[test]
fn a_field_of_the_callers_own_comes_before_the_user_in_the_url() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://me:secret@{}/", server.address);
    run(|handle| async move {
        let request = Client::new(&handle).get(&url).header("authorization", "Bearer x");
        request.send().await.unwrap();
    });
    let request = server.next_seen();
    assert!(request.contains("\r\nauthorization: Bearer x\r\n"), "{request}");
    assert!(!request.contains("Basic"), "{request}");
}

#[test]
fn a_redirect_without_a_location_is_an_answer() {
    let server = Server::answering("HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhm");
    let (reply, body) = get(server.url("/"), |client| client).unwrap();
    assert_eq!((reply.status(), &body[..]), (302, &b"hm"[..]));
}
