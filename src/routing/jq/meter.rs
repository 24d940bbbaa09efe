//! Counting what an expression does. One evaluation has one budget of work units; it is never a time, so the same
//! expression over the same event always ends the same way.

use std::cell::{Cell, RefCell};

use jaq_core::{DataT, Exn, Lut, data::HasLut};
use jaq_json::{Num, Val};

/// The work that one evaluation may do, in units: a value in a structure that is built, compared or converted is 1 unit
/// and 1 for each 4 bytes of its text; a value that a generator yields is 16 units.
pub const MAX_WORK: u64 = 16 << 20;
/// How deep a value that an expression builds may be nested.
pub const MAX_VALUE_DEPTH: usize = 256;
/// The largest whole number that an expression may compute, in bits; beyond 64 bits whole numbers stay exact.
pub const MAX_NUMBER_BITS: u64 = 4096;
/// The units of one value that a generator yields.
pub(crate) const STEP: u64 = 16;

/// A limit that an evaluation went beyond: its name and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) value: u64,
}

const WORK: Limit = Limit { name: "MAX_WORK", value: MAX_WORK };
const DEPTH: Limit = Limit { name: "MAX_VALUE_DEPTH", value: MAX_VALUE_DEPTH as u64 };
const BITS: Limit = Limit { name: "MAX_NUMBER_BITS", value: MAX_NUMBER_BITS };

/// What one evaluation has left.
#[derive(Debug)]
pub(crate) struct Meter {
    left: Cell<u64>,
    exceeded: Cell<Option<Limit>>,
    /// The innermost part, in bytes from the start of the expression, that failed last, and with what.
    mark: RefCell<Option<(usize, Val)>>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { left: Cell::new(MAX_WORK), exceeded: Cell::new(None), mark: RefCell::new(None) }
    }

    /// The limit that ended the evaluation, where one did.
    pub(crate) fn exceeded(&self) -> Option<Limit> {
        self.exceeded.get()
    }

    /// Notes that the part at `offset` fails with `error`. A part around it fails with the same, and isn't noted.
    pub(crate) fn mark(&self, offset: usize, error: &Val) {
        let mut mark = self.mark.borrow_mut();
        if mark.as_ref().is_none_or(|(_, known)| known != error) {
            *mark = Some((offset, error.clone()));
        }
    }

    /// The part that failed last.
    pub(crate) fn marked(&self) -> Option<usize> {
        self.mark.borrow().as_ref().map(|(offset, _)| *offset)
    }

    /// The units used so far.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        MAX_WORK - self.left.get()
    }

    /// Takes `units`. The error can't be caught by `try`: it ends the evaluation.
    pub(crate) fn take<'a>(&self, units: u64) -> Result<(), Exn<'a, Val>> {
        match self.left.get().checked_sub(units) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.end(WORK)),
        }
    }

    /// Takes the weight of all of `value`, and checks how deep it is nested and how large its numbers are.
    pub(crate) fn take_value<'a>(&self, value: &Val) -> Result<u64, Exn<'a, Val>> {
        let before = self.left.get();
        let mut left = before;
        let weighed = weigh(value, MAX_VALUE_DEPTH, &mut left);
        self.left.set(left);
        weighed.map(|()| before - left).map_err(|limit| self.end(limit))
    }

    /// Takes [`STEP`] for each element of an array or object, and the text of a string: what opening it may yield.
    pub(crate) fn take_elements<'a>(&self, value: &Val) -> Result<(), Exn<'a, Val>> {
        self.take(match value {
            Val::Arr(array) => (array.len() as u64 + 1).saturating_mul(STEP),
            Val::Obj(object) => (object.len() as u64 + 1).saturating_mul(STEP),
            Val::TStr(text) | Val::BStr(text) => STEP + text.len() as u64 / 4,
            Val::Null | Val::Bool(_) | Val::Num(_) => STEP,
        })
    }

    fn end<'a>(&self, limit: Limit) -> Exn<'a, Val> {
        if self.exceeded.get().is_none() {
            self.exceeded.set(Some(limit));
        }
        Exn::halt(0)
    }
}

fn spend(left: &mut u64, units: u64) -> Result<(), Limit> {
    *left = left.checked_sub(units).ok_or(WORK)?;
    Ok(())
}

fn weigh(value: &Val, depth: usize, left: &mut u64) -> Result<(), Limit> {
    match value {
        Val::Null | Val::Bool(_) | Val::Num(Num::Int(_) | Num::Float(_)) => spend(left, 1),
        Val::Num(Num::BigInt(number)) if number.bits() > MAX_NUMBER_BITS => Err(BITS),
        Val::Num(Num::BigInt(number)) => spend(left, 1 + number.bits() / 32),
        Val::Num(Num::Dec(text)) => spend(left, 1 + text.len() as u64 / 4),
        Val::TStr(text) | Val::BStr(text) => spend(left, 1 + text.len() as u64 / 4),
        Val::Arr(array) => {
            let depth = depth.checked_sub(1).ok_or(DEPTH)?;
            spend(left, 1)?;
            array.iter().try_for_each(|value| weigh(value, depth, left))
        }
        Val::Obj(object) => {
            let depth = depth.checked_sub(1).ok_or(DEPTH)?;
            spend(left, 1)?;
            object.iter().try_for_each(|(key, value)| {
                weigh(key, depth, left)?;
                weigh(value, depth, left)
            })
        }
    }
}

/// The kind of data that jaq runs over here: JSON values, and a meter that its filters reach.
pub(crate) struct Counted;

/// What every filter of one evaluation sees.
#[derive(Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) lut: &'a Lut<Counted>,
    pub(crate) meter: &'a Meter,
}

impl DataT for Counted {
    type V<'a> = Val;
    type Data<'a> = Running<'a>;
}

impl<'a> HasLut<'a, Counted> for Running<'a> {
    fn lut(&self) -> &'a Lut<Counted> {
        self.lut
    }
}
