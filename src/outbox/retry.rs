//! When a message that was not taken is tried again: a pure function.

use std::time::Duration;

use crate::error::DeliveryError;
use crate::value::{duration, entries};

/// The delays after the first, second, … failed attempt, unless `OPTERYX_WEBHOOK_RETRY` says
/// otherwise: seven attempts in seven and a third hours.
const DEFAULT_DELAYS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(6 * 60 * 60),
];

/// The longest delay that is taken: a week.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The shortest: receivers are to be tried again, not besieged.
const MIN_DELAY: Duration = Duration::from_millis(1);

/// How many delays there may be.
const MAX_DELAYS: usize = 100;

/// The longest that a receiver's `Retry-After` is obeyed: a day.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How far a delay may be off, to either side, so that what failed together does not come back
/// together.
const JITTER: f64 = 0.2;

/// The policy of retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    delays: Vec<Duration>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            delays: DEFAULT_DELAYS.to_vec(),
        }
    }
}

impl Retry {
    /// Parses delays such as `5s 1m 6h`, separated by spaces or commas. The error says what would be
    /// right.
    pub(crate) fn parse(delays: &str) -> Result<Retry, &'static str> {
        let delays: Option<Vec<_>> = entries(delays)
            .map(|delay| duration(delay).filter(|delay| (MIN_DELAY..=MAX_DELAY).contains(delay)))
            .collect();
        delays
            .filter(|delays| (1..=MAX_DELAYS).contains(&delays.len()))
            .map(|delays| Retry { delays })
            .ok_or(
                "must be 1 to 100 delays from 1ms to 7d, separated by spaces or commas, such as \
                 `5s 1m 5m 15m 1h 6h`",
            )
    }

    /// How many attempts a message gets in all.
    pub(crate) fn attempts(&self) -> usize {
        self.delays.len() + 1
    }

    /// The delays between them.
    pub(crate) fn delays(&self) -> &[Duration] {
        &self.delays
    }

    /// How long to wait after so many failed attempts, the last with this error; none where no
    /// further attempt is made. `draw` is a random number from 0 to 1.
    ///
    /// A `Retry-After` makes the wait longer, never less, and is obeyed for a day at most
    /// ([RFC 9110, 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#name-retry-after)); `410 Gone`
    /// ends it at once, as Standard Webhooks says.
    pub(super) fn after(
        &self,
        failures: usize,
        error: &DeliveryError,
        draw: f64,
    ) -> Option<Duration> {
        if !error.is_retryable() {
            return None;
        }
        let delay = self.delays.get(failures.checked_sub(1)?)?;
        let wait = delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * draw.clamp(0.0, 1.0));
        let asked = error.retry_after().unwrap_or_default();
        Some(wait.max(asked.min(MAX_RETRY_AFTER)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    fn answered(status: u16, retry_after: Option<Duration>) -> DeliveryError {
        Kind::Status {
            status,
            retry_after,
        }
        .into()
    }

    #[test]
    fn the_default_is_what_the_readme_says() {
        let parsed = Retry::parse("5s 1m 5m 15m 1h 6h");
        assert_eq!(parsed, Ok(Retry::default()));
    }

    #[test]
    fn delays_have_units_and_bounds() {
        let ms = Duration::from_millis;
        let parsed = Retry::parse(" 1ms,2s , 3m\t4h 7d ").unwrap();
        assert_eq!(
            parsed.delays(),
            [ms(1), ms(2_000), ms(180_000), ms(14_400_000), MAX_DELAY]
        );
        for wrong in [
            "",
            " , ",
            "5",
            "5 s",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "5S",
            "5sec",
            "0s",
            "0ms",
            "8d",
            "99999999999999999999s",
            "18446744073709551615d",
            "5s;1m",
            "５s",
        ] {
            assert!(Retry::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Retry::parse(&"1s ".repeat(100)).is_ok());
        assert!(Retry::parse(&"1s ".repeat(101)).is_err());
    }

    #[test]
    fn gone_ends_at_once_and_everything_else_is_tried_again() {
        let retry = Retry::default();
        assert_eq!(retry.after(1, &answered(410, None), 0.5), None);
        for status in [400, 401, 404, 408, 429, 500, 503] {
            let wait = retry.after(1, &answered(status, None), 0.5);
            assert_eq!(wait, Some(Duration::from_secs(5)), "{status}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_for_a_day_at_most() {
        let retry = Retry::default();
        let after = |asked| retry.after(1, &answered(503, Some(asked)), 0.5);
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        assert_eq!(
            after(second),
            Some(5 * second),
            "never sooner than the policy"
        );
        assert_eq!(after(90 * second), Some(90 * second));
        assert_eq!(after(30 * day), Some(day));
        // Longer than a day only where the policy itself says so.
        let patient = Retry::parse("7d").unwrap();
        assert_eq!(
            patient.after(1, &answered(503, Some(30 * day)), 0.5),
            Some(7 * day)
        );
    }

    fn delays() -> impl Strategy<Value = Vec<Duration>> {
        let delay = (1..=MAX_DELAY.as_millis() as u64).prop_map(Duration::from_millis);
        proptest::collection::vec(delay, 1..=MAX_DELAYS)
    }

    proptest! {
        #[test]
        fn every_wait_is_within_a_fifth_of_its_delay_or_what_was_asked_for(
            delays in delays(),
            failures in 0..200_usize,
            draw in 0.0..=1.0_f64,
            asked in proptest::option::of((0..u64::MAX).prop_map(Duration::from_millis)),
        ) {
            let retry = Retry { delays };
            match retry.after(failures, &answered(503, asked), draw) {
                None => prop_assert!(failures == 0 || failures >= retry.attempts()),
                Some(wait) => {
                    let delay = retry.delays()[failures - 1];
                    let asked = asked.unwrap_or_default().min(MAX_RETRY_AFTER);
                    prop_assert!(wait >= asked);
                    prop_assert!(wait >= delay.mul_f64(0.8));
                    prop_assert!(wait <= delay.mul_f64(1.2).max(asked));
                }
            }
        }

        #[test]
        fn what_is_written_is_what_is_parsed(delays in delays()) {
            let written: Vec<_> = delays.iter().map(|d| format!("{}ms", d.as_millis())).collect();
            let parsed = Retry::parse(&written.join(" "));
            prop_assert_eq!(parsed, Ok(Retry { delays }));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Retry::parse(&text);
        }
    }
}
