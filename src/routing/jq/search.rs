//! Looking for one value in another. What it may cost is the product of both, so that is what it is charged.

use jaq_core::Exn;
use jaq_json::Val;

use super::meter::Meter;
use super::natives::kind;

/// Takes the product of both weights: what searching one in the other may cost.
pub(super) fn take_product<'a>(meter: &Meter, left: &Val, right: &Val) -> Result<(), Exn<'a, Val>> {
    let (left, right) = (meter.take_value(left)?, meter.take_value(right)?);
    meter.take(left.saturating_mul(right))
}

pub(super) fn contains(left: &Val, right: &Val) -> Result<bool, String> {
    Ok(match (left, right) {
        (Val::TStr(l), Val::TStr(r)) => find(l, r, 0).is_some(),
        (Val::Arr(l), Val::Arr(r)) => {
            for r in r.iter() {
                if !l.iter().any(|l| same_kind(l, r) && contains(l, r) == Ok(true)) {
                    return Ok(false);
                }
            }
            true
        }
        (Val::Obj(l), Val::Obj(r)) => {
            for (key, r) in r.iter() {
                match l.get(key) {
                    Some(l) if same_kind(l, r) && contains(l, r)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (l, r) if same_kind(l, r) => l == r,
        (l, r) => return Err(format!("{} and {} cannot have their containment checked", kind(l), kind(r))),
    })
}

fn same_kind(left: &Val, right: &Val) -> bool {
    kind(left) == kind(right)
}

/// Where `part` first stands in `text` at or after the byte `from`.
fn find(text: &[u8], part: &[u8], from: usize) -> Option<usize> {
    if part.is_empty() {
        return Some(from);
    }
    text.get(from..)?.windows(part.len()).position(|window| window == part).map(|at| from + at)
}

/// All places where `part` stands in `of`: in a string counted in characters, in an array in elements.
pub(super) fn indices(of: &Val, part: &Val) -> Result<Val, String> {
    let numbers = |places: Vec<usize>| Ok(places.into_iter().map(Val::from).collect());
    match (of, part) {
        (Val::Null, _) => Ok(Val::Null),
        (Val::TStr(text), Val::TStr(part)) => {
            if part.is_empty() {
                return numbers(Vec::new());
            }
            let starts = |byte: &u8| byte & 0xC0 != 0x80;
            let (mut places, mut from, mut characters) = (Vec::new(), 0, 0);
            while let Some(at) = find(text, part, from) {
                characters += text.get(from..at).unwrap_or_default().iter().filter(|b| starts(b)).count();
                places.push(characters);
                characters += usize::from(text.get(at).is_some_and(starts));
                from = at + 1;
            }
            numbers(places)
        }
        (Val::Arr(_), Val::Arr(part)) if part.is_empty() => numbers(Vec::new()),
        (Val::Arr(array), Val::Arr(part)) => {
            let windows = array.windows(part.len()).enumerate();
            numbers(windows.filter(|(_, window)| *window == part.as_slice()).map(|(i, _)| i).collect())
        }
        (Val::Arr(array), part) => {
            numbers(array.iter().enumerate().filter(|(_, value)| *value == part).map(|(i, _)| i).collect())
        }
        (of, part) => Err(format!("cannot search a {} in a {}", kind(part), kind(of))),
    }
}
