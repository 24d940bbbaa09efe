//! The state of one stream, folded from its newest keyframe and folded from its first event.

use std::time::Duration;

use atlas::Scope;
use atlas::log::{At, EventStore};
use tokio::time::Instant;

use crate::Failure;

/// How often each way is timed; the median counts.
const REPETITIONS: usize = 5;

/// A stream replayed both ways.
pub(crate) struct Replay {
    /// Which stream.
    pub(crate) stream: String,
    /// The version that both ways end at.
    pub(crate) version: u64,
    /// From the newest keyframe.
    pub(crate) from_keyframe: Way,
    /// From the first event.
    pub(crate) from_first: Way,
}

/// One way of replaying.
pub(crate) struct Way {
    /// The version of the keyframe it began with.
    pub(crate) keyframe: Option<u64>,
    /// The events folded after that.
    pub(crate) events_read: u64,
    /// How long it took.
    pub(crate) time: Duration,
}

/// Replays `stream` both ways; two different states are an error.
pub(crate) fn both_ways(store: &EventStore, scope: &Scope, stream: &str) -> Result<Replay, Failure> {
    let once = |use_keyframes| -> Result<_, Failure> {
        let began = Instant::now();
        let state = store.state(scope, stream, At::Now, use_keyframes)?;
        Ok((began.elapsed(), state))
    };
    let timed = |use_keyframes| -> Result<_, Failure> {
        let (_, state) = once(use_keyframes)?;
        let mut times = Vec::new();
        for _ in 0..REPETITIONS {
            times.push(once(use_keyframes)?.0);
        }
        times.sort_unstable();
        let time = times.get(REPETITIONS / 2).copied().unwrap_or_default();
        Ok((Way { keyframe: state.keyframe, events_read: state.events_read, time }, state))
    };
    let (from_keyframe, state) = timed(true)?;
    let (from_first, same) = timed(false)?;
    if (state.version, &state.state) != (same.version, &same.state) {
        return Err(format!("the state of {stream} differs with and without keyframes").into());
    }
    Ok(Replay { stream: stream.to_owned(), version: state.version, from_keyframe, from_first })
}
