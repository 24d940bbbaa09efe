//! The filters written here in place of jaq's: those that count, and those that would cost more than their input's size.
//! Their names begin with `_`, which no name of an expression may.

use bytes::Bytes;
use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::native::{Fun, v};
use jaq_core::{Cv, Error, Exn, Native, ValX};
use jaq_json::{Map, Num, Val};

use super::json;
use super::meter::{Counted, MAX_WORK, Meter, STEP};
use super::search::{contains, indices, take_product};

type Input<'a> = Cv<'a, Counted>;
type Outputs<'a> = BoxIter<'a, ValX<'a, Val>>;
type Outcome<'a> = ValX<'a, Val>;

/// A filter that passes its input on, also as a path, once `$count` has taken what it weighs.
macro_rules! counting {
    ($name:literal, $arguments:expr, $count:expr) => {
        (
            $name,
            v($arguments),
            Native::new(|mut cv| {
                let counted = $count(&mut cv.0, &cv.1);
                box_once(counted.map(|()| cv.1))
            })
            .with_paths(|mut cv| {
                let counted = $count(&mut cv.0, &cv.1.0);
                box_once(counted.map(|()| cv.1))
            })
            .with_update(|mut cv, update| match $count(&mut cv.0, &cv.1) {
                Ok(()) => update(cv.1),
                Err(limit) => box_once(Err(limit)),
            }),
        )
    };
}

type Context<'a> = jaq_core::Ctx<'a, Counted>;

fn step<'a>(context: &mut Context<'a>, _: &Val) -> Result<(), Exn<'a, Val>> {
    context.data().meter.take(STEP)
}

fn whole<'a>(context: &mut Context<'a>, value: &Val) -> Result<(), Exn<'a, Val>> {
    context.data().meter.take(STEP)?;
    context.data().meter.take_value(value).map(drop)
}

fn elements<'a>(context: &mut Context<'a>, value: &Val) -> Result<(), Exn<'a, Val>> {
    context.data().meter.take_elements(value)
}

fn given<'a>(context: &mut Context<'a>, _: &Val) -> Result<(), Exn<'a, Val>> {
    let units = jaq_std::ValT::as_isize(&context.pop_var()).and_then(|n| u64::try_from(n).ok());
    context.data().meter.take(units.unwrap_or(MAX_WORK + 1))
}

/// A filter of one output, from its context and input.
fn one<'a>(outcome: Outcome<'a>) -> Outputs<'a> {
    box_once(outcome)
}

fn fail<'a, T>(message: impl std::fmt::Display) -> Result<T, Exn<'a, Val>> {
    Err(Exn::from(Error::str(message)))
}

/// A filter of two arguments, both values, that weighs them before and the result after.
macro_rules! weighed {
    ($name:literal, $run:expr) => {
        (
            $name,
            v(2),
            Native::new(|mut cv: Input<'_>| {
                let right = cv.0.pop_var();
                let left = cv.0.pop_var();
                let meter = cv.0.data().meter;
                one(weighed(meter, left, right, $run))
            }),
        )
    };
}

fn weighed<'a>(meter: &Meter, left: Val, right: Val, run: impl FnOnce(&Meter, Val, Val) -> Outcome<'a>) -> Outcome<'a> {
    meter.take_value(&left)?;
    meter.take_value(&right)?;
    let result = run(meter, left, right)?;
    meter.take_value(&result)?;
    Ok(result)
}

/// `l * r`: the only operator whose result can be far larger than what it is given.
fn multiply<'a>(meter: &Meter, left: Val, right: Val) -> Outcome<'a> {
    let (text, times) = match (&left, &right) {
        (Val::TStr(text), Val::Num(n)) | (Val::Num(n), Val::TStr(text)) => (text.len(), times(n)),
        _ => (0, 0),
    };
    meter.take((text as u64).saturating_mul(times) / 4)?;
    Ok((left * right)?)
}

fn times(number: &Num) -> u64 {
    match number {
        Num::Int(n) => u64::try_from(*n).unwrap_or(0),
        Num::BigInt(_) => number.as_isize().map_or(u64::MAX, |n| u64::try_from(n).unwrap_or(0)),
        Num::Float(_) | Num::Dec(_) => 0,
    }
}

/// `l / r`: of strings, a list that takes more room than the text.
fn divide<'a>(meter: &Meter, left: Val, right: Val) -> Outcome<'a> {
    if let (Val::TStr(text), Val::TStr(_)) = (&left, &right) {
        meter.take((text.len() as u64).saturating_mul(4))?;
    }
    Ok((left / right)?)
}

pub(crate) fn kind(value: &Val) -> &'static str {
    match value {
        Val::Null => "null",
        Val::Bool(_) => "boolean",
        Val::Num(_) => "number",
        Val::TStr(_) | Val::BStr(_) => "string",
        Val::Arr(_) => "array",
        Val::Obj(_) => "object",
    }
}

/// The value as text: a string as it is, all else as JSON.
fn text<'a>(meter: &Meter, value: Val) -> Outcome<'a> {
    if matches!(value, Val::TStr(_)) { Ok(value) } else { as_json(meter, &value) }
}

fn as_json<'a>(meter: &Meter, value: &Val) -> Outcome<'a> {
    let mut out = Vec::new();
    match json::write(value, &mut out, (MAX_WORK * 4) as usize) {
        Ok(()) => {}
        Err(json::WriteError::Key) => return fail("an object's keys must be strings"),
        Err(json::WriteError::TooLarge | json::WriteError::TooDeep) => meter.take(MAX_WORK + 1)?,
    }
    let out = Val::utf8_str(Bytes::from(out));
    meter.take_value(&out)?;
    Ok(out)
}

fn from_json<'a>(meter: &Meter, value: &Val) -> Outcome<'a> {
    let Val::TStr(text) = value else { return fail(format_args!("cannot parse a {} as JSON", kind(value))) };
    meter.take(text.len() as u64)?;
    match json::parse(text) {
        Ok(parsed) => {
            meter.take_value(&parsed)?;
            Ok(parsed)
        }
        Err(why) => fail(format_args!("cannot parse {} as JSON: {why}", json::bounded(value, 80))),
    }
}

fn to_number<'a>(meter: &Meter, value: Val) -> Outcome<'a> {
    match &value {
        Val::Num(_) => Ok(value),
        Val::TStr(_) => match from_json(meter, &value) {
            Ok(number @ Val::Num(_)) => Ok(number),
            Err(limit) if meter.exceeded().is_some() => Err(limit),
            _ => fail(format_args!("cannot parse {} as a number", json::bounded(&value, 80))),
        },
        _ => fail(format_args!("cannot use a {} as a number", kind(&value))),
    }
}

fn join<'a>(meter: &Meter, array: &Val, separator: &Val) -> Outcome<'a> {
    let Val::Arr(array) = array else { return fail(format_args!("cannot join a {}", kind(array))) };
    let Val::TStr(separator) = separator else {
        return fail(format_args!("cannot join with a {}; expected a string", kind(separator)));
    };
    let mut out = Vec::new();
    for (i, value) in array.iter().enumerate() {
        if i > 0 {
            meter.take(separator.len() as u64 / 4 + 1)?;
            out.extend_from_slice(separator);
        }
        match value {
            Val::Null => {}
            Val::TStr(text) => {
                meter.take(text.len() as u64 / 4 + 1)?;
                out.extend_from_slice(text);
            }
            Val::Bool(_) | Val::Num(_) => {
                if let Val::TStr(text) = as_json(meter, value)? {
                    out.extend_from_slice(&text);
                }
            }
            other => return fail(format_args!("cannot join a list with a {} in it", kind(other))),
        }
    }
    Ok(Val::utf8_str(Bytes::from(out)))
}

fn flatten<'a>(array: &Val, depth: &Val) -> Outcome<'a> {
    fn into(array: &[Val], depth: isize, out: &mut Vec<Val>) {
        for value in array {
            match value {
                Val::Arr(inner) if depth > 0 => into(inner, depth - 1, out),
                other => out.push(other.clone()),
            }
        }
    }
    let (Val::Arr(array), Some(depth)) = (array, jaq_std::ValT::as_isize(depth).filter(|depth| *depth >= 0)) else {
        return fail("flatten takes an array and a depth of at least 0");
    };
    let mut out = Vec::new();
    into(array, depth, &mut out);
    Ok(out.into_iter().collect())
}

/// The sum of all elements, in one pass: `reduce .[] as $x (null; . + $x)` copies at every step.
fn sum<'a>(values: Val) -> Outcome<'a> {
    match values {
        Val::Arr(array) => {
            let mut sum = Val::Null;
            for value in array.iter() {
                sum = (sum + value.clone())?;
            }
            Ok(sum)
        }
        Val::Obj(object) => {
            let mut sum = Val::Null;
            for value in object.values() {
                sum = (sum + value.clone())?;
            }
            Ok(sum)
        }
        other => fail(format_args!("cannot add up a {}; expected an array", kind(&other))),
    }
}

fn from_entries<'a>(entries: &Val) -> Outcome<'a> {
    let Val::Arr(entries) = entries else {
        return fail(format_args!("cannot make an object of a {}; expected an array of entries", kind(entries)));
    };
    let (key, value) = (Val::utf8_str("key"), Val::utf8_str("value"));
    let mut object = Map::default();
    for entry in entries.iter() {
        let Val::Obj(entry) = entry else {
            return fail(format_args!("an entry is a {}; expected {{\"key\", \"value\"}}", kind(entry)));
        };
        match entry.get(&key) {
            Some(name @ Val::TStr(_)) => {
                object.insert(name.clone(), entry.get(&value).cloned().unwrap_or_default());
            }
            other => {
                let found = other.map_or("nothing", kind);
                return fail(format_args!("the key of an entry is {found}; expected a string"));
            }
        }
    }
    Ok(Val::obj(object))
}

fn range<'a>(meter: &'a Meter, from: Val, to: Val, by: Val) -> Outputs<'a> {
    let zero = Val::from(0isize);
    if !matches!((&from, &to, &by), (Val::Num(_), Val::Num(_), Val::Num(_))) || by == zero {
        return one(fail("range takes numbers, and a step that is not 0"));
    }
    let (upwards, mut next) = (by > zero, Some(from));
    Box::new(std::iter::from_fn(move || {
        let current = next.take()?;
        if !(if upwards { current < to } else { current > to }) {
            return None;
        }
        if let Err(limit) = meter.take(STEP) {
            return Some(Err(limit));
        }
        next = (current.clone() + by.clone()).ok();
        Some(Ok(current))
    }))
}

/// The filters, under the names that the rewriting and the definitions call them by.
pub(crate) fn natives() -> Vec<Fun<Counted>> {
    vec![
        counting!("_step", 0, step),
        counting!("_whole", 0, whole),
        counting!("_elements", 0, elements),
        counting!("_units", 1, given),
        (
            "_index",
            v(0),
            Native::new(|cv: Input<'_>| {
                one(match &cv.1 {
                    Val::Arr(_) | Val::Obj(_) => {
                        fail(format_args!("cannot use a {} as an index; expected a string or a number", kind(&cv.1)))
                    }
                    _ => cv.0.data().meter.take_value(&cv.1).map(|_| cv.1),
                })
            }),
        ),
        (
            "_name",
            v(0),
            Native::new(|cv: Input<'_>| {
                one(match &cv.1 {
                    Val::TStr(_) => cv.0.data().meter.take_value(&cv.1).map(|_| cv.1),
                    other => fail(format_args!("cannot use a {} as a key; expected a string", kind(other))),
                })
            }),
        ),
        weighed!("_add", |_, l, r| Ok((l + r)?)),
        weighed!("_sub", |_, l, r| Ok((l - r)?)),
        weighed!("_mul", multiply),
        weighed!("_div", divide),
        weighed!("_rem", |_, l, r| Ok((l % r)?)),
        weighed!("_eq", |_, l, r| Ok(Val::Bool(l == r))),
        weighed!("_ne", |_, l, r| Ok(Val::Bool(l != r))),
        weighed!("_lt", |_, l, r| Ok(Val::Bool(l < r))),
        weighed!("_le", |_, l, r| Ok(Val::Bool(l <= r))),
        weighed!("_gt", |_, l, r| Ok(Val::Bool(l > r))),
        weighed!("_ge", |_, l, r| Ok(Val::Bool(l >= r))),
        (
            "_mark",
            v(1),
            Native::new(|mut cv: Input<'_>| {
                if let Val::Num(Num::Int(offset)) = cv.0.pop_var() {
                    cv.0.data().meter.mark(usize::try_from(offset).unwrap_or_default(), &cv.1);
                }
                one(Err(Exn::from(Error::new(cv.1))))
            }),
        ),
        ("_type", v(0), Native::new(|cv: Input<'_>| one(Ok(Val::utf8_str(kind(&cv.1)))))),
        ("_text", v(0), Native::new(|cv: Input<'_>| one(text(cv.0.data().meter, cv.1)))),
        ("_tojson", v(0), Native::new(|cv: Input<'_>| one(as_json(cv.0.data().meter, &cv.1)))),
        ("_fromjson", v(0), Native::new(|cv: Input<'_>| one(from_json(cv.0.data().meter, &cv.1)))),
        ("_tonumber", v(0), Native::new(|cv: Input<'_>| one(to_number(cv.0.data().meter, cv.1)))),
        ("_sum", v(0), Native::new(|cv: Input<'_>| one(sum(cv.1)))),
        ("_from_entries", v(0), Native::new(|cv: Input<'_>| one(from_entries(&cv.1)))),
        (
            "_join",
            v(1),
            Native::new(|mut cv: Input<'_>| {
                let separator = cv.0.pop_var();
                one(join(cv.0.data().meter, &cv.1, &separator))
            }),
        ),
        (
            "_flatten",
            v(1),
            Native::new(|mut cv: Input<'_>| {
                let depth = cv.0.pop_var();
                one(flatten(&cv.1, &depth))
            }),
        ),
        (
            "_contains",
            v(1),
            Native::new(|mut cv: Input<'_>| {
                let part = cv.0.pop_var();
                one(take_product(cv.0.data().meter, &cv.1, &part)
                    .and_then(|()| contains(&cv.1, &part).map(Val::Bool).or_else(fail)))
            }),
        ),
        (
            "_indices",
            v(1),
            Native::new(|mut cv: Input<'_>| {
                let part = cv.0.pop_var();
                one(take_product(cv.0.data().meter, &cv.1, &part).and_then(|()| indices(&cv.1, &part).or_else(fail)))
            }),
        ),
        (
            "_range",
            v(3),
            Native::new(|mut cv: Input<'_>| {
                let (by, to) = (cv.0.pop_var(), cv.0.pop_var());
                let from = cv.0.pop_var();
                range(cv.0.data().meter, from, to, by)
            }),
        ),
    ]
}
