//! Names of things on a loop. An id carries a generation: when its slot is used again, the old id
//! finds nobody (a stale event can never reach the slot's new owner).

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

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
