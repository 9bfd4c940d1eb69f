//! How many attempts a second, as slots in time: a pure function.

use crate::value::decimal;

/// What may be made up for at once, in microseconds, when a slot was missed because the worker came
/// late.
const SLACK: i64 = 10_000;

/// The highest rate that is taken, per second; more is no limit.
const MAX_RATE: f64 = 100_000.0;

/// The lowest: one attempt a day.
const MIN_RATE: f64 = 1.0 / (24.0 * 60.0 * 60.0);

/// A limit on attempts, over all processes that share an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// From one attempt to the next, in microseconds.
    interval: i64,
}

impl Rate {
    /// Parses attempts per second. The error says what would be right.
    pub(crate) fn parse(rate: &str) -> Result<Rate, &'static str> {
        decimal(rate)
            .filter(|rate| (MIN_RATE..=MAX_RATE).contains(rate))
            .map(|rate| Rate {
                interval: (1e6 / rate).round() as i64,
            })
            .ok_or(
                "must be a number of deliveries per second, from 0.00002 to 100000, such as `20` \
                 or `0.5`",
            )
    }

    /// Deliveries per second.
    pub(crate) fn per_second(self) -> f64 {
        1e6 / self.interval as f64
    }

    /// Takes up to `wanted` slots that have come by `now`, where `next` is the first that is free:
    /// how many, and which is then the first free one. All in Unix microseconds.
    pub(super) fn take(self, next: i64, now: i64, wanted: usize) -> (usize, i64) {
        // Never further ahead than one interval, unless the clock was set back.
        let next = if next > now.saturating_add(self.interval) {
            now
        } else {
            next.max(now - SLACK)
        };
        if next > now {
            return (0, next);
        }
        let come = (now - next) / self.interval + 1;
        let taken = wanted.min(usize::try_from(come).unwrap_or(usize::MAX));
        let used = i64::try_from(taken).unwrap_or(i64::MAX);
        (
            taken,
            next.saturating_add(used.saturating_mul(self.interval)),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_positive_number() {
        assert_eq!(Rate::parse("20"), Ok(Rate { interval: 50_000 }));
        assert_eq!(
            Rate::parse("0.5"),
            Ok(Rate {
                interval: 2_000_000
            })
        );
        assert_eq!(Rate::parse("100000"), Ok(Rate { interval: 10 }));
        for wrong in [
            "", "0", "-1", "+1", "1e3", "inf", "nan", "20/s", "100001", "0.000001", ".",
        ] {
            assert!(Rate::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_outbox() {
        let rate = Rate::parse("1").unwrap();
        let (taken, next) = rate.take(i64::MAX, 5_000_000, 3);
        assert_eq!((taken, next), (1, 6_000_000));
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_rate_and_what_was_late(
            rate in 1..5_000_i64,
            steps in proptest::collection::vec((0..300_000_i64, 0..20_usize), 1..200),
        ) {
            let limit = Rate { interval: 1_000_000 / rate };
            let (mut now, mut next) = (1_700_000_000_000_000, 0);
            let mut taken_at = Vec::new();
            for (step, wanted) in steps {
                now += step;
                let (taken, after) = limit.take(next, now, wanted);
                prop_assert!(taken <= wanted);
                next = after;
                taken_at.extend(std::iter::repeat_n(now, taken));
            }
            let allowed = (1_000_000 + SLACK) / limit.interval + 1;
            for (position, start) in taken_at.iter().enumerate() {
                let within = taken_at[position..].iter().take_while(|at| *at - start < 1_000_000);
                prop_assert!(within.count() as i64 <= allowed);
            }
        }

        #[test]
        fn a_worker_that_always_wants_more_gets_the_rate(rate in 1..1_000_i64) {
            let limit = Rate { interval: 1_000_000 / rate };
            let (mut now, mut next, mut total) = (0, 0, 0);
            while now < 10_000_000 {
                let (taken, after) = limit.take(next, now, 4);
                total += taken as i64;
                next = after;
                now = next.max(now + 1);
            }
            prop_assert!((total - 10 * rate).abs() <= rate / 50 + 2, "{}", total);
        }
    }
}
