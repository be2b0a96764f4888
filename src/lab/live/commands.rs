//! What the buttons of a page do.

use super::access;
use super::answers::{nothing_here, obeyed, refused};
use super::link::Link;
use super::stage::Guide;
use crate::http::Status;
use crate::lab::message::Refused;
use crate::lab::orders::Order;
use crate::server::{OwnedRequest, Reply};

/// What a button does.
pub(super) fn command(
    link: &Link,
    guide: Option<&dyn Guide>,
    is_read_only: bool,
    what: &str,
    request: &OwnedRequest,
) -> Reply {
    if let Some(why) = access::may_not_order(request, is_read_only) {
        return refused(Status::FORBIDDEN, why);
    }
    let query = request.query().unwrap_or_default();
    match obey(link, what, query).or_else(|| guide?.obey(what, query)) {
        Some(done) => obeyed(done),
        None => nothing_here(),
    }
}

/// Holds the loop, or lets it go; `None` if that is another command.
fn obey(link: &Link, what: &str, query: &str) -> Option<Result<(), Refused>> {
    Some(Order::of(what, query)?.map(|order| match order {
        Order::Go(going, why) => link.order(going, why),
        Order::Slow(dwell) => link.slow(dwell),
    }))
}
