//! A number of bytes as Kubernetes writes it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number of bytes as Kubernetes writes it: `20Gi`, `512Mi`, `1.5G`, `1e9`. Kept as it was written; parsed by
/// [`Quantity::bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

/// The text is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// It is no quantity at all.
    #[error(
        "'{text}' is no quantity; write a number and a unit, such as 20Gi (units Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P, E)"
    )]
    NotANumber {
        /// What was written.
        text: String,
    },
    /// It has more bytes than can be counted.
    #[error("'{text}' is more bytes than there can be; the most is 8Ei")]
    TooLarge {
        /// What was written.
        text: String,
    },
}

impl Quantity {
    /// How many bytes these are; a fraction of a byte is rounded up.
    ///
    /// # Errors
    ///
    /// [`InvalidQuantity`].
    pub fn bytes(&self) -> Result<u64, InvalidQuantity> {
        parse(&self.0)
    }
}

fn parse(text: &str) -> Result<u64, InvalidQuantity> {
    let wrong = || InvalidQuantity::NotANumber { text: text.to_owned() };
    let too_large = || InvalidQuantity::TooLarge { text: text.to_owned() };
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits_end).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    let fraction = match fraction {
        Some(fraction) if fraction.is_empty() || fraction.len() > 9 => return Err(wrong()),
        Some(fraction) => fraction,
        None => "",
    };
    if whole.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let factor = factor(unit).ok_or_else(wrong)?.ok_or_else(too_large)?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    let whole: u128 = whole.parse().map_err(|_| too_large())?;
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| wrong())? };
    let scaled = whole.checked_mul(scale).and_then(|whole| whole.checked_add(fraction)).ok_or_else(too_large)?;
    let bytes = scaled.checked_mul(factor).ok_or_else(too_large)?.div_ceil(scale);
    match u64::try_from(bytes) {
        Ok(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err(too_large()),
    }
}

/// What a unit multiplies by: no value where it is no unit, an inner one of none where it is too large a power.
fn factor(unit: &str) -> Option<Option<u128>> {
    let binary = |power: u32| Some(Some(1_u128 << (10 * power)));
    let decimal = |power: u32| Some(Some(1000_u128.pow(power)));
    match unit {
        "" => Some(Some(1)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        _ => {
            let power = unit.strip_prefix(['e', 'E'])?;
            if power.is_empty() || power.len() > 2 || !power.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let power: u32 = power.parse().ok()?;
            Some(if power <= 20 { Some(10_u128.pow(power)) } else { None })
        }
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 32})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, InvalidQuantity> {
        Quantity(text.to_owned()).bytes()
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        assert_eq!(bytes("20Gi"), Ok(20 << 30));
        assert_eq!(bytes("1.5Gi"), Ok(3 << 29));
        assert_eq!(bytes("1G"), Ok(1_000_000_000));
        assert_eq!(bytes("1e9"), Ok(1_000_000_000));
        assert_eq!(bytes("1E"), Ok(1_000_000_000_000_000_000));
        assert_eq!(bytes("42"), Ok(42));
        assert_eq!(bytes("0.5"), Ok(1));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "Gi", "20GB", "-1Gi", "+1Gi", "1.Gi", ".5Gi", "1..5", "20 Gi", "1e", "1e999", "zwölf", "1.5.5"]
        {
            assert!(matches!(bytes(text), Err(InvalidQuantity::NotANumber { .. })), "{text}: {:?}", bytes(text));
        }
    }

    #[test]
    fn more_bytes_than_can_be_counted_are_refused() {
        for text in ["8Ei", "10E", "1e20", "1e40", &"9".repeat(60)] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
