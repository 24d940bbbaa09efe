//! Bugs that a build with `--cfg planted_bugs` can be told to have, one at a time, to see that a test catches it. In any
//! other build [`planted`] is the constant `false`, and nothing of them is left.

macro_rules! bugs {
    ($($bug:ident: $what:literal,)*) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(planted_bugs), allow(unreachable_pub, reason = "public where bugs can be planted"))]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        /// All bugs, each with what is done wrong.
        #[cfg(planted_bugs)]
        pub const BUGS: &[(Bug, &str)] = &[$((Bug::$bug, $what),)*];
    };
}

bugs! {
    AcknowledgeBeforeSync: "an append is acknowledged as durable without a sync",
    LastRecordUnchecked: "the CRC of a frame's last record isn't checked",
    SegmentNameNotSynced: "the directory isn't synced when a segment is created",
    ChainUnchecked: "a frame needn't follow the frame before it: stale ones are adopted",
    VersionCheckedEarly: "expected versions are checked before the serial point",
    PublishBeforeSync: "readers see what isn't synced yet",
    PartialBatchKept: "a frame that could not be written isn't rewound, nor is the store poisoned",
    StreamByLength: "a stream in an index is accepted by the length of its name alone",
    FingerprintIgnored: "a keyframe is taken although its fingerprint differs",
    IdsForgotten: "ids are forgotten when the store is opened again",
    FailedSyncForgiven: "a failed sync doesn't poison the store",
    TailNotSettled: "what a recovery finds isn't written again",
    LockBeforeSync: "LOCK states the durable end before the sync",
    SyncedToAhead: "a frame states itself as synced",
    RotateWithoutSync: "a segment is begun while the one before isn't durable",
    ConflictNotDurable: "a conflict with a version that isn't durable is answered at once",
    RepeatNotDurable: "a Sync repeat of an id that isn't durable is answered at once",
    TimeRunsBack: "a frame is recorded at the clock's time, though that ran backwards",
    ClosedIndexTrusted: "an index of a clean close is taken for the whole of a segment that went on",
    SubscriptionSkips: "a subscription goes on from the newest position instead of its own",
    DamagedTailCut: "any bad frame at the end of the log is taken for a torn tail",
    RecordUnchecked: "a read doesn't check the record's CRC",
    IdsCheckedOnce: "ids that came in between look-up and commit aren't looked for",
    PackedNotSynced: "a packed segment takes the place of the plain one before it is synced",
    EnospcPoisons: "a full disk poisons the store",
}

/// Whether this build has the bug now.
#[cfg(not(planted_bugs))]
#[inline(always)]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(planted_bugs)]
static NOW: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(u32::MAX);

/// Whether this build has the bug now.
#[cfg(planted_bugs)]
pub(crate) fn planted(bug: Bug) -> bool {
    NOW.load(std::sync::atomic::Ordering::Relaxed) == bug as u32
}

/// Plants a bug in the whole process, or none.
#[cfg(planted_bugs)]
pub fn plant(bug: Option<Bug>) {
    NOW.store(bug.map_or(u32::MAX, |bug| bug as u32), std::sync::atomic::Ordering::Relaxed);
}
