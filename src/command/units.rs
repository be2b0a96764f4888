//! Durations and sizes as people type them: always with a unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// A duration as typed: `25s`, `1h 30m`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A duration above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PositiveSpan(pub(crate) Duration);

/// A number of bytes as typed: `64KiB`, `1MB`, `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        if is_bare_number(text) {
            return Err(format!("a duration has a unit, for example {text}s or {text}ms"));
        }
        let explain = |error| format!("{error} (a duration looks like 25s, 500ms or 1h 30m)");
        humantime::parse_duration(text).map(Span).map_err(explain)
    }
}

impl FromStr for PositiveSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<PositiveSpan, String> {
        match text.parse()? {
            Span(Duration::ZERO) => Err("it must be longer than nothing, for example 1s".into()),
            Span(duration) => Ok(PositiveSpan(duration)),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        if is_bare_number(text) {
            return Err(format!("a size has a unit, for example {text}B or {text}KiB"));
        }
        let explain = |_| "a size looks like 512B, 16KiB or 1MB".to_string();
        ByteSize::from_str(text).map(|size| Size(size.as_u64())).map_err(explain)
    }
}

fn is_bare_number(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for PositiveSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Span(self.0).fmt(f)
    }
}

/// In the largest unit that needs no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let fits = |&&(bytes, _): &&(u64, _)| self.0 >= bytes && self.0.is_multiple_of(bytes);
        let (bytes, name) = units.iter().find(fits).copied().unwrap_or((1, "B"));
        write!(f, "{}{name}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        let span = |text: &str| text.parse::<Span>().map(|span| span.0);
        assert_eq!(span("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(span("0s"), Ok(Duration::ZERO));
        for bare in ["25", "0", "1.5"] {
            let error = span(bare).unwrap_err();
            assert!(error.contains(&format!("for example {bare}s")), "{error}");
        }
        for wrong in ["", "s", "-1s", "25 seconds and a bit", "1x"] {
            assert!(span(wrong).unwrap_err().contains("looks like 25s"), "{wrong}");
        }
    }

    #[test]
    fn some_durations_cannot_be_zero() {
        assert_eq!("1ms".parse(), Ok(PositiveSpan(Duration::from_millis(1))));
        assert!("0s".parse::<PositiveSpan>().unwrap_err().contains("longer than nothing"));
        assert!("25".parse::<PositiveSpan>().unwrap_err().contains("25s"));
    }

    #[test]
    fn sizes_carry_their_unit() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(size("16KiB"), Ok(16 * 1024));
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("512B"), Ok(512));
        assert!(size("16384").unwrap_err().contains("for example 16384B"));
        for wrong in ["", "KiB", "-1KiB", "16 bananas"] {
            assert!(size(wrong).unwrap_err().contains("looks like 512B"), "{wrong}");
        }
    }

    #[test]
    fn what_is_displayed_can_be_typed() {
        for text in ["25s", "1h 30m", "500ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["0B", "1KiB", "1025B", "3MiB", "2GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
