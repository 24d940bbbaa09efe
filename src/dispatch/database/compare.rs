//! Holding one database against another: whether both tell of the same open events, lanes, timers, and messages with all that
//! happened to them.
//!
//! Alarms aren't compared: which events are set aside with one, and which wait in memory, is a matter of room. Nor is how far
//! schedules are: a file that was made anew knows those since the oldest that is open, and the log is asked for the others.

use redb::ReadableTable;

use super::rows::Row;
use super::{
    DEAD, DUE, Definition, DispatchDatabase, EVENTS, FREE, IN_STREAMS, LANES, MESSAGES, QUEUES, STREAMS, TIMERS,
    TIMERS_BY_ADDRESS, decode, encode, failed,
};
use crate::dispatch::DispatchError;

impl DispatchDatabase {
    /// The first table in which the two differ.
    pub(in crate::dispatch) fn differs(&mut self, other: &mut Self) -> Result<Option<&'static str>, DispatchError> {
        const TABLES: [(Definition, &str); 11] = [
            (EVENTS, "events"),
            (LANES, "lanes"),
            (MESSAGES, "messages"),
            (FREE, "free"),
            (DUE, "due"),
            (DEAD, "dead"),
            (IN_STREAMS, "in_streams"),
            (STREAMS, "streams"),
            (QUEUES, "queues"),
            (TIMERS, "timers"),
            (TIMERS_BY_ADDRESS, "timers_by_address"),
        ];
        self.write_rows()?;
        other.write_rows()?;
        for (definition, name) in TABLES {
            let (ours, theirs) = (self.table(definition)?, other.table(definition)?);
            let (mut ours, mut theirs) = (ours.iter().map_err(failed)?, theirs.iter().map_err(failed)?);
            loop {
                let rows = (ours.next().transpose().map_err(failed)?, theirs.next().transpose().map_err(failed)?);
                let same = match &rows {
                    (None, None) => break,
                    (Some((key, value)), Some((other_key, other_value))) => {
                        key.value() == other_key.value()
                            && (value.value() == other_value.value()
                                || (name == "events" && rested(value.value())? == rested(other_value.value())?))
                    }
                    _ => false,
                };
                if !same {
                    return Ok(Some(name));
                }
            }
        }
        Ok(None)
    }
}

/// The row with nothing running, as a restart takes it in.
fn rested(value: &[u8]) -> Result<Vec<u8>, DispatchError> {
    let mut row: Row = decode("events", value)?;
    row.rest();
    encode(&row)
}
