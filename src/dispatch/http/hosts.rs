//! How many calls a host gets at once, and a breaker that holds calls back from a host that fails again and again.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::HttpTarget;
use crate::dispatch::{HandlerError, HttpBreaker};
use crate::storage::Clock;

/// The hosts that were called.
#[derive(Debug)]
pub(super) struct Hosts {
    limit: usize,
    breaker: HttpBreaker,
    by_name: Mutex<HashMap<String, Arc<Host>>>,
}

#[derive(Debug)]
struct Host {
    room: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
}

/// Leave to call a host. Its room is another's once this is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    host: Arc<Host>,
    is_probe: bool,
    _room: OwnedSemaphorePermit,
}

/// The breaker holds calls back.
#[derive(Debug)]
pub(super) struct Refused {
    /// How long the cool-down still is; a whole one while a call finds out whether the host is back.
    rest: Duration,
}

impl Refused {
    /// As the failure of an attempt. The next one is made when the cool-down is over, or the attempts would be used up
    /// within it.
    pub(super) fn into_error(self, target: &HttpTarget) -> HandlerError {
        let what = format!(
            "POST {}: not sent: calls to {} failed again and again (http_breaker)",
            target.url_without_query(),
            target.host()
        );
        HandlerError::RetryAfter(self.rest, what)
    }
}

impl Hosts {
    pub(super) fn new(limit: usize, breaker: HttpBreaker) -> Self {
        Self { limit: limit.min(Semaphore::MAX_PERMITS), breaker, by_name: Mutex::default() }
    }

    /// Waits until the host has room for a call, in the order of asking. While its breaker is open it is asked in vain.
    pub(super) async fn turn(&self, host: &str, clock: &dyn Clock) -> Result<Admission, Refused> {
        let host = self.host(host);
        // Not behind calls that hang.
        host.breaker.lock().refuses(clock.now_micros()).map_or(Ok(()), Err)?;
        // The semaphore is never closed.
        let Ok(room) = host.room.clone().acquire_owned().await else { return Err(Refused { rest: Duration::ZERO }) };
        let is_probe = host.breaker.lock().admit(clock.now_micros())?;
        Ok(Admission { host, is_probe, _room: room })
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.by_name.lock();
        if let Some(host) = hosts.get(name) {
            return host.clone();
        }
        // There are as many as trees name; those that nothing is to be known of go.
        hosts.retain(|_, host| Arc::strong_count(host) > 1 || !host.breaker.lock().is_idle());
        let (room, breaker) = (Arc::new(Semaphore::new(self.limit)), Mutex::new(Breaker::new(self.breaker)));
        let host = Arc::new(Host { room, breaker });
        hosts.insert(name.to_owned(), host.clone());
        host
    }
}

impl Admission {
    /// A call has ended; `failed` says that another attempt may help.
    pub(super) fn ended(&self, failed: bool, clock: &dyn Clock) {
        let mut breaker = self.host.breaker.lock();
        if failed { breaker.failed(self.is_probe, clock.now_micros()) } else { breaker.succeeded() }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.is_probe {
            self.host.breaker.lock().probe_is_over();
        }
    }
}

/// See [`HttpBreaker`].
#[derive(Debug)]
struct Breaker {
    options: HttpBreaker,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    Open {
        until: i64,
    },
    /// One call is under way that tells whether the host is back.
    Probing,
}

impl Breaker {
    fn new(options: HttpBreaker) -> Self {
        Self { options, state: State::Closed { failures: 0 } }
    }

    /// Whether nothing is known that a new one wouldn't know.
    fn is_idle(&self) -> bool {
        self.state == State::Closed { failures: 0 }
    }

    /// Why no call may be made now.
    fn refuses(&self, now: i64) -> Option<Refused> {
        match self.state {
            State::Open { until } if now < until => {
                let rest = u64::try_from(until.saturating_sub(now)).unwrap_or_default();
                Some(Refused { rest: Duration::from_micros(rest) })
            }
            // Its attempts would be used up while the probe hangs.
            State::Probing => Some(Refused { rest: self.options.cool_down }),
            State::Open { .. } | State::Closed { .. } => None,
        }
    }

    /// Lets a call through; says whether it is the one after a cool-down.
    fn admit(&mut self, now: i64) -> Result<bool, Refused> {
        if let Some(refused) = self.refuses(now) {
            return Err(refused);
        }
        let is_probe = matches!(self.state, State::Open { .. });
        if is_probe {
            self.state = State::Probing;
        }
        Ok(is_probe)
    }

    fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    fn failed(&mut self, is_probe: bool, now: i64) {
        let opens = match &mut self.state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                self.options.failures > 0 && *failures >= self.options.failures
            }
            // What was under way when it opened says nothing new.
            State::Open { .. } | State::Probing => is_probe,
        };
        if opens {
            let cool_down = i64::try_from(self.options.cool_down.as_micros()).unwrap_or(i64::MAX);
            self.state = State::Open { until: now.saturating_add(cool_down) };
        }
    }

    /// The call after a cool-down is over. Where it never told how it ended, the next one finds out.
    fn probe_is_over(&mut self) {
        if self.state == State::Probing {
            self.state = State::Open { until: i64::MIN };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn breaker() -> Breaker {
        Breaker::new(HttpBreaker { failures: 3, cool_down: Duration::from_secs(30) })
    }

    /// After `failures` failures in a row at time 0.
    fn after(failures: u32) -> Breaker {
        let mut breaker = breaker();
        for _ in 0..failures {
            assert!(!breaker.admit(0).unwrap());
            breaker.failed(false, 0);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_call_finds_out_whether_to_close_it() {
        let mut breaker = after(3);
        assert_eq!(breaker.refuses(0).unwrap().rest, Duration::from_secs(30));
        assert_eq!(breaker.admit(29 * SECOND).unwrap_err().rest, Duration::from_secs(1));
        assert!(breaker.admit(30 * SECOND).unwrap(), "the probe");
        let held_back = breaker.admit(30 * SECOND).unwrap_err().rest;
        assert_eq!(held_back, Duration::from_secs(30), "one alone");
        breaker.failed(true, 31 * SECOND);
        assert!(breaker.admit(60 * SECOND).is_err(), "30 s from the failure of the probe");
        assert!(breaker.admit(61 * SECOND).unwrap());
        breaker.succeeded();
        assert!(breaker.is_idle() && !breaker.admit(61 * SECOND).unwrap());
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let mut breaker = after(2);
        breaker.succeeded();
        for _ in 0..2 {
            breaker.failed(false, 0);
        }
        assert!(breaker.admit(0).is_ok());
    }

    #[test]
    fn what_was_under_way_when_it_opened_neither_lengthens_the_cool_down_nor_ends_the_probe() {
        let mut breaker = after(3);
        breaker.failed(false, 20 * SECOND);
        assert!(breaker.admit(30 * SECOND).unwrap());
        breaker.failed(false, 30 * SECOND);
        assert_eq!(breaker.state, State::Probing);
    }

    #[test]
    fn a_probe_that_never_told_how_it_ended_is_made_again() {
        let mut breaker = after(3);
        assert!(breaker.admit(30 * SECOND).unwrap());
        breaker.probe_is_over();
        assert!(breaker.admit(30 * SECOND).unwrap());
    }

    #[test]
    fn none_never_opens() {
        let mut breaker = Breaker::new(HttpBreaker { failures: 0, ..HttpBreaker::default() });
        for _ in 0..100 {
            breaker.failed(false, 0);
        }
        assert!(breaker.admit(0).is_ok());
    }
}
