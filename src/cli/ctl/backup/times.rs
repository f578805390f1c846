//! Moments, as they are typed and shown.

use k8s_openapi::jiff::Timestamp;

/// A moment, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub(in crate::ctl) u64);

/// Reads a moment as RFC 3339 writes it.
pub(in crate::ctl) fn parse(text: &str) -> Result<Moment, String> {
    let wrong = |reason: String| format!("{reason}; write it as 2026-11-28T14:03:20Z");
    let time: Timestamp = text.parse().map_err(|error| wrong(format!("it is no time of RFC 3339 ({error})")))?;
    u64::try_from(time.as_millisecond()).map(Moment).map_err(|_| wrong("it is before 1970".to_owned()))
}

/// A moment in milliseconds since 1970, as RFC 3339 writes it; nothing where there is none.
pub(in crate::ctl) fn shown(milliseconds: Option<u64>) -> String {
    let time = milliseconds.and_then(|it| Timestamp::from_millisecond(i64::try_from(it).ok()?).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_is_shown_can_be_typed() {
        assert_eq!(shown(Some(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(parse("2023-11-14T22:13:20.123Z"), Ok(Moment(1_700_000_000_123)));
        assert_eq!(parse("2023-11-14T23:13:20+01:00"), Ok(Moment(1_700_000_000_000)));
        assert_eq!(shown(None), "");
        for wrong in ["yesterday", "2023-11-14", "1969-11-14T22:13:20Z"] {
            assert!(parse(wrong).unwrap_err().ends_with("write it as 2026-11-28T14:03:20Z"));
        }
    }
}
