//! When a failed attempt is made again.

use std::time::Duration;

use super::HandlerError;
use crate::config::{OutOfAttempts, Retry};

/// The longest wait that a handler can ask for: a year.
const MAX_WAIT: Duration = Duration::from_secs(366 * 86_400);

/// What follows from a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another attempt after this time.
    Retry(Duration),
    /// It waits for an operator.
    Park,
    /// It is Complete, Failure.
    Fail,
}

/// What follows when attempt `attempt`, counted from 1, has failed. `chance`, from 0 to 1, is by how much of the handler's
/// jitter the wait is shorter.
pub(super) fn after_failure(
    retry: &Retry,
    out: OutOfAttempts,
    attempt: u32,
    error: &HandlerError,
    chance: f64,
) -> Verdict {
    let wait = match error {
        HandlerError::Fatal(_) => None,
        _ if attempt >= retry.attempts => None,
        HandlerError::Retry(_) => Some(backoff(retry, attempt).mul_f64((1.0 - retry.jitter * chance).clamp(0.0, 1.0))),
        HandlerError::RetryAfter(wait, _) => Some((*wait).min(MAX_WAIT)),
    };
    match (wait, out) {
        (Some(wait), _) => Verdict::Retry(wait),
        (None, OutOfAttempts::Park) => Verdict::Park,
        (None, OutOfAttempts::Fail) => Verdict::Fail,
    }
}

/// The wait after attempt `attempt`: `initial`, growing by `multiplier` each time, at most `max`.
fn backoff(retry: &Retry, attempt: u32) -> Duration {
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = retry.initial.as_secs_f64() * retry.multiplier.powi(exponent);
    // Too large, infinite or not a number: the longest.
    Duration::try_from_secs_f64(seconds).map_or(retry.max, |wait| wait.min(retry.max)).min(MAX_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(multiplier: f64) -> Retry {
        Retry { attempts: 5, initial: Duration::from_millis(200), multiplier, max: Duration::from_secs(1), jitter: 0.5 }
    }

    fn failed() -> HandlerError {
        HandlerError::Retry("no".into())
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_then_attempts_are_out() {
        let after = |attempt| after_failure(&retry(2.0), OutOfAttempts::Park, attempt, &failed(), 0.0);
        let millis = |millis| Verdict::Retry(Duration::from_millis(millis));
        assert_eq!([after(1), after(2), after(3), after(4)], [millis(200), millis(400), millis(800), millis(1_000)]);
        assert_eq!(after(5), Verdict::Park);
        assert_eq!(after_failure(&retry(2.0), OutOfAttempts::Fail, 5, &failed(), 0.0), Verdict::Fail);
        let fixed = after_failure(&retry(1.0), OutOfAttempts::Park, 4, &failed(), 0.0);
        assert_eq!(fixed, millis(200));
    }

    #[test]
    fn a_handler_may_ask_for_another_wait_or_for_none() {
        let fatal = HandlerError::Fatal("no".into());
        assert_eq!(after_failure(&retry(2.0), OutOfAttempts::Park, 1, &fatal, 0.0), Verdict::Park);
        let later = HandlerError::RetryAfter(Duration::from_secs(90), "busy".into());
        let after = |attempt| after_failure(&retry(2.0), OutOfAttempts::Fail, attempt, &later, 1.0);
        assert_eq!(after(1), Verdict::Retry(Duration::from_secs(90)));
        assert_eq!(after(5), Verdict::Fail);
    }

    /// A wait that the handler asks for is not shortened.
    #[test]
    fn what_failed_together_is_not_tried_again_together() {
        let after = |chance| after_failure(&retry(2.0), OutOfAttempts::Park, 2, &failed(), chance);
        let millis = |millis| Verdict::Retry(Duration::from_millis(millis));
        assert_eq!([after(0.0), after(0.5), after(1.0)], [millis(400), millis(300), millis(200)]);
    }

    #[test]
    fn no_numbers_lead_to_a_panic() {
        let wild =
            Retry { attempts: u32::MAX, initial: Duration::MAX, multiplier: 1e300, max: Duration::MAX, jitter: 1.0 };
        for attempt in [0, 1, 2, 1_000, u32::MAX - 1] {
            let verdict = after_failure(&wild, OutOfAttempts::Park, attempt, &failed(), 0.0);
            assert!(matches!(verdict, Verdict::Retry(wait) if wait <= MAX_WAIT), "{verdict:?}");
        }
    }
}
