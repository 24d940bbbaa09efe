//! Without the feature `avro`, no Avro schema can be used.

use serde_json::Value;

use super::Unusable;

pub(super) fn as_json_schema(_: &[u8], _: Option<&str>) -> Result<Value, Unusable> {
    let what = "Avro schemas are not in this build of Atlas".to_owned();
    Err(Unusable { what, expected: "the crate's feature `avro`, or a JSON Schema".to_owned() })
}
