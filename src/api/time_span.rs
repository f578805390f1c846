//! A length of time as people write it.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time as people write it: `7d`, `12h`, `1d12h`, `90s`. Kept as it was written; parsed by
/// [`TimeSpan::duration`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeSpan(pub String);

/// The text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no length of time; write numbers with units, such as 7d, 12h or 1d12h (units d, h, m, s)")]
pub struct InvalidTimeSpan {
    text: String,
}

impl TimeSpan {
    /// How long it is.
    ///
    /// # Errors
    ///
    /// [`InvalidTimeSpan`].
    pub fn duration(&self) -> Result<Duration, InvalidTimeSpan> {
        let wrong = || InvalidTimeSpan { text: self.0.clone() };
        let mut rest = self.0.as_str();
        let mut seconds: u64 = 0;
        for (unit, factor) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
            let Some((number, after)) = rest.split_once(unit) else { continue };
            if number.is_empty() || number.len() > 9 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(wrong());
            }
            let number: u64 = number.parse().map_err(|_| wrong())?;
            seconds = seconds.saturating_add(number.saturating_mul(factor));
            rest = after;
        }
        if rest.is_empty() && !self.0.is_empty() { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
    }
}

impl JsonSchema for TimeSpan {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 40})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Result<u64, InvalidTimeSpan> {
        TimeSpan(text.to_owned()).duration().map(|duration| duration.as_secs())
    }

    #[test]
    fn units_may_be_joined_from_large_to_small() {
        assert_eq!(span("7d"), Ok(7 * 86_400));
        assert_eq!(span("1d12h"), Ok(36 * 3_600));
        assert_eq!(span("90s"), Ok(90));
        assert_eq!(span("1m30s"), Ok(90));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "7", "d", "1h1d", "1.5h", "-1s", "7 d", "1y", "9999999999d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
