//! Which failures another attempt can mend, and when it is made.

use std::time::Duration;

use tonic::Code;

/// The pause before the second attempt; it doubles from one to the next.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait after this many attempts have failed, one at least. `draw`, from 0 to 1, spreads
/// the callers that failed together over the second half of the pause.
pub(super) fn pause(failed: u32, draw: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (failed.max(1) - 1).min(16));
    doubled
        .min(MAX_PAUSE)
        .mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

/// Whether the same request may well be accepted a moment later.
///
/// A server that goes away shows as `Unknown` and `Internal` as often as `Unavailable`. Asking again
/// is safe whatever became of the first request: the task has a name.
pub(super) fn can_mend(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
    )
}

/// Whether nothing that an operator does could make the service accept the same request.
pub(super) fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented
    )
}

/// As Google's documents write it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_reach_it_twice_over() {
        let ms = Duration::from_millis;
        assert_eq!(pause(1, 0.0), ms(10));
        assert_eq!(pause(1, 1.0), ms(20));
        assert_eq!(pause(3, 1.0), ms(80));
        for failed in [7, 40, u32::MAX] {
            assert_eq!(pause(failed, 1.0), MAX_PAUSE);
            assert_eq!(pause(failed, 0.0), MAX_PAUSE / 2);
        }
        assert_eq!(pause(0, f64::NAN.max(2.0)), ms(20));
    }
}
