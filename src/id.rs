//! Names of things on a loop. An id carries a generation: when its slot is used again, the old id
//! finds nobody (a stale event can never reach the slot's new owner).

use std::fmt;
use std::str::FromStr;

use slotmap::{Key, KeyData, new_key_type};

new_key_type! {
    /// Names a task on one event loop.
    pub struct TaskId;

    /// Names a source of readiness (a registered socket) on one event loop.
    pub struct SourceId;
}

impl TaskId {
    /// The id as one number.
    pub(crate) fn to_bits(self) -> u64 {
        self.data().as_ffi()
    }

    /// The id that [`to_bits`](Self::to_bits) gave.
    pub(crate) fn from_bits(bits: u64) -> TaskId {
        KeyData::from_ffi(bits).into()
    }
}

impl SourceId {
    /// The id as one number, for a kernel that hands back what it was given.
    pub(crate) fn to_bits(self) -> u64 {
        self.data().as_ffi()
    }

    /// The id that [`to_bits`](Self::to_bits) gave. Any other number is some id that finds nobody.
    pub(crate) fn from_bits(bits: u64) -> SourceId {
        KeyData::from_ffi(bits).into()
    }

    /// The slot that it names, which no other source has at the same time.
    pub(crate) fn slot(self) -> u32 {
        (self.to_bits() & 0xffff_ffff) as u32
    }
}

/// `7` for the first use of slot 7, `7.2` for the second.
fn show(data: KeyData, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let bits = data.as_ffi();
    let (slot, version) = (bits & 0xffff_ffff, bits >> 32);
    // slotmap's versions of live keys are odd: 1, 3, 5, …
    match version.div_ceil(2) {
        0 | 1 => write!(f, "{slot}"),
        generation => write!(f, "{slot}.{generation}"),
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.data(), f)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.data(), f)
    }
}

/// The text is not what an id looks like when it is shown.
///
/// ```
/// use helloop::{NotAnId, SourceId, TaskId};
///
/// assert_eq!("7.2".parse::<TaskId>().map(|id| id.to_string()), Ok("7.2".to_owned()));
/// assert_eq!("seven".parse::<SourceId>(), Err(NotAnId));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id looks like 7 or 7.2")
    }
}

impl std::error::Error for NotAnId {}

/// What [`show`] has shown.
fn read(text: &str) -> Result<KeyData, NotAnId> {
    let number = |digits: &str| match digits.as_bytes() {
        [b'1'..=b'9', ..] | [b'0'] => digits.parse::<u32>().map_err(|_| NotAnId),
        _ => Err(NotAnId),
    };
    let (slot, generation) = match text.split_once('.') {
        None => (number(text)?, 1),
        Some((slot, generation)) => (number(slot)?, number(generation)?),
    };
    if generation == 0 || generation > 1 << 31 || text.ends_with(".1") {
        return Err(NotAnId);
    }
    let version = u64::from(generation) * 2 - 1;
    Ok(KeyData::from_ffi(version << 32 | u64::from(slot)))
}

impl FromStr for TaskId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<TaskId, NotAnId> {
        read(text).map(TaskId::from)
    }
}

impl FromStr for SourceId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<SourceId, NotAnId> {
        read(text).map(SourceId::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

    #[test]
    fn what_is_shown_can_be_read() {
        let largest = u64::from(u32::MAX) << 32 | 7;
        for bits in [1 << 32, 1 << 32 | 7, 3 << 32 | 7, largest, TaskId::default().to_bits()] {
            let (task, source) = (TaskId::from_bits(bits), SourceId::from_bits(bits));
            assert_eq!(task.to_string().parse(), Ok(task));
            assert_eq!(source.to_string().parse(), Ok(source));
        }
        for wrong in ["", ".", "7.", ".2", "7.0", "7.1", "07", "+7", "7.2.2", "7.2147483649"] {
            assert_eq!(wrong.parse::<TaskId>(), Err(NotAnId), "{wrong}");
        }
        assert_eq!("4294967296".parse::<SourceId>(), Err(NotAnId));
    }

    #[test]
    fn a_reused_slot_has_another_name() {
        let mut sources: SlotMap<SourceId, ()> = SlotMap::with_key();
        let first = sources.insert(());
        sources.remove(first);
        let second = sources.insert(());
        assert_eq!((first.to_string(), second.to_string()), ("1".into(), "1.2".into()));
        assert_eq!(SourceId::from_bits(first.to_bits()), first);
        assert!(sources.get(SourceId::from_bits(first.to_bits())).is_none());
    }
}
