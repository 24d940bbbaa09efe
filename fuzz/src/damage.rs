//! What may happen to the files of a store.

use arbitrary::Arbitrary;
use atlas::log::fuzzing;

use crate::stores::{Files, Template, templates};

/// One damage. Numbers are taken modulo what there is.
#[derive(Arbitrary, Clone, Debug)]
pub enum Damage {
    /// Bytes anywhere.
    Overwrite {
        file: u8,
        at: u32,
        bytes: Vec<u8>,
    },
    /// A number in the header of a frame, or in the first records after it.
    InFrame {
        file: u8,
        frame: u8,
        at: u8,
        value: u64,
        width: u8,
    },
    /// A number in the first 512 bytes of a file, or in its last.
    AtEnds {
        file: u8,
        at: i16,
        value: u64,
        width: u8,
    },
    Zero {
        file: u8,
        at: u32,
        length: u16,
    },
    Truncate {
        file: u8,
        at: u32,
    },
    Lengthen {
        file: u8,
        by: u16,
    },
    /// Bytes of one file in another's place; of another store where `other` says so.
    Splice {
        other: Option<u8>,
        from: u8,
        from_at: u32,
        length: u16,
        to: u8,
        to_at: u32,
    },
    /// A frame in another's place.
    Frame {
        from: u8,
        from_frame: u8,
        to: u8,
        to_frame: u8,
    },
    Remove {
        file: u8,
    },
    /// One file in another's place, whole; of another store where `other` says so.
    Replace {
        other: Option<u8>,
        from: u8,
        to: u8,
    },
}

fn pick<'f>(files: &'f Files, number: u8, wanted: &impl Fn(&str) -> bool) -> Option<(&'f String, &'f Vec<u8>)> {
    let wanted: Vec<_> = files.iter().filter(|(name, _)| wanted(name)).collect();
    wanted.get(number as usize % wanted.len().max(1)).copied()
}

fn pick_mut<'f>(files: &'f mut Files, number: u8, wanted: &impl Fn(&str) -> bool) -> Option<&'f mut Vec<u8>> {
    let name = pick(files, number, wanted)?.0.clone();
    files.get_mut(&name)
}

fn place(bytes: &[u8], at: u32) -> usize {
    at as usize % bytes.len().max(1)
}

fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

fn number(value: u64, width: u8) -> Vec<u8> {
    value.to_le_bytes()[..1 << (width % 4)].to_vec()
}

impl Damage {
    /// Does it to one of the files that are `wanted`.
    pub fn apply(&self, files: &mut Files, wanted: &impl Fn(&str) -> bool) -> Option<()> {
        let source = |other: &Option<u8>, files: &Files| match other {
            Some(number) => templates()[*number as usize % templates().len()].files.clone(),
            None => files.clone(),
        };
        match self {
            Self::Overwrite { file, at, bytes } => {
                let to = pick_mut(files, *file, wanted)?;
                let at = place(to, *at);
                write(to, at, bytes);
            }
            Self::InFrame { file, frame, at, value, width } => {
                let to = pick_mut(files, *file, wanted)?;
                let frames = fuzzing::frames(to);
                let start = frames.get(*frame as usize % frames.len().max(1))?;
                write(to, start + *at as usize, &number(*value, *width));
            }
            Self::AtEnds { file, at, value, width } => {
                let to = pick_mut(files, *file, wanted)?;
                let at = match usize::try_from(*at) {
                    Ok(at) => at % 512,
                    Err(_) => to.len().checked_sub(at.unsigned_abs() as usize)?,
                };
                write(to, at, &number(*value, *width));
            }
            Self::Zero { file, at, length } => {
                let to = pick_mut(files, *file, wanted)?;
                let at = place(to, *at);
                write(to, at, &vec![0; *length as usize]);
            }
            Self::Truncate { file, at } => {
                let to = pick_mut(files, *file, wanted)?;
                let at = place(to, *at);
                to.truncate(at);
            }
            Self::Lengthen { file, by } => {
                let to = pick_mut(files, *file, wanted)?;
                to.resize(to.len() + *by as usize, 0);
            }
            Self::Splice { other, from, from_at, length, to, to_at } => {
                let from = pick(&source(other, files), *from, wanted)?.1.clone();
                let from_at = place(&from, *from_at);
                let piece = from.get(from_at..from.len().min(from_at + *length as usize))?;
                let to = pick_mut(files, *to, wanted)?;
                let to_at = place(to, *to_at);
                write(to, to_at, piece);
            }
            Self::Frame { from, from_frame, to, to_frame } => {
                let from = pick(files, *from, wanted)?.1.clone();
                let frames = fuzzing::frames(&from);
                let number = *from_frame as usize % frames.len().max(1);
                let start = *frames.get(number)?;
                let end = frames.get(number + 1).copied().unwrap_or(from.len().min(start + 1024));
                let to = pick_mut(files, *to, wanted)?;
                let frames = fuzzing::frames(to);
                let at = *frames.get(*to_frame as usize % frames.len().max(1))?;
                write(to, at, from.get(start..end)?);
            }
            Self::Remove { file } => {
                let name = pick(files, *file, wanted)?.0.clone();
                files.remove(&name);
            }
            Self::Replace { other, from, to } => {
                let from = pick(&source(other, files), *from, wanted)?.1.clone();
                *pick_mut(files, *to, wanted)? = from;
            }
        }
        Some(())
    }
}

/// Whether the newest segment is another store's, whole: where nothing else tells, that store is what is opened.
pub fn is_another_store(template: &Template, files: &Files) -> bool {
    let newest =
        |files: &Files| files.iter().rev().find(|(name, _)| name.ends_with(".seg")).map(|(_, bytes)| head(bytes));
    let others = templates().iter().filter(|other| other.files != template.files);
    let heads = others.flat_map(|other| other.files.iter().filter(|(name, _)| name.ends_with(".seg")));
    let heads: Vec<_> = heads.map(|(_, bytes)| head(bytes)).collect();
    newest(files).is_some_and(|newest| heads.contains(&newest))
}

fn head(segment: &[u8]) -> Vec<u8> {
    segment.iter().take(64).copied().collect()
}

/// Makes the CRCs of all files right, so that what stands behind them is reached.
pub fn mend(files: &mut Files) {
    let mut before = (0, 0);
    for (name, bytes) in files {
        match name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("seg") => before = fuzzing::mend_segment(bytes, before),
            Some("idx" | "dir") => fuzzing::mend_checked_file(bytes),
            _ => fuzzing::mend_lock(bytes),
        }
    }
}
