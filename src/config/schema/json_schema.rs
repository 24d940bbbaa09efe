//! JSON Schema, by the crate `jsonschema`.

use jsonschema::{Draft, PatternOptions};

use super::{Unusable, Violation};
use crate::config::declaration::{SchemaFormat, SchemaRef};
use crate::event::excerpt;

/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Validator(jsonschema::Validator);

impl Validator {
    pub(crate) fn compile(schema: &SchemaRef, text: &[u8]) -> Result<Self, Unusable> {
        let unusable = |what: String, expected: &str| Unusable { what, expected: expected.to_owned() };
        if schema.format == SchemaFormat::Avro {
            return Err(unusable("Avro schemas are not supported yet".to_owned(), "a JSON Schema"));
        }
        let parsed: serde_json::Value = serde_json::from_slice(text)
            .map_err(|error| unusable(format!("the schema is no JSON: {error}"), "a JSON Schema"))?;
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
            .should_validate_formats(true);
        let built = options.build(&parsed).map_err(|error| {
            let at = error.instance_path().to_string();
            let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
            unusable(format!("the schema{at}: {}", excerpt(&error.to_string())), "a JSON Schema, draft 2020-12")
        })?;
        Ok(Self(built))
    }

    pub(crate) fn validate(&self, data: &[u8]) -> Result<(), Violation> {
        let parsed: serde_json::Value = serde_json::from_slice(data).map_err(|error| Violation {
            path: String::new(),
            rule: String::new(),
            found: format!("the data are no JSON: {error}"),
        })?;
        self.0.validate(&parsed).map_err(|error| Violation {
            path: error.instance_path().to_string(),
            rule: error.schema_path().to_string(),
            found: excerpt(&error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::DocumentId;

    fn compile(text: &str) -> Result<Validator, Unusable> {
        let schema =
            SchemaRef { format: SchemaFormat::JsonSchema, document: DocumentId::of(text.as_bytes()), name: None };
        Validator::compile(&schema, text.as_bytes())
    }

    #[test]
    fn a_violation_says_where_which_rule_and_what_was_found() {
        let schema = r#"{"type": "object", "properties": {"amount": {"type": "number", "minimum": 0}}}"#;
        let validator = compile(schema).unwrap();
        assert!(validator.validate(br#"{"amount": 5}"#).is_ok());
        let violation = validator.validate(br#"{"amount": -5}"#).unwrap_err();
        assert_eq!((violation.path.as_str(), violation.rule.as_str()), ("/amount", "/properties/amount/minimum"));
        assert!(violation.found.contains("-5"), "{violation:?}");
        assert!(validator.validate(b"{").is_err());
    }

    #[test]
    fn what_is_no_schema_or_reaches_outside_is_refused() {
        for bad in
            ["{\"type\": \"objekt\"}", "[", "{\"$ref\": \"https://example.com/a.json\"}", "{\"$ref\": \"#/none\"}"]
        {
            assert!(compile(bad).is_err(), "{bad}");
        }
        assert!(compile(r#"{"pattern": "(a)\\1"}"#).is_err(), "a pattern with a back-reference may never end");
    }
}
