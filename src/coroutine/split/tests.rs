use super::*;
use crate::coroutine::stream::tests::{address, connected, noted, simulated};
use crate::coroutine::yield_now;
use crate::events::Event;
use crate::limits::READ_BYTES_PER_RESUME_MAX;
use crate::watch::Status;
use crate::world::sim::{Faults, PIPE_BYTES, Peer};
use std::time::Duration;

/// A millisecond in which all that can happen happens.
const PAUSE: Duration = Duration::from_millis(1);

#[test]
fn a_reader_and_a_writer_wait_for_one_socket() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let (mut reads, mut writes) = stream.split();
        let reader = handle.spawn(async move {
            let mut words = Vec::new();
            let mut buffer = [0; 10];
            while let bytes @ 1.. = reads.read(&mut buffer).await.unwrap() {
                words.push(buffer[..bytes].to_vec());
            }
            words
        });
        let writer = handle.spawn(async move {
            writes.write_all(&vec![b'x'; 3 * PIPE_BYTES]).await.unwrap();
            writes
        });
        handle.sleep(PAUSE).await;
        let snapshot = handle.snapshot();
        let doing = |id| snapshot.tasks.iter().find(|task| task.id == id).unwrap().status;
        let waits = |interest| Status::Waiting { interest, timer: None };
        assert_eq!(doing(reader.id()), waits(Readiness::READABLE));
        assert_eq!(doing(writer.id()), waits(Readiness::WRITABLE));
        let source = snapshot.sources.iter().find(|source| source.writer.is_some()).unwrap();
        assert_eq!((source.task, source.writer), (reader.id(), Some(writer.id())));
        // Each is resumed for its own direction, and for no other.
        peer.send(b"one");
        handle.sleep(PAUSE).await;
        assert_eq!(handle.snapshot().tasks.len(), snapshot.tasks.len());
        let mut received = 0;
        while received < 3 * PIPE_BYTES {
            received += peer.receive().len();
            handle.sleep(PAUSE).await;
        }
        let writes = writer.await.unwrap();
        peer.send(b"two");
        handle.sleep(PAUSE).await;
        peer.finish();
        assert_eq!(reader.await.unwrap(), [b"one", b"two"]);
        assert!(!peer.at_end());
        drop(writes);
        yield_now().await;
        assert!(peer.is_closed());
        assert!(handle.snapshot().sources.is_empty());
    });
}

/// Nobody is resumed for the other direction.
#[test]
fn what_is_for_the_one_does_not_resume_the_other() {
    let ((reader, writer), events) = noted(1, Faults::NONE, |handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let (mut reads, mut writes) = stream.split();
        let reader =
            handle.spawn(async move { while let Ok(1..) = reads.read(&mut [0; 10]).await {} });
        let writer = handle.spawn(async move {
            writes.write_all(&vec![b'x'; 5 * PIPE_BYTES]).await.unwrap();
            writes
        });
        for _ in 0..10 {
            peer.send(b"x");
            handle.sleep(PAUSE).await;
        }
        let ids = (reader.id(), writer.id());
        while !writer.is_finished() {
            peer.receive();
            handle.sleep(PAUSE).await;
        }
        ids
    });
    let resumes = |id| {
        let of_task = |event: &Event| matches!(event, Event::Resumed { task, .. } if *task == id);
        events.iter().filter(|(_, event)| of_task(event)).count()
    };
    assert_eq!((resumes(reader), resumes(writer)), (10, 5));
}

#[test]
fn a_write_half_that_is_dropped_says_the_end_and_reading_goes_on() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let (mut reads, mut writes) = stream.split();
        writes.write_all(b"last words").await.unwrap();
        drop(writes);
        assert_eq!(peer.receive(), b"last words");
        assert!(peer.at_end() && !peer.is_closed());
        peer.send(b"answer");
        assert_eq!(reads.read(&mut [0; 10]).await.unwrap(), 6);
        drop(reads);
        assert!(peer.is_closed() && !peer.is_reset());
        assert_eq!(net.open_ends(), 1, "the outside's own");
        assert_eq!(handle.snapshot().sources.len(), 0);
    });
}

#[test]
fn a_read_half_that_is_dropped_says_nothing_and_writing_goes_on() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let (reads, mut writes) = stream.split();
        drop(reads);
        yield_now().await;
        assert!(!peer.at_end());
        writes.write_all(b"still here").await.unwrap();
        assert_eq!(peer.receive(), b"still here");
        assert_eq!(writes.peer_addr().unwrap(), peer.address());
        writes.shut_write().unwrap();
        assert!(peer.at_end() && !peer.is_closed());
        assert!(writes.write_all(b"x").await.is_err());
        drop(writes);
        assert!(peer.is_closed());
    });
}

#[test]
fn halves_of_one_stream_are_a_stream_again() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let (reads, mut writes) = stream.split();
        // The writer has waited.
        let writer = handle.spawn(async move {
            let late = writes.write_all(&[0; 2 * PIPE_BYTES]).await;
            late.map(|()| writes)
        });
        while !writer.is_finished() {
            peer.receive();
            yield_now().await;
        }
        peer.receive();
        let mut stream = reads.reunite(writer.await.unwrap().unwrap()).unwrap();
        assert!(!peer.at_end());
        let task = handle.spawn(async move {
            let read = stream.read(&mut [0; 10]).await;
            stream.write_all(b"whole").await.unwrap();
            read
        });
        yield_now().await;
        peer.send(b"abc");
        assert_eq!(task.await.unwrap().unwrap(), 3);
        assert_eq!(peer.receive(), b"whole");
    });
}

#[test]
fn halves_of_two_streams_are_given_back() {
    simulated(|handle, net| async move {
        let mut listener = crate::coroutine::Listener::bind(&handle, address()).unwrap();
        let peers = [net.connect(address()), net.connect(address())];
        let [one, other] = [listener.accept().await.0, listener.accept().await.0];
        let ((reads, _writes), (_reads, writes)) = (one.split(), other.split());
        let (mut reads, mut writes) = *reads.reunite(writes).unwrap_err().0;
        peers[0].send(b"to one");
        assert_eq!(reads.read(&mut [0; 10]).await.unwrap(), 6);
        writes.write_all(b"from other").await.unwrap();
        assert_eq!(peers[1].receive(), b"from other");
    });
}

/// A half goes from task to task as a stream does; two tasks at a time are refused.
#[test]
fn a_half_is_for_one_task_at_a_time() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let (mut reads, _writes) = stream.split();
        let read = handle.timeout(PAUSE, reads.read(&mut [0; 10])).await;
        assert!(read.is_err());
        let first = handle.spawn(async move {
            let read = reads.read(&mut [0; 10]).await;
            (read, reads)
        });
        yield_now().await;
        peer.send(b"abc");
        let (read, reads) = first.await.unwrap();
        assert_eq!(read.unwrap(), 3);
        let reads = Rc::new(RefCell::new(reads));
        let [one, two] = [(); 2].map(|()| {
            let reads = Rc::clone(&reads);
            handle.spawn(poll_fn(move |cx| reads.borrow_mut().poll_read(cx, &mut [0; 10])))
        });
        let refused = two.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert!(refused.to_string().contains("one task at a time"), "{refused}");
        peer.send(b"abcd");
        assert_eq!(one.await.unwrap().unwrap(), 4);
    });
}

/// Both halves have the budgets of a stream.
#[test]
fn a_half_yields_as_a_stream_does() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        peer.widen(usize::MAX);
        peer.send(&vec![0; 4 * READ_BYTES_PER_RESUME_MAX]);
        let (mut reads, mut writes) = stream.split();
        let begin = handle.turns();
        let (mut buffer, mut copied) = (vec![0; 64 * 1024], 0);
        while copied < 4 * READ_BYTES_PER_RESUME_MAX {
            let bytes = reads.read(&mut buffer).await.unwrap();
            writes.write_all(&buffer[..bytes]).await.unwrap();
            copied += bytes;
        }
        assert_eq!(handle.turns() - begin, 3);
    });
}

/// A relay between two connections, each way a task of its own, whatever the network does.
#[test]
fn a_relay_of_four_halves_loses_nothing_on_a_rough_network() {
    for seed in 0..50 {
        noted(seed, Faults::ROUGH, |handle, net| async move {
            let mut listener = crate::coroutine::Listener::bind(&handle, address()).unwrap();
            let peers = [net.connect(address()), net.connect(address())];
            let [one, other] = [listener.accept().await.0, listener.accept().await.0];
            let ((one_in, one_out), (other_in, other_out)) = (one.split(), other.split());
            for (mut from, mut to) in [(one_in, other_out), (other_in, one_out)] {
                let copies = async move {
                    let mut buffer = [0; 100];
                    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
                        to.write_all(&buffer[..bytes]).await.unwrap();
                    }
                };
                drop(handle.spawn(copies));
            }
            let texts = [0, 1].map(|which: u8| {
                (0..=255_u8).cycle().take(5000).map(|n| n ^ which).collect::<Vec<_>>()
            });
            let mut received = [Vec::new(), Vec::new()];
            for at in 0..5 {
                for which in [0, 1] {
                    peers[which].send(&texts[which][at * 1000..(at + 1) * 1000]);
                }
                handle.sleep(PAUSE).await;
            }
            peers.iter().for_each(Peer::finish);
            while !peers.iter().all(Peer::at_end) {
                for which in [0, 1] {
                    received[which].extend(peers[which].receive());
                }
                yield_now().await;
            }
            assert_eq!(received[0], texts[1], "seed {seed}");
            assert_eq!(received[1], texts[0], "seed {seed}");
            assert!(peers.iter().all(Peer::is_closed));
        });
    }
}
