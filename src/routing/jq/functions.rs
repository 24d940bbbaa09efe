//! What an expression may call: the list, and the definition of each on top of filters that count. Everything else that
//! jq knows is left out: what may not end (`def`, `recurse`, `..`, `repeat`, `while`, `until`), what isn't a function of
//! the event (`now`, `env`, `input`, `debug`, `halt`), and what costs out of proportion (regular expressions).

use std::sync::OnceLock;

use jaq_core::load::parse::Def;
use jaq_core::native::Fun;

use super::meter::Counted;
use super::natives;

/// The definitions. Names with `_` are filters of `natives` or of jaq and can't be called from an expression. Values that
/// are built are weighed (`_whole`), containers that are opened are counted (`_elements`), and closures run once for each
/// value that was counted, so no definition runs longer than its weight.
const DEFINITIONS: &str = r#"
def empty: {}[] as $x | .;
def null: [][0];
def true: 0 == 0;
def false: 0 != 0;
def not: if . then false else true end;
def select(f): if f then . else empty end;
def error: _error_empty as $x | .;
def error(message): (message | _error_empty) as $x | .;
def _drop: _whole | empty;

def type: _type;
def nulls: select(. == null);
def values: select(. != null);
def booleans: select(_type == "boolean");
def numbers: select(_type == "number");
def strings: select(_type == "string");
def arrays: select(_type == "array");
def objects: select(_type == "object");
def scalars: select(_type != "array" and _type != "object");
def iterables: select(_type == "array" or _type == "object");

def tostring: _whole | _text;
def tojson: _whole | _tojson;
def fromjson: _fromjson;
def tonumber: _tonumber;
def floor: _floor;
def round: _round;
def ceil: _ceil;
def abs: if . < 0 then - . else . end;

def length: _elements | _length;
def utf8bytelength: _utf8bytelength;
def keys_unsorted: _elements | _keys_unsorted;
def keys: _elements | _keys_unsorted | _whole | _sort;
def has($key): _has($key | _index);
def in($object): . as $key | $object | has($key);
def contains($part): _contains($part);
def inside($whole): . as $part | $whole | _contains($part);
def indices($part): _indices($part) | _whole;
def index($part): _indices($part) | .[0];
def rindex($part): _indices($part) | .[-1];

def first: .[0];
def last: .[-1];
def nth($n): .[$n | _index];
def first(f): _first(f);
def last(f): _last(f);
def limit($n; f): _limit($n; f);
def skip($n; f): _skip($n; f);
def nth($n; f): _first(_skip($n; f));
def range($to): _range(0; $to; 1);
def range($from; $to): _range($from; $to; 1);
def range($from; $to; $by): _range($from; $to; $by);
def isempty(f): _first((f | false), true);
def any(f; condition): isempty(f | condition or empty) | not;
def all(f; condition): isempty(f | condition and empty);
def any(condition): any(_elements | .[]; condition);
def all(condition): all(_elements | .[]; condition);
def any: any(.);
def all: all(.);
def IN(f): any(_eq(f; .); .);

def map(f): [_elements | .[] | f] | _whole;
def map_values(f): ((_elements | .[]) |= f) | _whole;
def del(f): (f |= empty) | _whole;
def to_entries: _elements | [_key_values[] as [$key, $value] | {$key, $value}] | _whole;
def from_entries: _elements | _from_entries | _whole;
def with_entries(f): to_entries | map(f) | from_entries;

def add: _whole | _sum | _whole;
def add(f): [f] | _whole | _sum | _whole;
def reverse: _elements | _reverse;
def sort: _whole | _sort;
def sort_by(f): _elements | _sort_by(f | _whole);
def group_by(f): _elements | _group_by(f | _whole) | _whole;
def unique_by(f): _elements | _group_by(f | _whole) | [.[] | .[0]];
def unique: unique_by(.);
def min_by(f): _elements | [_min_by_or_empty(f | _whole)] | .[0];
def max_by(f): _elements | [_max_by_or_empty(f | _whole)] | .[0];
def min: min_by(.);
def max: max_by(.);
def flatten: _whole | _flatten(1000);
def flatten($depth): _whole | _flatten($depth);

def split($separator): _div(.; $separator | _name);
def join($separator): _elements | _join($separator);
def startswith($text): _startswith($text);
def endswith($text): _endswith($text);
def ltrimstr($text): _ltrimstr($text);
def rtrimstr($text): _rtrimstr($text);
def trim: _elements | _trim;
def ltrim: _elements | _ltrim;
def rtrim: _elements | _rtrim;
def ascii_downcase: _elements | _ascii_downcase;
def ascii_upcase: _elements | _ascii_upcase;
"#;

/// The filters of jaq that the definitions use, with the names they get here.
const FROM_JAQ: [(&str, &str); 28] = [
    ("ascii_downcase", "_ascii_downcase"),
    ("ascii_upcase", "_ascii_upcase"),
    ("ceil", "_ceil"),
    ("endswith", "_endswith"),
    ("error_empty", "_error_empty"),
    ("first", "_first"),
    ("floor", "_floor"),
    ("group_by", "_group_by"),
    ("has", "_has"),
    ("key_values", "_key_values"),
    ("keys_unsorted", "_keys_unsorted"),
    ("last", "_last"),
    ("length", "_length"),
    ("limit", "_limit"),
    ("ltrim", "_ltrim"),
    ("ltrimstr", "_ltrimstr"),
    ("max_by_or_empty", "_max_by_or_empty"),
    ("min_by_or_empty", "_min_by_or_empty"),
    ("reverse", "_reverse"),
    ("round", "_round"),
    ("rtrim", "_rtrim"),
    ("rtrimstr", "_rtrimstr"),
    ("skip", "_skip"),
    ("sort", "_sort"),
    ("sort_by", "_sort_by"),
    ("startswith", "_startswith"),
    ("trim", "_trim"),
    ("utf8bytelength", "_utf8bytelength"),
];

/// A definition and its text.
type Definition = (Def<&'static str>, &'static str);

/// The definitions, one a line, parsed once.
fn definitions() -> &'static [Definition] {
    static PARSED: OnceLock<Vec<Definition>> = OnceLock::new();
    let parse = |line: &'static str| Some((jaq_core::load::parse(line, |p| p.defs())?.pop()?, line));
    PARSED.get_or_init(|| DEFINITIONS.lines().filter_map(parse).collect())
}

/// The definitions that `source` may need: those whose name stands in it, or in one that is needed. A definition uses only
/// those before it.
pub(crate) fn needed(source: &str) -> Vec<Def<&'static str>> {
    // The rewriting of `f?` calls this one.
    let mut text = source.to_owned() + " _drop";
    let mut needed = Vec::new();
    for (definition, line) in definitions().iter().rev() {
        if text.contains(definition.name) {
            text.push_str(line);
            needed.push(definition.clone());
        }
    }
    needed.reverse();
    needed
}

/// The filters that the definitions and the rewriting rest on.
pub(crate) fn filters() -> impl Iterator<Item = Fun<Counted>> {
    let renamed = |(name, arguments, run): Fun<Counted>| {
        let (_, to) = FROM_JAQ.iter().find(|(from, _)| *from == name)?;
        Some((*to, arguments, run))
    };
    let of_jaq = jaq_core::funs().chain(jaq_std::base_funs()).chain(jaq_json::funs());
    of_jaq.filter_map(renamed).chain(natives::natives())
}

/// The names that an expression may call, each with its number of arguments, in the order of their definition.
pub(crate) fn available() -> impl Iterator<Item = (&'static str, usize)> {
    definitions().iter().map(|(def, _)| (def.name, def.args.len())).filter(|(name, _)| !name.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_parses_and_uses_only_those_before_it() {
        assert_eq!(definitions().len(), DEFINITIONS.matches("def ").count());
        for (name, arguments) in available() {
            let call = match arguments {
                0 => name.to_owned(),
                n => format!("{name}({})", vec!["."; n].join("; ")),
            };
            assert!(crate::routing::Expression::compile(&call).is_ok(), "{call}");
        }
        assert!(needed(".a").len() < 3);
    }

    #[test]
    fn what_may_not_end_or_is_no_function_of_the_event_is_left_out() {
        for name in
            ["recurse", "repeat", "while", "until", "input", "inputs", "env", "now", "debug", "halt", "path", "test"]
        {
            assert!(available().all(|(known, _)| known != name), "{name}");
        }
    }

    #[test]
    fn the_guide_lists_every_function() {
        let guide = include_str!("../../../docs/configuration.md");
        for (name, arguments) in available() {
            let written = match arguments {
                0 => format!("`{name}`"),
                _ => format!("`{name}("),
            };
            assert!(guide.contains(&written), "docs/configuration.md does not list {written}");
        }
    }
}
