//! The state of a stream at a version or a time: the newest keyframe that fits, and the events after it. Whoever folds
//! leaves keyframes behind, so that the next replay is short.

use std::sync::Arc;

use super::core::Core;
use super::fold::Fold;
use super::format::{KeyframeBody, encode_keyframe};
use super::part::{Horizon, Part, StreamRef};
use super::read::{Direction, Events, StreamReader};
use super::recorded::EventRef;
use super::view::View;
use super::{KeyframePolicy, Loss, ReadError};
use crate::event::Scope;
use crate::planted::{Bug, planted};

/// At which point of its history a stream's state is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// Now: after its newest event.
    #[default]
    Now,
    /// After the event with this version (or its newest, if that is smaller).
    Version(u64),
    /// Before the first event recorded later than this, in microseconds since the Unix epoch.
    Recorded(i64),
    /// Before the first event whose time is later than this, in microseconds since the Unix epoch.
    Occurred(i64),
}

/// A stream's state, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<S> {
    /// The version of the last event in it; 0 of a stream without events.
    pub version: u64,
    /// The state.
    pub state: S,
    /// The version of the keyframe it was made from, if any.
    pub keyframe: Option<u64>,
    /// How many events after the keyframe were read.
    pub events_read: u64,
}

/// A fold on its way through a stream.
struct Progress<S> {
    version: u64,
    state: S,
    recorded_at: i64,
    latest_time: i64,
    /// Events and bytes since the last keyframe.
    events: u64,
    bytes: u64,
    /// Bytes of the last keyframe, or of a guess at one.
    keyframe_bytes: u64,
}

impl<S> Progress<S> {
    /// Whether `event` belongs to the state wanted.
    fn includes(&self, event: &EventRef<'_>, at: At) -> bool {
        match at {
            At::Now => true,
            At::Version(version) => event.version() <= version,
            At::Recorded(micros) => event.recorded_at() <= micros,
            At::Occurred(micros) => event.time().micros() <= micros,
        }
    }

    fn keyframe_is_due(&self, policy: KeyframePolicy, min_events: u64) -> bool {
        match policy {
            KeyframePolicy::Adaptive(weight) => {
                self.events >= min_events && self.bytes > self.keyframe_bytes.saturating_mul(u64::from(weight))
            }
            KeyframePolicy::Events(events) => self.events >= events.max(1),
            KeyframePolicy::Bytes(bytes) => self.bytes >= bytes.max(1),
            KeyframePolicy::Never => false,
        }
    }
}

/// Where a fold starts, and the parts that hold what comes after, newest first, where they were looked up.
type Start<S> = (Option<Progress<S>>, Option<Vec<(Part, StreamRef)>>);

impl Core {
    /// Folds a stream up to a point.
    pub(crate) fn fold<F: Fold>(
        self: &Arc<Self>,
        scope: &Scope,
        stream: &str,
        fold: &F,
        at: At,
        use_keyframes: bool,
    ) -> Result<State<F::State>, ReadError> {
        let view = self.current()?;
        let until = self.durable.position();
        let (start, parts) = match use_keyframes {
            true => self.newest_keyframe(&view, scope, stream, fold, at)?,
            false => (None, None),
        };
        let keyframe = start.as_ref().map(|progress| progress.version);
        let mut progress = start.unwrap_or_else(|| Progress {
            version: 0,
            state: fold.start(),
            recorded_at: 0,
            latest_time: i64::MIN,
            events: 0,
            bytes: 0,
            keyframe_bytes: 0,
        });
        let mut events_read = 0;
        let from = progress.version.saturating_add(1);
        let reader = match parts {
            Some(parts) => {
                let last = if let At::Version(version) = at { version } else { u64::MAX };
                StreamReader::in_parts(view.clone(), scope, stream, from..=last, until, parts)
            }
            None => StreamReader::new(view.clone(), scope, stream, from, Direction::Forward, until)?,
        };
        let mut events = Events::of_stream(reader);
        while let Some(event) = events.next_ref() {
            let event = event?;
            if !progress.includes(&event, at) {
                break;
            }
            if Some(event.version()) != progress.version.checked_add(1) {
                // Only of a log that was salvaged; no state can be told from what is left.
                let lost = view.losses.iter().rfind(|loss| loss.is_before(event.position()));
                let missing = || ReadError::Corrupt {
                    file: super::segment::segment_name(event.address().segment()),
                    offset: u64::from(event.address().offset()),
                    what: "events of the stream are missing before this one",
                };
                return Err(lost.map_or_else(missing, Loss::error));
            }
            fold.apply(&mut progress.state, &event);
            events_read += 1;
            progress.version = event.version();
            progress.recorded_at = event.recorded_at();
            progress.latest_time = progress.latest_time.max(event.time().micros());
            progress.events += 1;
            progress.bytes += event.record_len() as u64;
            if use_keyframes && progress.keyframe_is_due(self.options.keyframes, self.options.keyframe_min_events) {
                self.leave_keyframe(scope, stream, fold, &mut progress);
            }
        }
        Ok(State { version: progress.version, state: progress.state, keyframe, events_read })
    }

    /// The newest keyframe of this fold that the state wanted can start from, and the parts that hold the events after
    /// it, newest first.
    fn newest_keyframe<F: Fold>(
        &self,
        view: &View,
        scope: &Scope,
        stream: &str,
        fold: &F,
        at: At,
    ) -> Result<Start<F::State>, ReadError> {
        let name = crc32fast::hash(fold.name().as_bytes());
        let mut newest = match at {
            At::Version(version) => version,
            _ => u64::MAX,
        };
        let mut best: Option<Progress<F::State>> = None;
        let mut parts = Vec::new();
        for found in view.stream_parts_newest_first(scope, stream, Horizon::Durable) {
            let (part, found) = found?;
            // Keyframes are derived, so one that isn't durable yet serves as well; the events it stands for are durable.
            newest = newest.min(found.version());
            parts.push((part.clone(), found));
            let best_version = best.as_ref().map_or(0, |best| best.version);
            let mut to = newest;
            while let Some(entry) = part.newest_keyframe(&found, name, (best_version, to))? {
                to = entry.version - 1;
                let body = match part.keyframe(&entry, &found) {
                    Ok(body) => body,
                    // After a failed sync nobody knows what stands there; it was only a help.
                    Err(_) if entry.offset >= part.end(Horizon::Durable) => continue,
                    Err(error) => return Err(error),
                };
                let Ok(keyframe) = KeyframeBody::decode(&body) else { continue };
                let fits = keyframe.fold == fold.name()
                    && (keyframe.fingerprint == fold.fingerprint() || planted(Bug::FingerprintIgnored))
                    && match at {
                        At::Now | At::Version(_) => true,
                        At::Recorded(micros) => keyframe.recorded_at <= micros,
                        At::Occurred(micros) => keyframe.latest_time <= micros,
                    };
                let Some(state) = fits.then(|| fold.decode(keyframe.state)).flatten() else { continue };
                best = Some(Progress {
                    version: entry.version,
                    state,
                    recorded_at: keyframe.recorded_at,
                    latest_time: keyframe.latest_time,
                    events: 0,
                    bytes: 0,
                    keyframe_bytes: body.len() as u64,
                });
                break;
            }
            // Older parts hold only keyframes of versions that they or still older parts hold.
            if best.as_ref().is_some_and(|best| best.version >= found.base_version) {
                break;
            }
        }
        Ok((best, Some(parts)))
    }

    /// Leaves a keyframe of the state so far in the log, where the store may write. It is only a help: that it can't be
    /// written is no error of the read.
    fn leave_keyframe<F: Fold>(
        self: &Arc<Self>,
        scope: &Scope,
        stream: &str,
        fold: &F,
        progress: &mut Progress<F::State>,
    ) {
        let state = fold.encode(&progress.state);
        progress.keyframe_bytes = (state.len() as u64).max(1);
        let due = match self.options.keyframes {
            KeyframePolicy::Adaptive(_) => {
                progress.keyframe_is_due(self.options.keyframes, self.options.keyframe_min_events)
            }
            _ => true,
        };
        // A longer name could not be written as it is.
        if !due || self.is_read_only() || fold.name().len() > 255 {
            return;
        }
        let body = encode_keyframe(&KeyframeBody {
            fingerprint: fold.fingerprint(),
            recorded_at: progress.recorded_at,
            latest_time: progress.latest_time,
            fold: fold.name(),
            state: &state,
        });
        if let Err(error) = self.append_keyframe(scope, stream, progress.version, body) {
            tracing::debug!(%error, stream, "a keyframe could not be written");
        }
        (progress.events, progress.bytes) = (0, 0);
    }
}
