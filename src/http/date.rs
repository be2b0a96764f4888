//! The `Date` field, rendered once a second.

use httpdate::HttpDate;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The value of the `Date` field as an IMF-fixdate (RFC 9110 section 5.6.7), for the wall clock's
/// second that is under way.
///
/// ```
/// use helloop::http::DateCache;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let mut cache = DateCache::new();
/// let wall = || UNIX_EPOCH + Duration::from_millis(784_111_777_400);
/// assert_eq!(cache.at(5_000, wall), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Debug)]
pub struct DateCache {
    /// Valid for every monotonic time below `until_nanos`.
    text: [u8; 29],
    /// Monotonic time at which the wall clock's second ends; 0 before the first use.
    until_nanos: u64,
}

impl DateCache {
    /// A cache that reads the wall clock at its first use.
    pub const fn new() -> DateCache {
        DateCache { text: *b"Thu, 01 Jan 1970 00:00:00 GMT", until_nanos: 0 }
    }

    /// The field value at the monotonic time `now_nanos` (nanoseconds since anything fixed).
    ///
    /// `wall` is called only when the cached second is over, so that a request costs a comparison.
    /// A wall clock that is set, forwards or back, is noticed by then. Dates that an IMF-fixdate
    /// cannot express are pulled into the years 1970 to 9999.
    pub fn at(&mut self, now_nanos: u64, wall: impl FnOnce() -> SystemTime) -> &[u8; 29] {
        if now_nanos >= self.until_nanos {
            self.read(now_nanos, wall());
        }
        &self.text
    }

    fn read(&mut self, now_nanos: u64, wall: SystemTime) {
        let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let left_of_second = NANOS_PER_SECOND - u64::from(since_epoch.subsec_nanos());
        self.until_nanos = now_nanos.saturating_add(left_of_second);
        let second = Duration::from_secs(since_epoch.as_secs().min(LAST_SECOND));
        write!(&mut self.text[..], "{}", HttpDate::from(UNIX_EPOCH + second))
            .expect("an IMF-fixdate of the years 1970 to 9999 has 29 bytes");
    }
}

impl Default for DateCache {
    fn default() -> DateCache {
        DateCache::new()
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Fri, 31 Dec 9999 23:59:59 GMT in seconds since 1970: the last that has a four-digit year.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: u64, nanos: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn the_clock_is_read_once_a_second_of_its_own() {
        let mut cache = DateCache::new();
        let begin = cache.at(7, || wall(784_111_777, 400_000_000)).to_owned();
        assert_eq!(&begin, b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.at(600_000_006, || unreachable!()), &begin);
        assert_eq!(
            cache.at(600_000_007, || wall(784_111_778, 0)),
            b"Sun, 06 Nov 1994 08:49:38 GMT"
        );
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed() {
        let mut cache = DateCache::new();
        cache.at(0, || wall(784_111_777, 0));
        let later = cache.at(NANOS_PER_SECOND, || wall(784_111_000, 0));
        assert_eq!(later, b"Sun, 06 Nov 1994 08:36:40 GMT");
    }

    #[test]
    fn impossible_clocks_do_not_panic() {
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(DateCache::new().at(u64::MAX, || before), b"Thu, 01 Jan 1970 00:00:00 GMT");
        let after = wall(LAST_SECOND + 1, 0);
        assert_eq!(DateCache::new().at(0, || after), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
