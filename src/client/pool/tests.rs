//! Eight times as many hosts, waiters or idle connections may take at most twelve times as many steps. A
//! step is a comparison of two places, a look at an idle connection, or the question whether a host may be
//! entered.

use super::*;
use crate::coroutine::{Stream, steps, yield_now};
use crate::event_loop::EventLoop;
use crate::limits::FETCH_IDLE_TIMEOUT;
use crate::world::sim::{Net, Peer, Sim};
use std::net::SocketAddr;

const FEW: usize = 300;
const MANY: usize = 8 * FEW;
const GROWTH_MAX: u64 = 12;

fn simulated<F: Future + 'static>(main: impl FnOnce(Handle, Net) -> F) -> F::Output {
    let world = Sim::new(1);
    let net = world.net();
    let mut event_loop = EventLoop::with_world(Box::new(world));
    let main = main(event_loop.handle().clone(), net);
    event_loop.run_until_complete(main).unwrap()
}

fn assert_growth(what: &str, steps_of: impl Fn(usize) -> u64) {
    let [few, many] = [FEW, MANY].map(steps_of);
    assert!(few >= FEW as u64, "{what}: {few} steps cannot be all: something is not counted");
    assert!(many <= GROWTH_MAX * few, "{what}: {few} steps of {FEW}, {many} steps of {MANY}");
}

/// Nothing here is a task, so none is known to wait.
fn poll(acquire: &mut Acquire) -> Option<Lease> {
    match acquire.poll(TaskId::default()) {
        Poll::Ready(lease) => Some(lease),
        Poll::Pending => None,
    }
}

fn lease(pool: &Rc<Pool>, origin: &str) -> Lease {
    poll(&mut pool.acquire(origin)).expect("there is room")
}

fn waiting(pool: &Rc<Pool>, origin: &str) -> Acquire {
    let mut acquire = pool.acquire(origin);
    assert!(poll(&mut acquire).is_none(), "there is no room");
    acquire
}

/// As many orders as matter.
fn orders(count: usize) -> [Vec<usize>; 3] {
    let mut orders = [0; 3].map(|_| (0..count).collect::<Vec<_>>());
    orders[1].reverse();
    fastrand::Rng::with_seed(1).shuffle(&mut orders[2]);
    orders
}

#[test]
fn to_wait_for_a_lease_and_give_up_costs_the_same_however_many_wait() {
    for order in 0..3 {
        for is_granted in [false, true] {
            let what = format!("order {order}, granted: {is_granted}");
            assert_growth(&what, |count| {
                simulated(move |handle, _| async move {
                    let pool = Pool::new(&handle, count, usize::MAX);
                    let leases: Vec<_> = (0..count).map(|_| lease(&pool, "http://a")).collect();
                    steps::take();
                    let acquires = (0..count).map(|_| Some(waiting(&pool, "http://a")));
                    let mut acquires: Vec<_> = acquires.collect();
                    if is_granted {
                        leases.into_iter().for_each(Lease::give_back);
                    }
                    for index in &orders(count)[order] {
                        acquires[*index] = None;
                    }
                    let is_empty = |state: &State| state.waiting == 0 && state.granted.is_empty();
                    assert!(is_empty(&pool.state.borrow()));
                    steps::take()
                })
            });
        }
    }
}

/// A list that is sorted by host: those at its head wait for a host that has no room.
#[test]
fn a_lease_that_ends_finds_its_successor_without_asking_those_who_cannot_enter() {
    assert_growth("one busy host", |count| {
        simulated(move |handle, _| async move {
            let pool = Pool::new(&handle, usize::MAX, 1);
            let _busy = lease(&pool, "http://busy");
            let mut present = lease(&pool, "http://free");
            steps::take();
            let _behind: Vec<_> = (0..count).map(|_| waiting(&pool, "http://busy")).collect();
            let behind: Vec<_> = (0..count).map(|_| waiting(&pool, "http://free")).collect();
            for mut next in behind {
                present.give_back();
                present = poll(&mut next).expect("it was granted");
            }
            steps::take()
        })
    });
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(number + 1).unwrap()))
}

/// Idle connections to so many hosts more, and the servers' ends of them.
async fn idle(handle: &Handle, net: &Net, pool: &Rc<Pool>, count: usize) -> Vec<Peer> {
    let peers = Rc::new(RefCell::new(Vec::new()));
    let numbers = pool.idle_count()..pool.idle_count() + count;
    let leases = numbers.map(|number| (number, lease(pool, &format!("http://h{number}"))));
    for (number, mut lease) in leases.collect::<Vec<_>>() {
        let welcomed = Rc::clone(&peers);
        net.serve(address(number), move |_, peer| welcomed.borrow_mut().push(peer));
        let stream: Stream = handle.open_connection(address(number)).await.unwrap();
        lease.connection = Some(Box::new(Connection::new(stream, None, address(number))));
        lease.give_back();
    }
    // The keeper looks at those that are new, and the servers take them.
    for _ in 0..count {
        yield_now().await;
    }
    assert_eq!(peers.borrow().len(), count);
    steps::take();
    peers.take()
}

#[test]
fn a_full_pool_finds_the_connection_that_has_been_idle_longest_at_once() {
    assert_growth("eviction", |count| {
        simulated(move |handle, net| async move {
            let pool = Pool::new(&handle, count, usize::MAX);
            let peers = idle(&handle, &net, &pool, count).await;
            let leases: Vec<_> =
                (0..count).map(|n| lease(&pool, &format!("http://x{n}"))).collect();
            let steps = steps::take();
            assert_eq!(pool.idle_count(), 0);
            assert!(peers.iter().all(Peer::at_end));
            drop(leases);
            steps
        })
    });
}

/// Each in a turn of its own.
#[test]
fn idle_connections_that_their_servers_close_are_found_with_a_look_at_each_of_them() {
    for order in 0..3 {
        assert_growth("closing", |count| {
            simulated(move |handle, net| async move {
                let pool = Pool::new(&handle, count, usize::MAX);
                let peers = idle(&handle, &net, &pool, count).await;
                let mut peers: Vec<_> = peers.into_iter().map(Some).collect();
                let begin = handle.now();
                for index in &orders(count)[order] {
                    peers[*index] = None;
                    yield_now().await;
                }
                while pool.idle_count() > 0 {
                    yield_now().await;
                }
                assert!(handle.now() < begin + FETCH_IDLE_TIMEOUT, "nobody was too old");
                steps::take()
            })
        });
    }
}

#[test]
fn idle_connections_that_are_too_old_go_in_the_order_of_their_age() {
    simulated(|handle, net| async move {
        let pool = Pool::new(&handle, 3, usize::MAX);
        let second = std::time::Duration::from_secs(1);
        let _early = idle(&handle, &net, &pool, 2).await;
        handle.sleep(second).await;
        let late = idle(&handle, &net, &pool, 1).await;
        handle.sleep(FETCH_IDLE_TIMEOUT - second / 2).await;
        assert_eq!(pool.idle_count(), 1);
        assert!(!late[0].at_end());
        handle.sleep(second).await;
        assert_eq!(pool.idle_count(), 0);
        assert!(late[0].at_end());
        assert_eq!(handle.task_count(), 1, "the keeper has gone with the last one");
    });
}
