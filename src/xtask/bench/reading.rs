//! What is read off a measurement: one number, what it is, and which way is better.

use serde::Serialize;

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    /// The higher one.
    More,
    /// The lower one.
    Less,
    /// Neither: it is told so that the others can be judged.
    Neither,
}

/// One number.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Reading {
    /// What it is, in words.
    pub(super) what: String,
    /// Its unit.
    pub(super) unit: &'static str,
    /// Which way is better.
    pub(super) better: Better,
    /// The number itself.
    pub(super) value: f64,
}

impl Reading {
    /// The more the better.
    pub(super) fn more(what: &str, unit: &'static str, value: f64) -> Self {
        Self { what: what.to_owned(), unit, better: Better::More, value }
    }

    /// The less the better.
    pub(super) fn less(what: &str, unit: &'static str, value: f64) -> Self {
        Self { what: what.to_owned(), unit, better: Better::Less, value }
    }

    /// Neither.
    pub(super) fn told(what: &str, unit: &'static str, value: f64) -> Self {
        Self { what: what.to_owned(), unit, better: Better::Neither, value }
    }
}

/// The middle one of some values, or the mean of the middle two; nothing of none.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// How many times as good ours is as theirs, where one is better at all; more than 1 is better.
pub(super) fn times_as_good(better: Better, ours: f64, theirs: f64) -> Option<f64> {
    let ratio = match better {
        Better::More => ours / theirs,
        Better::Less => theirs / ours,
        Better::Neither => return None,
    };
    ratio.is_finite().then_some(ratio)
}

/// A number as people read it: three digits that say something, and commas between thousands.
pub(super) fn shown(value: f64) -> String {
    if value.abs() < 9.995 {
        return format!("{value:.2}");
    }
    if value.abs() < 99.95 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut shown = String::from(if value < 0.0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between_the_middle_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 8.0]), Some(3.0));
    }

    #[test]
    fn more_than_one_is_always_better() {
        assert_eq!(times_as_good(Better::More, 300.0, 100.0), Some(3.0));
        assert_eq!(times_as_good(Better::Less, 1.0, 3.0), Some(3.0));
        assert_eq!(times_as_good(Better::Neither, 1.0, 3.0), None);
        assert_eq!(times_as_good(Better::More, 1.0, 0.0), None);
    }

    #[test]
    fn numbers_have_three_digits_that_say_something() {
        let told = [0.0, 1.234, 12.34, 99.96, 123.4, 1234.5, 1_234_567.0].map(shown);
        assert_eq!(told, ["0.00", "1.23", "12.3", "100", "123", "1,234", "1,234,567"]);
    }
}
