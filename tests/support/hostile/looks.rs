use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use helloop::SourceId;
use helloop::events::{Event, Operation};
use helloop::world::sim::Net;

use super::run::Failure;
use super::script::Scripts;

/// Whether a client looks before it writes: a kept connection on which something has come that
/// nobody asked for must not carry another request, whose reply that would become.
///
/// What a client can know is what the loop was told. A report that the network holds back, and a
/// kernel that pretends to have nothing, are not its fault.
pub(super) struct Looks {
    net: Net,
    sources: HashMap<SourceId, Known>,
    /// Writes to sources with unread input.
    blind: Vec<BlindWrite>,
}

/// What the loop knows about a source.
#[derive(Default)]
struct Known {
    written_bytes: u64,
    /// It was reported as readable, and nobody has asked since.
    is_told: bool,
    /// The kernel was asked, and said that there was nothing.
    is_denied: bool,
}

struct BlindWrite {
    source: SourceId,
    /// Bytes that were written to it before.
    offset: u64,
    unread_bytes: usize,
    is_told: bool,
    is_denied: bool,
}

impl Looks {
    pub(super) fn new(net: &Net) -> Rc<RefCell<Looks>> {
        let (sources, blind) = (HashMap::new(), Vec::new());
        Rc::new(RefCell::new(Looks { net: net.clone(), sources, blind }))
    }

    /// Looks at an event while it happens: later, nobody knows what was unread.
    pub(super) fn event(&mut self, event: &Event) {
        match *event {
            Event::Ready { source, readiness } if readiness.is_readable() => {
                self.sources.entry(source).or_default().is_told = true;
            }
            Event::Read { source, .. } => {
                let known = self.sources.entry(source).or_default();
                (known.is_told, known.is_denied) = (false, false);
            }
            Event::WouldBlock { source, operation: Operation::Read } => {
                let known = self.sources.entry(source).or_default();
                (known.is_told, known.is_denied) = (false, true);
            }
            Event::Wrote { source, bytes, .. } => self.wrote(source, bytes as u64),
            _ => {}
        }
    }

    fn wrote(&mut self, source: SourceId, bytes: u64) {
        let known = self.sources.entry(source).or_default();
        let offset = known.written_bytes;
        known.written_bytes += bytes;
        let (is_told, is_denied) = (known.is_told, known.is_denied);
        let unread_bytes = self.net.unread_bytes(source);
        // In the middle of a request it may be the reply, before its time.
        if unread_bytes > 0 {
            self.blind.push(BlindWrite { source, offset, unread_bytes, is_told, is_denied });
        }
    }

    pub(super) fn judge(&self, scripts: &Scripts) -> Result<(), Failure> {
        let taken = scripts.taken.borrow();
        let ends: HashSet<_> = taken.iter().map(|taken| (taken.source, taken.end)).collect();
        let posts = taken.iter().filter(|taken| taken.method == "POST");
        let posts: HashSet<_> = posts.map(|taken| (taken.source, taken.begin)).collect();
        for write in &self.blind {
            // Where a request ends, the next one begins.
            let place = (write.source, write.offset);
            if !ends.contains(&place) {
                continue;
            }
            // What must not be sent twice is not left to reports.
            let could_know = write.is_told || posts.contains(&place) && !write.is_denied;
            if could_know {
                let BlindWrite { source, offset, unread_bytes, .. } = write;
                let complaint = format!(
                    "{unread_bytes} bytes were unread when byte {offset} was written to {source}"
                );
                return Err(Failure::new(
                    "a kept connection is looked at before a request",
                    complaint,
                ));
            }
        }
        Ok(())
    }
}
