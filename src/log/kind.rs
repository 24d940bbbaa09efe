//! The kinds of records.

/// What a record is. The log itself reads the first five; the others belong to other rooms and are opaque to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum RecordKind {
    /// An event.
    Event = 1,
    /// A name that later records of the segment refer to by number.
    Symbol = 2,
    /// A stream's state at a version.
    Keyframe = 3,
    /// The end of a segment, or of the log at a clean close.
    Closing = 4,
    /// An event whose content was erased; its id, version and position remain. Reserved.
    Erased = 5,
    /// Of dispatch: what happened to a delivery.
    Delivery = 16,
    /// Of dispatch: a message in a queue, or what happened to it.
    Queue = 17,
    /// Of dispatch: a timer.
    Timer = 18,
    /// Of configuration: documents, revisions, activations, types.
    Configuration = 19,
}

impl RecordKind {
    /// The kind with this number, where it is known.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Event,
            2 => Self::Symbol,
            3 => Self::Keyframe,
            4 => Self::Closing,
            5 => Self::Erased,
            16 => Self::Delivery,
            17 => Self::Queue,
            18 => Self::Timer,
            19 => Self::Configuration,
            _ => return None,
        })
    }

    /// Whether records of this kind belong to another room.
    pub(crate) fn is_of_a_room(self) -> bool {
        self as u8 >= Self::Delivery as u8
    }
}
