//! A schema that is compiled, by the crate `jsonschema`.

use std::collections::BTreeSet;

use jsonschema::{Draft, PatternOptions};

use super::{Unusable, Violation, bounds, violation};
use crate::config::declaration::SchemaRef;
use crate::event::excerpt;

/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// The most patterns of a schema.
const MAX_PATTERNS: usize = 64;

/// How many bytes a compiled schema takes for each of its text, about.
const SIZE_FACTOR: usize = 8;

/// The one dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Whether `$schema` names the one dialect, with or without an empty fragment.
fn is_known(dialect: &serde_json::Value) -> bool {
    dialect.as_str().is_some_and(|text| text.trim_end_matches('#') == DIALECT)
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Validator {
    compiled: jsonschema::Validator,
    /// The schema, where it has alternatives: what breaks them isn't asked of the compiled one.
    alternatives: Option<serde_json::Value>,
    size: usize,
}

/// How schemas are compiled.
pub(super) fn options() -> jsonschema::ValidationOptions<'static> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
        .should_validate_formats(true)
}

impl Validator {
    pub(crate) fn compile(schema: &SchemaRef, text: &[u8]) -> Result<Self, Unusable> {
        let parsed = super::as_json_schema(schema, text)?;
        if let Some(dialect) = parsed.get("$schema").filter(|dialect| !is_known(dialect)) {
            let what = format!("the schema is of the dialect {dialect}");
            return Err(Unusable::new(what, format!("{DIALECT:?}, or none")));
        }
        let mut found = BTreeSet::new();
        patterns(&parsed, &mut found);
        if found.len() > MAX_PATTERNS {
            let what = format!("the schema has {} patterns", found.len());
            return Err(Unusable::new(what, format!("at most MAX_PATTERNS = {MAX_PATTERNS}")));
        }
        bounds::check(&parsed)?;
        let compiled = options().build(&parsed).map_err(|error| Unusable {
            what: format!("the schema: {}", excerpt(&error.to_string())),
            expected: "a JSON Schema, draft 2020-12".to_owned(),
            at: error.instance_path().to_string(),
        })?;
        let size = parsed.to_string().len() * SIZE_FACTOR;
        let alternatives = violation::has_alternatives(&parsed).then_some(parsed);
        Ok(Self { compiled, alternatives, size })
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn validate(&self, data: &[u8]) -> Result<(), Violation> {
        let parsed: serde_json::Value = serde_json::from_slice(data).map_err(|error| Violation {
            path: String::new(),
            rule: String::new(),
            found: format!("the data can't be read: {error}"),
        })?;
        match &self.alternatives {
            Some(_) if self.compiled.is_valid(&parsed) => Ok(()),
            Some(schema) => Err(violation::find(schema, &parsed)),
            None => self.compiled.validate(&parsed).map_err(|error| Violation {
                path: error.instance_path().to_string(),
                rule: error.schema_path().to_string(),
                found: excerpt(&error.to_string()),
            }),
        }
    }
}

/// Finds the patterns of a schema.
fn patterns<'s>(schema: &'s serde_json::Value, found: &mut BTreeSet<&'s str>) {
    if let Some(pattern) = schema.get("pattern").and_then(serde_json::Value::as_str) {
        found.insert(pattern);
    }
    if let Some(named) = schema.get("patternProperties").and_then(serde_json::Value::as_object) {
        found.extend(named.keys().map(String::as_str));
    }
    bounds::parts(schema, |_, part| patterns(part, found));
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
        let many: Vec<_> = (0..=MAX_PATTERNS).map(|n| format!("{{\"pattern\": \"a{n}\"}}")).collect();
        let many = many.join(",");
        assert!(compile(&format!("{{\"allOf\": [{many}]}}")).is_err());
        assert!(compile(r#"{"pattern": "(a)\\1"}"#).is_err(), "a pattern with a back-reference may never end");
    }

    /// Data that break a schema of alternatives in every branch at every depth: the search for the place is bounded, and so
    /// is the stack that a validation of the deepest data takes, also on the small thread of a host's runtime.
    #[test]
    fn data_that_mean_harm_cost_no_more_than_others() {
        let ambiguous = r##"{"$defs": {"add": {"type": "object", "properties": {"l": {"anyOf": [
            {"$ref": "#/$defs/add"}, {"$ref": "#/$defs/mul"}, {"type": "integer"}]}}},
            "mul": {"type": "object", "properties": {"l": {"anyOf": [
            {"$ref": "#/$defs/add"}, {"$ref": "#/$defs/mul"}, {"type": "integer"}]}}}}, "$ref": "#/$defs/add"}"##;
        let nested = |leaf: &str, depth: usize| format!("{}{leaf}{}", "{\"l\":".repeat(depth), "}".repeat(depth));
        let run = move || {
            let validator = compile(ambiguous).unwrap();
            assert!(validator.validate(nested("5", 119).as_bytes()).is_ok());
            assert!(validator.validate(nested("\"x\"", 119).as_bytes()).is_err());
            let found = validator.validate(nested("\"x\"", 2).as_bytes()).unwrap_err();
            assert_eq!(found.path, "/l", "{found:?}");
            let wide = format!("{{\"l\": [{}]}}", vec!["\"x\""; 100_000].join(","));
            assert!(validator.validate(wide.as_bytes()).unwrap_err().found.len() < 200);
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
    }

    #[test]
    fn the_deepest_chain_of_references_fits_a_small_stack() {
        let chain: Vec<String> =
            (1..6).map(|n| format!("\"a{n}\": {{\"allOf\": [{{\"$ref\": \"#/$defs/a{}\"}}]}}", n - 1)).collect();
        let text = format!(
            "{{\"$defs\": {{\"a0\": {{\"properties\": {{\"l\": {{\"$ref\": \"#/$defs/a5\"}}}}}}, {}}}, \"$ref\": \"#/$defs/a5\"}}",
            chain.join(",")
        );
        let run = move || {
            let data = format!("{}5{}", "{\"l\":".repeat(119), "}".repeat(119));
            assert!(compile(&text).unwrap().validate(data.as_bytes()).is_ok());
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
    }
}
