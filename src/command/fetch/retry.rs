//! Whether to try again, and when.

use std::time::{Duration, SystemTime};

use helloop::client::ErrorKind;

/// Mean pause before the first retry. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// At the limit the pauses grow no more.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A server that asks for a longer pause is not asked again.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Whether what has happened may not happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It will be the same.
    Same,
    /// It may be better the next time.
    Better,
    /// The server says after which time it will be better (RFC 9110 section 10.2.3).
    BetterAfter(Duration),
}

impl Prospect {
    pub(super) fn of_error(kind: ErrorKind) -> Prospect {
        match kind {
            ErrorKind::Resolve
            | ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Truncated
            | ErrorKind::Reset => Prospect::Better,
            _ => Prospect::Same,
        }
    }

    /// `retry_after`: the value of the field, if there is one.
    pub(super) fn of_status(status: u16, retry_after: Option<&str>, now: SystemTime) -> Prospect {
        if !matches!(status, 408 | 429 | 500 | 502 | 503 | 504) {
            return Prospect::Same;
        }
        let after = retry_after.and_then(|value| pause_of(value, now));
        after.map_or(Prospect::Better, Prospect::BetterAfter)
    }

    /// For how long the server wants to be left alone, if it is waited for.
    pub(super) fn wish(self) -> Option<Duration> {
        match self {
            Prospect::BetterAfter(pause) if pause <= RETRY_AFTER_MAX => Some(pause),
            _ => None,
        }
    }

    /// The pause before retry number `retry`, from 1; `None`: do not. `chance` is in 0..1: without it,
    /// fetches that failed together would come back together.
    pub(super) fn pause(self, retry: u32, chance: f64) -> Option<Duration> {
        match self {
            Prospect::Same => None,
            Prospect::BetterAfter(_) => self.wish(),
            Prospect::Better => {
                let doublings = retry.saturating_sub(1).min(16);
                let mean = FIRST_PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
                Some(mean.mul_f64(0.5 + chance))
            }
        }
    }
}

/// Seconds, or a date.
fn pause_of(retry_after: &str, now: SystemTime) -> Option<Duration> {
    let value = retry_after.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are longer than any wait.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_never_the_same() {
        let pauses = |chance| {
            (1..=9).map(move |retry| Prospect::Better.pause(retry, chance).unwrap().as_millis())
        };
        let short: Vec<_> = pauses(0.0).collect();
        assert_eq!(short, [250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
        assert_eq!(pauses(1.0).next(), Some(750));
        assert!(Prospect::Better.pause(u32::MAX, 0.5).is_some());
    }

    #[test]
    fn only_what_may_change_is_tried_again() {
        assert_eq!(Prospect::of_error(ErrorKind::Tls).pause(1, 0.5), None);
        assert!(Prospect::of_error(ErrorKind::Connect).pause(1, 0.5).is_some());
        let now = SystemTime::now();
        assert_eq!(Prospect::of_status(404, Some("1"), now), Prospect::Same);
        assert_eq!(Prospect::of_status(503, None, now), Prospect::Better);
    }

    #[test]
    fn a_server_may_say_when() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 10:00:00 GMT").unwrap();
        let after = |value| Prospect::of_status(429, Some(value), now).pause(1, 0.5);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(after(" 7 "), seconds(7));
        assert_eq!(after("Sat, 21 Nov 2026 10:00:09 GMT"), seconds(9));
        assert_eq!(after("Sat, 21 Nov 2026 09:00:00 GMT"), seconds(0));
        assert_eq!(after("301"), None);
        assert_eq!(after("99999999999999999999999"), None);
        // Nonsense is no reason to be rude.
        assert_eq!(after("soon"), Some(Duration::from_millis(500)));
        assert_eq!(after("-1"), Some(Duration::from_millis(500)));
    }
}
