use super::*;
use std::io::{Read, Write};

fn readiness_within_a_second(world: &mut Os, wanted: SourceId) -> Readiness {
    let mut arrived = Vec::new();
    let mut seen = Readiness::empty();
    for _ in 0..10 {
        let end = world.clock().now() + Duration::from_millis(100);
        world.wait(Some(end), &mut arrived).unwrap();
        for (id, readiness) in arrived.drain(..) {
            assert_eq!(id, wanted);
            seen |= readiness;
        }
        if !seen.is_empty() {
            break;
        }
    }
    seen
}

#[test]
fn a_listener_becomes_readable_and_accepts_with_nodelay() {
    let mut world = Os::new().unwrap();
    let mut listener = world.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let id = SourceId::from_bits(1 << 32 | 1);
    world.register(Pollable::Listener(&mut listener), id).unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(readiness_within_a_second(&mut world, id).is_readable());
    let (mut stream, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    let Stream::Tcp(tcp) = &stream else { panic!("not a TCP stream") };
    assert!(
        SockRef::from(tcp).tcp_nodelay().unwrap(),
        "TCP_NODELAY is inherited from the listener"
    );
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

    stream.write_all(b"hello").unwrap();
    let mut got = [0; 5];
    client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
}

#[test]
fn the_alarm_ends_a_wait_from_another_thread() {
    let mut world = Os::new().unwrap();
    let alarm = world.alarm();
    let waker = std::thread::spawn(move || alarm());
    let mut arrived = Vec::new();
    world.wait(None, &mut arrived).unwrap();
    assert_eq!(arrived, []);
    waker.join().unwrap();
}

/// Everything that is reported until nothing more is.
fn reports(world: &mut Os) -> Vec<Readiness> {
    let mut arrived = Vec::new();
    while arrived.is_empty() {
        world.wait(None, &mut arrived).unwrap();
    }
    world.wait(Some(Time::ZERO), &mut arrived).unwrap();
    arrived.into_iter().map(|(_, readiness)| readiness).collect()
}

/// On Linux; elsewhere it cannot be known, and every report says so.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn urgent_data_is_reported_and_nothing_is_reported_more_often_for_it() {
    let mut world = Os::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    let mut stream = Stream::Tcp(TcpStream::from_std(accepted));
    world.register(Pollable::Stream(&mut stream), SourceId::from_bits(1 << 32 | 1)).unwrap();
    assert_eq!(reports(&mut world), [Readiness::WRITABLE]);
    let ordinary = Readiness::READABLE | Readiness::WRITABLE;
    let mut buffer = [0; 8];
    for _ in 0..100 {
        client.write_all(b"abc").unwrap();
        assert_eq!(reports(&mut world), [ordinary], "one report for each piece");
        assert_eq!(stream.read(&mut buffer).unwrap(), 3);
    }
    client.write_all(b"abc").unwrap();
    SockRef::from(&client).send_out_of_band(b"!").unwrap();
    client.write_all(b"def").unwrap();
    let all = reports(&mut world).into_iter().collect::<Readiness>();
    assert_eq!(all, ordinary | Readiness::PRIORITY);
    assert_eq!(stream.read(&mut buffer).unwrap(), 3, "it stops at the mark");
    assert_eq!(stream.read(&mut buffer).unwrap(), 3, "and goes on behind it");
    assert_eq!(&buffer[..3], b"def");
}

#[test]
fn a_half_closed_peer_is_read_closed() {
    let mut world = Os::new().unwrap();
    let listener = world.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut stream, _) = loop {
        match listener.accept() {
            Ok(accepted) => break accepted,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    };
    let id = SourceId::from_bits(1 << 32 | 1);
    world.register(Pollable::Stream(&mut stream), id).unwrap();
    let mut seen = Readiness::empty();
    while !seen.contains(Readiness::READ_CLOSED) {
        seen |= readiness_within_a_second(&mut world, id);
    }
    assert!(seen.contains(Readiness::WRITABLE));
    assert!(!seen.contains(Readiness::WRITE_CLOSED));
}
