use std::time::Duration;

use helloop::limits::Limits;

use super::plan::{ClientPlan, End, Farewell, Plan, Reads};
use super::run::{Failure, run};

/// Runs of smaller plans that are tried at most.
const ATTEMPTS_MAX: usize = 2000;

/// Looks for a smaller plan that fails in the same way: fewer clients, fewer faults, less of
/// everything. Gives the smallest that was found, and how it fails.
pub(crate) fn shrink(plan: &Plan, failure: &Failure) -> (Plan, Failure) {
    let (mut best, mut how) = (plan.clone(), failure.clone());
    let mut attempts = 0;
    loop {
        let mut has_shrunk = false;
        let mut index = 0;
        // Each time the best plan changes, its candidates do; go on with the next one.
        while let Some(candidate) = smaller(&best, index) {
            index += 1;
            attempts += 1;
            if attempts > ATTEMPTS_MAX {
                return (best, how);
            }
            if let Err(failure) = run(&candidate)
                && failure.checker == how.checker
            {
                (best, how) = (candidate, failure);
                has_shrunk = true;
                index -= 1;
            }
        }
        if !has_shrunk {
            return (best, how);
        }
    }
}

/// Makes a plan smaller.
type Change = Box<dyn Fn(&mut Plan)>;

/// The `index`-th plan that is smaller than `plan`; `None` behind the last.
fn smaller(plan: &Plan, index: usize) -> Option<Plan> {
    let mut candidates: Vec<Change> = Vec::new();
    for client in 0..plan.clients.len() {
        candidates.push(Box::new(move |plan| drop(plan.clients.remove(client))));
    }
    let mut faults = plan.faults;
    for (fault, (_, percent)) in faults.by_name().into_iter().enumerate() {
        if *percent > 0 {
            candidates.push(Box::new(move |plan| *plan.faults.by_name()[fault].1 = 0));
        }
    }
    for (number, client) in plan.clients.iter().enumerate() {
        of_client(client, number, &mut candidates);
    }
    if plan.limits != calm_limits() {
        candidates.push(Box::new(|plan| plan.limits = calm_limits()));
    }
    if plan.listeners > 1 {
        candidates.push(Box::new(|plan| {
            plan.listeners = 1;
            plan.clients.iter_mut().for_each(|client| client.listener = 0);
        }));
    }
    if plan.end.at.is_some() || plan.end.drain != Some(Duration::from_secs(25)) {
        let end = End { at: None, drain: Some(Duration::from_secs(25)) };
        candidates.push(Box::new(move |plan| plan.end = end));
    }
    let change = candidates.get(index)?;
    let mut smaller = plan.clone();
    change(&mut smaller);
    Some(smaller)
}

fn of_client(client: &ClientPlan, n: usize, candidates: &mut Vec<Change>) {
    let total: usize = client.asks.iter().map(|ask| ask.bytes.len()).sum();
    let sends_all = client.sent_bytes() == total;
    if sends_all {
        for ask in (0..client.asks.len()).rev() {
            candidates.push(Box::new(move |plan| {
                let client = &mut plan.clients[n];
                client.asks.remove(ask);
                send_at_once(client);
            }));
        }
        if client.sends.len() > 1 || client.sending_time() > Duration::ZERO {
            candidates.push(Box::new(move |plan| send_at_once(&mut plan.clients[n])));
        }
    }
    if client.arrives > Duration::ZERO {
        candidates.push(Box::new(move |plan| plan.clients[n].arrives = Duration::ZERO));
    }
    if client.reads != Reads::Eagerly {
        candidates.push(Box::new(move |plan| plan.clients[n].reads = Reads::Eagerly));
    }
    if client.farewell != Farewell::HalfCloses {
        candidates.push(Box::new(move |plan| plan.clients[n].farewell = Farewell::HalfCloses));
    }
}

fn send_at_once(client: &mut ClientPlan) {
    let total: usize = client.asks.iter().map(|ask| ask.bytes.len()).sum();
    client.sends = if total > 0 { vec![(Duration::ZERO, total)] } else { Vec::new() };
}

fn calm_limits() -> Limits {
    let mut limits = Limits::default();
    limits.connections_max = Some(1000);
    limits
}
