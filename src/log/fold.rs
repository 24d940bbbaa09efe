//! Folds: how the state of a stream follows from its events.

use serde_json::Value;

use super::EventRef;

/// A way to make a state from the events of a stream, one after the other.
///
/// Pure: the same events give the same state, as it runs again on replay. Its name and fingerprint are kept with each
/// keyframe; a keyframe of another fold or fingerprint is passed over, so change the fingerprint whenever the state type
/// or the meaning of [`apply`](Self::apply) changes.
pub trait Fold {
    /// The state.
    type State: Clone;

    /// The fold's name, at most 255 bytes.
    fn name(&self) -> &str;

    /// What tells this version of the fold from others of the same name.
    fn fingerprint(&self) -> u64;

    /// The state of a stream without events.
    fn start(&self) -> Self::State;

    /// Takes the next event into the state.
    fn apply(&self, state: &mut Self::State, event: &EventRef<'_>);

    /// The state as bytes, for a keyframe.
    fn encode(&self, state: &Self::State) -> Vec<u8>;

    /// The state from bytes; `None` passes the keyframe over.
    fn decode(&self, bytes: &[u8]) -> Option<Self::State>;
}

/// The fold that needs no code: JSON Merge Patch (RFC 7396) of each event's data, in order, starting from `{}`. Events
/// whose data are not JSON leave the state as it is. Numbers beyond 64 bits are kept in the log digit by digit, but in a
/// state as the nearest 64-bit float.
#[derive(Clone, Copy, Debug, Default)]
pub struct MergeFold;

impl Fold for MergeFold {
    type State = Value;

    fn name(&self) -> &str {
        "merge"
    }

    fn fingerprint(&self) -> u64 {
        1
    }

    fn start(&self) -> Value {
        Value::Object(serde_json::Map::new())
    }

    fn apply(&self, state: &mut Value, event: &EventRef<'_>) {
        if event.content_type().is_none()
            && let Ok(patch) = serde_json::from_slice(event.data())
        {
            merge_patch(state, patch);
        }
    }

    fn encode(&self, state: &Value) -> Vec<u8> {
        state.to_string().into_bytes()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Value> {
        serde_json::from_slice(bytes).ok()
    }
}

/// RFC 7396, section 2.
fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge_patch(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Or a state would depend on where its keyframes stand.
    #[test]
    fn a_number_is_the_same_after_a_keyframe() {
        for n in 0..10_000_u64 {
            let bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let number = f64::from_bits(bits);
            if number.is_finite() {
                let state = json!({ "n": number });
                assert_eq!(MergeFold.decode(&MergeFold.encode(&state)), Some(state));
            }
        }
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn merge_patch_does_what_its_rfc_says() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut target, patch, expected) in cases {
            merge_patch(&mut target, patch);
            assert_eq!(target, expected);
        }
    }
}
