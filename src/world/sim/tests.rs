use super::*;
use std::io::{Read, Write};

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 80))
}

fn faults(change: impl FnOnce(&mut Faults)) -> Faults {
    let mut faults = Faults::NONE;
    change(&mut faults);
    faults
}

/// What the next wait reports.
fn wait(sim: &mut Sim, timeout: Duration) -> Vec<(SourceId, Readiness)> {
    let mut arrived = Vec::new();
    sim.wait(Some(sim.clock().now() + timeout), &mut arrived).unwrap();
    arrived
}

fn ids(count: usize) -> Vec<SourceId> {
    let mut sources: SlotMap<SourceId, ()> = SlotMap::with_key();
    (0..count).map(|_| sources.insert(())).collect()
}

#[test]
fn packets_take_their_time_and_keep_their_order() {
    let mut sim = Sim::with_faults(3, faults(|f| f.latency_percent = 100));
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let peer = net.connect(address());
    peer.send(b"a");
    net.at(Time::from_nanos(1), |_| {});
    peer.send(b"b");
    assert!(listener.accept().is_err(), "it has not arrived");
    wait(&mut sim, LATENCY_MAX);
    let (mut stream, from) = listener.accept().unwrap();
    assert_eq!(from, peer.address());
    let mut buffer = [0; 8];
    assert_eq!(stream.read(&mut buffer).unwrap(), 2);
    assert_eq!(&buffer[..2], b"ab");
    stream.write_all(b"c").unwrap();
    drop(stream);
    assert!(peer.receive().is_empty() && !peer.at_end());
    wait(&mut sim, LATENCY_MAX);
    assert_eq!(peer.receive(), b"c");
    assert!(peer.at_end() && !peer.is_reset());
}

#[test]
fn a_tiny_pipe_holds_a_few_bytes_and_tells_when_there_is_room() {
    let mut sim = Sim::with_faults(3, faults(|f| f.tiny_pipe_percent = 100));
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let peer = net.connect(address());
    let (mut stream, _) = listener.accept().unwrap();
    let id = ids(1)[0];
    sim.register(Pollable::Stream(&mut stream), id).unwrap();
    wait(&mut sim, Duration::ZERO);
    let written = stream.write(&[0; 1000]).unwrap();
    assert!((1..100).contains(&written), "{written}");
    let error = stream.write(&[0; 1000]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(peer.receive_at_most(1).len(), 1);
    assert_eq!(wait(&mut sim, Duration::ZERO), [(id, Readiness::WRITABLE)]);
    assert_eq!(stream.write(&[0; 1000]).unwrap(), 1);
}

/// All that can be read at once, read by read.
fn reads(stream: &mut Stream) -> Vec<Vec<u8>> {
    let mut reads = Vec::new();
    let mut buffer = [0; 8];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        reads.push(buffer[..bytes].to_vec());
    }
    reads
}

#[test]
fn a_read_ends_at_the_mark_of_urgent_data() {
    let mut sim = Sim::new(3);
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let peer = net.connect(address());
    peer.send(b"ab");
    peer.send_urgent();
    let (mut stream, _) = listener.accept().unwrap();
    let id = ids(1)[0];
    sim.register(Pollable::Stream(&mut stream), id).unwrap();
    let urgent = Readiness::READABLE | Readiness::PRIORITY;
    assert_eq!(wait(&mut sim, Duration::ZERO), [(id, urgent | Readiness::WRITABLE)]);
    peer.send(b"cd");
    assert_eq!(wait(&mut sim, Duration::ZERO), [(id, urgent)]);
    assert_eq!(reads(&mut stream), [b"ab", b"cd"]);
    peer.send(b"ef");
    assert_eq!(wait(&mut sim, Duration::ZERO), [(id, Readiness::READABLE)]);
    // With nothing around it, it is reported, and is nothing to read.
    assert_eq!(reads(&mut stream), [b"ef"]);
    peer.send_urgent();
    assert_eq!(wait(&mut sim, Duration::ZERO), [(id, urgent)]);
    assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    // A later one takes the place of one that was not read.
    peer.send_urgent();
    peer.send(b"gh");
    peer.send_urgent();
    peer.send(b"i");
    assert_eq!(reads(&mut stream), [b"gh".as_slice(), b"i"]);
    peer.send_urgent();
    peer.finish();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn urgent_data_strikes_where_chance_has_it_and_loses_nothing() {
    let mut sim = Sim::with_faults(3, faults(|f| f.urgent_percent = 50));
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let peer = net.connect(address());
    let (mut stream, _) = listener.accept().unwrap();
    sim.register(Pollable::Stream(&mut stream), ids(1)[0]).unwrap();
    wait(&mut sim, Duration::ZERO);
    let mut of_pieces = [0; 3];
    for _ in 0..200 {
        peer.send(b"abcd");
        let [(_, readiness)] = wait(&mut sim, Duration::ZERO)[..] else { panic!("one report") };
        let reads = reads(&mut stream);
        of_pieces[reads.len()] += 1;
        assert_eq!(reads.concat(), b"abcd");
        assert!(readiness.contains(Readiness::PRIORITY) || reads.len() == 1);
    }
    assert!(of_pieces[1] > 50 && of_pieces[2] > 30, "{of_pieces:?}");
}

#[test]
fn what_has_arrived_and_was_not_read_is_counted() {
    let mut sim = Sim::new(3);
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let peer = net.connect(address());
    let (mut stream, _) = listener.accept().unwrap();
    let [id, other] = ids(2)[..] else { unreachable!() };
    sim.register(Pollable::Stream(&mut stream), id).unwrap();
    peer.send(b"abc");
    assert_eq!((net.unread_bytes(id), net.unread_bytes(other)), (3, 0));
    assert_eq!(stream.read(&mut [0; 2]).unwrap(), 2);
    assert_eq!(net.unread_bytes(id), 1);
}

#[test]
fn a_connection_is_refused_or_never_answered() {
    let mut sim = Sim::with_faults(3, faults(|f| f.refused_percent = 100));
    let _listener = sim.listen(address()).unwrap();
    let refused = sim.connect(address()).unwrap();
    assert!(refused.take_error().unwrap().is_some());
    sim.net().set_faults(faults(|f| f.unanswered_percent = 100));
    let mut silent = sim.connect(address()).unwrap();
    assert!(silent.take_error().unwrap().is_none());
    assert!(silent.peer_addr().is_err(), "it is not connected");
    assert_eq!(silent.write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop((refused, silent));
    assert_eq!(sim.net().open_ends(), 0);
}

#[test]
fn whoever_serves_outside_meets_whoever_connects() {
    let mut sim = Sim::new(3);
    let net = sim.net();
    net.serve(address(), |_, peer| {
        peer.send(b"welcome");
        peer.finish();
    });
    let mut stream = sim.connect(address()).unwrap();
    wait(&mut sim, Duration::from_millis(1));
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "welcome");
}

#[test]
fn a_watcher_is_told_once_for_all_that_happens_at_a_moment() {
    let mut sim = Sim::new(3);
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let peer = net.connect(address());
    let told = Rc::new(Cell::new(0));
    let count = Rc::clone(&told);
    peer.watch(move |_| count.set(count.get() + 1));
    wait(&mut sim, Duration::ZERO);
    assert_eq!(told.get(), 1, "for what was before");
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"one").unwrap();
    stream.write_all(b"two").unwrap();
    drop(stream);
    wait(&mut sim, Duration::ZERO);
    assert_eq!(told.get(), 2);
    assert_eq!(peer.receive(), b"onetwo");
}

#[test]
fn exhaustion_lasts_and_passes() {
    let mut sim = Sim::with_faults(3, faults(|f| f.accept_error_percent = 100));
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let _peer = net.connect(address());
    let mut errors = Vec::new();
    for _ in 0..200 {
        errors.push(listener.accept().unwrap_err().raw_os_error());
        wait(&mut sim, Duration::from_millis(10));
    }
    assert!(errors.contains(&Some(24)) && errors.contains(&None), "{errors:?}");
    assert!(errors.windows(2).any(|pair| pair[0].is_some() && pair[0] == pair[1]), "{errors:?}");
    net.set_faults(Faults::NONE);
    wait(&mut sim, EXHAUSTED_MAX);
    assert!(listener.accept().is_ok(), "nobody was lost");
}

#[test]
fn reports_may_be_late_or_stale_and_are_never_lost() {
    let mut sim = Sim::with_faults(3, faults(|f| f.held_percent = 100));
    let net = sim.net();
    let listener = sim.listen(address()).unwrap();
    let peers = [net.connect(address()), net.connect(address())];
    let mut streams = [listener.accept().unwrap().0, listener.accept().unwrap().0];
    let ids = ids(2);
    for (stream, id) in streams.iter_mut().zip(&ids) {
        sim.register(Pollable::Stream(stream), *id).unwrap();
    }
    let mut arrived = Vec::new();
    while arrived.len() < 2 {
        arrived.extend(wait(&mut sim, HELD_MAX));
    }
    assert!(net.now() > Time::from_nanos(2), "they were late");
    net.set_faults(faults(|f| f.stale_percent = 100));
    let [first, second] = streams;
    drop(first);
    peers[1].send(b"x");
    let arrived = wait(&mut sim, Duration::ZERO);
    assert!(arrived.contains(&(ids[0], Readiness::all())), "the closed one: {arrived:?}");
    assert!(arrived.contains(&(ids[1], Readiness::READABLE)));
    drop(second);
}

/// The outside does something that reports nothing, in the middle of a wait.
#[test]
fn a_wait_is_as_long_as_it_should_be() {
    let mut sim = Sim::new(3);
    let net = sim.net();
    net.at(Time::from_nanos(400), |_| {});
    wait(&mut sim, Duration::from_nanos(1000));
    assert_eq!(net.now(), Time::from_nanos(1000));
    let alarm = sim.alarm();
    net.at(Time::from_nanos(1500), move |_| alarm());
    wait(&mut sim, Duration::from_secs(1));
    assert_eq!(net.now(), Time::from_nanos(1500) + BUSY_WAIT, "an alarm ends a wait");
}

#[test]
fn clocks_jump_and_only_the_wall_clock_goes_back() {
    let mut sim = Sim::with_faults(3, faults(|f| f.wall_jump_percent = 100));
    let (net, mut went_back) = (sim.net(), false);
    for _ in 0..100 {
        let (now, wall) = (net.now(), net.wall());
        wait(&mut sim, Duration::from_millis(1));
        assert_eq!(net.now(), now + Duration::from_millis(1));
        went_back |= net.wall() < wall;
    }
    assert!(went_back);
    net.set_faults(faults(|f| f.clock_jump_percent = 100));
    let now = net.now();
    (0..100).for_each(|_| drop(wait(&mut sim, Duration::ZERO)));
    assert!(net.now() > now + Duration::from_secs(1));
}
