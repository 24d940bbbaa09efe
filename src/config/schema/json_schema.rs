//! A schema that is compiled, by the crate `jsonschema`.

use jsonschema::{Draft, PatternOptions};

use super::{Unusable, Violation};
use crate::config::declaration::SchemaRef;
use crate::event::excerpt;

/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// The most patterns of a schema.
const MAX_PATTERNS: usize = 64;

/// The one dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Whether `$schema` names the one dialect, with or without an empty fragment.
fn is_known(dialect: &serde_json::Value) -> bool {
    dialect.as_str().is_some_and(|text| text.trim_end_matches('#') == DIALECT)
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Validator(jsonschema::Validator);

impl Validator {
    pub(crate) fn compile(schema: &SchemaRef, text: &[u8]) -> Result<Self, Unusable> {
        let unusable = |what: String, expected: &str| Unusable { what, expected: expected.to_owned() };
        let parsed = super::as_json_schema(schema, text)?;
        if let Some(dialect) = parsed.get("$schema").filter(|dialect| !is_known(dialect)) {
            return Err(unusable(format!("the schema is of the dialect {dialect}"), &format!("{DIALECT:?}, or none")));
        }
        let patterns = patterns(&parsed);
        if patterns > MAX_PATTERNS {
            let what = format!("the schema has {patterns} patterns");
            return Err(unusable(what, &format!("at most MAX_PATTERNS = {MAX_PATTERNS}")));
        }
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

/// How many patterns a schema has, at most.
fn patterns(schema: &serde_json::Value) -> usize {
    match schema {
        serde_json::Value::Object(entries) => {
            let own = |(key, value): (&String, &serde_json::Value)| match (key.as_str(), value) {
                ("patternProperties", serde_json::Value::Object(patterns)) => patterns.len(),
                ("pattern", _) => 1,
                _ => 0,
            };
            entries.iter().map(own).sum::<usize>() + entries.values().map(patterns).sum::<usize>()
        }
        serde_json::Value::Array(items) => items.iter().map(patterns).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::declaration::SchemaFormat;
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
        assert!(compile(&format!("{{\"$schema\": \"{DIALECT}\"}}")).is_ok());
        assert!(compile(r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#).is_err());
        let many = vec![r#"{"pattern": "a"}"#; MAX_PATTERNS + 1].join(",");
        assert!(compile(&format!("{{\"allOf\": [{many}]}}")).is_err());
        assert!(compile(r#"{"pattern": "(a)\\1"}"#).is_err(), "a pattern with a back-reference may never end");
    }
}
