//! The limits of dispatch, each with its default.

use std::time::Duration;

/// The limits of dispatch. What exceeds one waits its turn, unless said otherwise.
#[derive(Clone)]
pub struct Options {
    /// Functions that run at once, over all handlers. At least 1. Default 256.
    pub max_in_flight: usize,
    /// Attempts at http targets that go on at once, over all handlers, those that wait for their turn at a host included. At
    /// least 1. Default 256.
    pub max_http_in_flight: usize,
    /// As `max_in_flight` and `max_http_in_flight`, for one handler of one scope. Default 64.
    pub max_in_flight_per_handler: usize,
    /// As `max_in_flight` and `max_http_in_flight`, for one scope. Default 128: no tenant holds all of either.
    pub max_in_flight_per_scope: usize,
    /// Messages that one append puts into queues, over all handlers. Default 512.
    pub max_message_batch: usize,
    /// Events with deliveries that are not complete which are kept in memory, about 500 bytes each; the others stand in
    /// `dispatch.redb`, of which as many rows again are held in memory until they are written. Default 32,768.
    pub max_open_events: usize,
    /// As `max_open_events`, for one scope. Default 4,096.
    pub max_open_events_per_scope: usize,
    /// How many events may stand between the first event of a cascade and one that a handler emits; beyond, emitting
    /// is a fatal failure. Default 32.
    pub max_cascade_depth: u32,
    /// Events that one call may emit; more is a fatal failure. Default 1,000.
    pub max_emitted: usize,
    /// The JSON that one call may give as output, in bytes; more is a fatal failure. Default 64 KiB.
    pub max_output: usize,
    /// How much of an error's text is kept, in bytes. Default 4 KiB.
    pub max_error: usize,
    /// How many entries of the log are followed between two commits of `dispatch.redb`: what a restart after a crash
    /// reads again. Default 65,536.
    pub checkpoint_every: u64,
    /// The cache of `dispatch.redb`, in bytes. Default 8 MiB.
    pub cache_bytes: usize,
    /// Calls of http targets at once to one host (scheme, host and port, as the URL states them), over all scopes. Others wait their turn, which
    /// is no part of an attempt's time. At least 1. Default 16.
    pub max_http_per_host: usize,
    /// When calls to a host that fails again and again are held back.
    pub http_breaker: HttpBreaker,
    /// Certificates of the authorities by which https endpoints are trusted, as PEM. Default `None`: those of Mozilla. As the
    /// proxy, without a meaning where the feature `http-client` is missing.
    pub http_authorities: Option<Vec<u8>>,
    /// The proxy through which http targets are called, such as `http://proxy.example:3128`. Default `None`: they are
    /// called directly; the environment of the process is never asked.
    pub http_proxy: Option<String>,
    /// What attempts made here are on record as, cut to `max_error` bytes: the name of the machine or of the host's
    /// instance. Default `process <id>`.
    pub worker: String,
    /// How long a close waits for the handlers that run; then they are abandoned, and tried again after the next open.
    /// Default 10 s.
    pub close_within: Duration,
}

/// How much of the answer of an http endpoint is read, in bytes: 1 MiB. A longer one is a fatal failure where the answer
/// counts (`"answer": "output"` or `"events"`), and is cut where it doesn't.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// When calls of http targets to a host that fails again and again are held back: the breaker is *open* then, and each
/// call fails at once, to be tried again when the cool-down is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpBreaker {
    /// Calls in a row that failed so that another attempt may help, after which it opens. 0: never. Default 5.
    pub failures: u32,
    /// How long it is open, by the store's clock. Then one call goes through: a success closes it, a failure opens it
    /// again. Default 30 s.
    pub cool_down: Duration,
}

impl Default for HttpBreaker {
    fn default() -> Self {
        Self { failures: 5, cool_down: Duration::from_secs(30) }
    }
}

impl std::fmt::Debug for Options {
    /// Without certificates and the proxy, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("max_in_flight", &self.max_in_flight)
            .field("max_http_in_flight", &self.max_http_in_flight)
            .field("max_open_events", &self.max_open_events)
            .field("checkpoint_every", &self.checkpoint_every)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_in_flight: 256,
            max_http_in_flight: 256,
            max_in_flight_per_handler: 64,
            max_in_flight_per_scope: 128,
            max_message_batch: 512,
            max_open_events: 32_768,
            max_open_events_per_scope: 4_096,
            max_cascade_depth: 32,
            max_emitted: 1_000,
            max_output: 64 << 10,
            max_error: 4 << 10,
            checkpoint_every: 65_536,
            cache_bytes: 8 << 20,
            max_http_per_host: 16,
            http_breaker: HttpBreaker::default(),
            http_authorities: None,
            http_proxy: None,
            worker: format!("process {}", std::process::id()),
            close_within: Duration::from_secs(10),
        }
    }
}
