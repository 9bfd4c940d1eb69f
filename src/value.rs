//! The forms that the value of a variable takes.

#[cfg(feature = "outbox")]
use std::time::Duration;

/// The entries of a list, which spaces or commas separate.
pub(crate) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
}

/// A number of digits, with a decimal point or without.
pub(crate) fn decimal(number: &str) -> Option<f64> {
    // `f64` would take `inf`, `nan` and `1e9` as well.
    let is_decimal = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    number.parse().ok().filter(|_| is_decimal)
}

/// A number and its unit: `ms`, `s`, `m`, `h` or `d`.
#[cfg(feature = "outbox")]
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        "d" => 24 * 60 * 60 * 1_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(milliseconds).map(Duration::from_millis)
}
