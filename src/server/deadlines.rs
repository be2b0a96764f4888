//! Until when a connection may go on as it does.

use super::Shared;
use super::room::Rest;
use super::status::Phase;
use crate::http::Reason;
use crate::id::SourceId;
use crate::limits::MAKE_ROOM_IDLE_MIN;
use crate::world::Time;

impl<S> Shared<S> {
    /// Bytes of a body, or of an answer, that deserve another window.
    pub(super) fn progress_that_counts(&self) -> u32 {
        u32::try_from(self.limits.progress_bytes_min).unwrap_or(u32::MAX)
    }

    /// When a connection makes room for a newcomer: [`Time::NEVER`] unless it was asked to, else once
    /// it has done nothing for [`MAKE_ROOM_IDLE_MIN`]. `due` is when its time would be up without that.
    pub(super) fn time_to_go(&self, source: SourceId, rest: Rest, due: Time, now: Time) -> Time {
        if !self.status.must_make_room(source) {
            return Time::NEVER;
        }
        let left = due.since(now);
        let limit = match rest {
            Rest::Busy => return Time::NEVER,
            // The limit may have become shorter since.
            Rest::Idle if left > self.idle_time_limit() => self.limits.idle_timeout,
            Rest::Idle => self.idle_time_limit(),
            Rest::Lingering => self.limits.linger_timeout,
        };
        now + MAKE_ROOM_IDLE_MIN.saturating_sub(limit.saturating_sub(left))
    }

    /// Why a connection ends that is idle, and whose time is up.
    pub(super) fn why_idle_ends(&self, source: SourceId) -> Reason {
        if self.status.phase.get() == Phase::ClosingIdle {
            Reason::Shutdown
        } else if self.status.must_make_room(source) {
            Reason::MadeRoom
        } else {
            Reason::IdleTimeout
        }
    }
}
