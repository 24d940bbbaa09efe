//! Page after page of whole stores.

use atlas::log::{OpenError, ReadError};

use crate::harm::Harm;
use crate::layout::frames;
use crate::world::{Sample, open, verify};

const PAGE: usize = 4096;

/// What a sweep came to; the pages of databases are counted where they are damaged.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) tried: usize,
    /// Pages of segments, each of which verify reported with file and offset.
    pub(crate) verified: usize,
    /// Of these, how many made open refuse, and how many a read; a page that neither needs hides nothing.
    pub(crate) refused: usize,
    pub(crate) read_errors: usize,
    /// Events that salvage says are lost, over all pages.
    pub(crate) events_lost: usize,
    /// Pages of derived files that nobody noticed but verify.
    pub(crate) healed: usize,
    pub(crate) derived_verified: usize,
}

impl Figures {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            tried: self.tried + other.tried,
            verified: self.verified + other.verified,
            refused: self.refused + other.refused,
            read_errors: self.read_errors + other.read_errors,
            events_lost: self.events_lost + other.events_lost,
            healed: self.healed + other.healed,
            derived_verified: self.derived_verified + other.derived_verified,
        }
    }
}

/// Damages every `step`th page of each file in turn.
fn sweep(sample: &Sample, step: usize) -> Figures {
    let log = sample.files.iter().filter(|(name, _)| !name.ends_with(".redb"));
    let pages = log.flat_map(|(name, bytes)| (0..bytes.len().div_ceil(PAGE)).map(move |page| (name, page)));
    let mut figures = Figures::default();
    for (number, (name, page)) in pages.enumerate().filter(|(number, _)| number % step == 0) {
        let bytes = &sample.files[name];
        let offset = page * PAGE;
        let length = PAGE.min(bytes.len() - offset);
        let harm = if (number / step).is_multiple_of(2) { Harm::Flip } else { Harm::Zero };
        let files = sample.with(name, harm.done_to(bytes, offset, length));
        let about = format!("{name}, page {page}, {harm:?}");
        figures.tried += 1;
        let report = verify(&files);
        if !name.ends_with(".seg") {
            figures.derived_verified += usize::from(report.problems.iter().any(|problem| problem.file == *name));
            sample.assert_whole(&open(&files).unwrap(), &about);
            figures.healed += 1;
            continue;
        }
        let frame = frames(bytes).iter().map(|frame| frame.offset).rfind(|at| *at <= offset).unwrap_or(0);
        let is_it = |file: &str, at: u64| file == name && (frame..offset + length).contains(&(at as usize));
        assert!(report.problems.iter().any(|p| is_it(&p.file, p.offset)), "{about}: {:?}", report.problems);
        figures.verified += 1;
        match open(&files) {
            Err(OpenError::Read(source) | OpenError::Corrupt { source, .. }) => match source {
                ReadError::Corrupt { file, offset, .. } if is_it(&file, offset) => figures.refused += 1,
                other => panic!("{about}: {other}"),
            },
            Err(other) => panic!("{about}: {other}"),
            Ok(store) => match sample.read_until_damage(&store, &about) {
                (_, Some(ReadError::Corrupt { file, offset, .. })) if is_it(&file, offset) => figures.read_errors += 1,
                (read, None) => assert_eq!(read, sample.events.len() as u64, "{about}"),
                (_, Some(other)) => panic!("{about}: {other}"),
            },
        }
        figures.events_lost += sample.assert_salvaged(&files, &about).len();
    }
    figures
}

#[test]
fn a_store_of_4_mib_page_by_page() {
    let sample = Sample::new(4, if crate::all() { 4200 } else { 300 });
    let log = sample.files.iter().filter(|(name, _)| !name.ends_with(".redb"));
    let bytes: usize = log.map(|(_, bytes)| bytes.len()).sum();
    let figures = sweep(&sample, if crate::all() { 1 } else { 9 });
    println!("{} events, {bytes} bytes of log: {figures:#?}", sample.events.len());
    assert!(figures.tried > 8 && figures.verified > 4 && figures.healed > 0);
}
