//! JSON Schemas of the files of a tree, so that editors complete and check them. Made from the same names, defaults and
//! limits that the readers use.

use serde_json::{Value, json};

use super::constants::MAX_CONSTANTS;
use super::document::{DEFAULT_WEIGHT, MAX_HANDLERS, QueueOptions, Retry};
use super::http_target::{HEADERS_OF_ATLAS, HttpAnswer, HttpFormat, MAX_HEADER_LEN, MAX_HTTP_HEADERS, MAX_URL_LEN};
use super::parse_document::MAX_FUNCTION_LEN;

/// A file of a tree that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeFileKind {
    /// The document of an event type.
    Document,
    /// `types.json`.
    Types,
    /// `queues.json`.
    Queues,
    /// `constants.json`.
    Constants,
    /// `schedules.json`.
    Schedules,
    /// `tree.json`.
    Tree,
}

impl TreeFileKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Document, Self::Types, Self::Queues, Self::Constants, Self::Schedules, Self::Tree];

    /// Its name: `document`, or the file's without `.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Types => "types",
            Self::Queues => "queues",
            Self::Constants => "constants",
            Self::Schedules => "schedules",
            Self::Tree => "tree",
        }
    }

    /// Its JSON Schema, draft 2020-12. What depends on other files (the name of a queue, a constant) and what jq accepts
    /// is beyond it; `check` finds that.
    pub fn schema(self) -> Value {
        let mut schema = match self {
            Self::Document => document(),
            Self::Types => types(),
            Self::Queues => queues(),
            Self::Constants => constants(),
            Self::Schedules => schedules(),
            Self::Tree => tree(),
        };
        if let Value::Object(entries) = &mut schema {
            entries.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        }
        schema
    }
}

fn name(what: &str) -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$", "description": what })
}

fn event_type() -> Value {
    json!({ "type": "string", "pattern": "^[A-Z0-9]+_[A-Z0-9]+_[A-Z0-9]+_[A-Z0-9]+_[1-9][0-9]*$",
        "description": "TYPE_FLOW_OPERATION_RESULT_VERSION" })
}

fn duration(what: &str, default: &str) -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "default": default, "description": what })
}

fn document() -> Value {
    let retry = Retry::default();
    json!({
        "title": "The document of an event type",
        "type": "object",
        "required": ["handlers"],
        "additionalProperties": false,
        "properties": {
            "description": { "type": "string", "description": "What the event means, for people." },
            "handlers": {
                "type": "array",
                "maxItems": MAX_HANDLERS,
                "description": "Who handles events of this type. [] says that nothing does.",
                "items": {
                    "type": "object",
                    "required": ["name", "target"],
                    "additionalProperties": false,
                    "properties": {
                        "name": name("Identifies the handler in the scope, across types and revisions."),
                        "weight": { "type": "integer", "default": DEFAULT_WEIGHT, "description": "Lower first; ties by name." },
                        "when": { "type": "string", "description": "Guard, in jq over the envelope: the first output counts." },
                        "data": { "type": "string", "description": "Transform, in jq over the envelope: each output is one call." },
                        "target": {
                            "type": "object",
                            "minProperties": 1,
                            "maxProperties": 1,
                            "additionalProperties": false,
                            "properties": {
                                "function": { "type": "string", "minLength": 1, "maxLength": MAX_FUNCTION_LEN,
                                    "pattern": "^[^\\s]+$", "description": "A function that the host registers." },
                                "queue": name("A queue of queues.json."),
                                "http": { "description": "An endpoint that is called by POST.",
                                    "anyOf": [url(), http()] },
                            },
                        },
                        "retry": {
                            "type": "object",
                            "additionalProperties": false,
                            "properties": {
                                "attempts": { "type": "integer", "minimum": 1, "maximum": Retry::MAX_ATTEMPTS,
                                    "default": retry.attempts, "description": "How many attempts at most." },
                                "initial": duration("The wait before the second attempt.", "200ms"),
                                "multiplier": { "type": "number", "minimum": 1, "maximum": Retry::MAX_MULTIPLIER,
                                    "default": retry.multiplier, "description": "By what each further wait grows." },
                                "max": duration("The longest wait.", "30s"),
                                "jitter": { "type": "number", "minimum": 0, "maximum": 1, "default": 0.2,
                                    "description": "By which part of it, at most, each wait is shortened by chance." },
                            },
                        },
                        "timeout": duration("How long one attempt may take.", "30s"),
                        "stop_on_failure": { "type": "boolean", "default": false,
                            "description": "Whether later handlers wait for this one's success." },
                        "out_of_attempts": { "enum": ["park", "fail"], "default": "park",
                            "description": "park: wait for an operator. fail: Complete, Failure, go on." },
                    },
                },
            },
        },
    })
}

fn url() -> Value {
    json!({ "type": "string", "maxLength": MAX_URL_LEN,
        "pattern": "^https?://(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)(:[1-9][0-9]{0,4})?([/?][!$-;=?-\\[\\]_a-z~]*)?$",
        "description": "http or https, without user info and fragment." })
}

fn http() -> Value {
    let words = |all: [&'static str; 3], what: &str| json!({ "enum": all, "default": all[0], "description": what });
    // JSON Schema knows no case-insensitive patterns.
    let of_atlas = |name: &str| -> String {
        let letter = |c: char| match c {
            'a'..='z' => format!("[{}{c}]", c.to_ascii_uppercase()),
            other => other.to_string(),
        };
        name.chars().map(letter).collect()
    };
    let of_atlas: Vec<String> = HEADERS_OF_ATLAS.iter().map(|name| format!("{}$", of_atlas(name))).collect();
    json!({
        "type": "object",
        "required": ["url"],
        "additionalProperties": false,
        "properties": {
            "url": url(),
            "format": words(HttpFormat::ALL.map(|(word, _)| word),
                "What is sent: the data, or a CloudEvent 1.0 in structured or binary mode."),
            "headers": {
                "type": "object",
                "maxProperties": MAX_HTTP_HEADERS,
                "propertyNames": { "maxLength": MAX_HEADER_LEN, "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
                    "not": { "pattern": format!("^([Cc][Ee]-|{})", of_atlas.join("|")) } },
                "additionalProperties": { "type": "string", "maxLength": MAX_HEADER_LEN,
                    "pattern": "^[!-~]([ -~]*[!-~])?$" },
                "description": "Further headers. They stand in the tree as they are: no place for secrets that the tree's readers mustn't see.",
            },
            "answer": words(HttpAnswer::ALL.map(|(word, _)| word),
                "What the body of a 2xx answer is: nothing that counts, the output, or events that the call emits."),
        },
    })
}

fn types() -> Value {
    json!({
        "title": "types.json: event types to declare",
        "type": "array",
        "items": { "anyOf": [event_type(), {
            "type": "object",
            "required": ["type"],
            "additionalProperties": false,
            "properties": {
                "type": event_type(),
                "description": { "type": "string", "description": "What the type means, for people." },
                "schema": schema("the data"),
                "upcast": { "description": "How data of the version before become data of this one: jq, or a function of the host.",
                    "anyOf": [{ "type": "string" }, { "type": "object", "required": ["function"],
                        "additionalProperties": false, "properties": { "function": { "type": "string" } } }] },
            },
        }] },
    })
}

fn schema(of: &str) -> Value {
    let description = format!("A JSON Schema of {of}, or a file of schemas/ that holds it.");
    json!({ "type": ["object", "boolean", "string"], "description": description })
}

fn queues() -> Value {
    json!({
        "title": "queues.json: the queues of the scope",
        "type": "object",
        "propertyNames": name("A queue."),
        "additionalProperties": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "max_depth": { "type": "integer", "minimum": 1,
                    "description": "The most messages that the queue may hold. Without it there is no limit." },
                "max_receives": { "type": "integer", "minimum": 1, "maximum": QueueOptions::MAX_RECEIVES,
                    "description": "How often a message may be taken; then it is a dead letter. Without it there is no limit." },
                "ordered": { "type": "boolean", "default": false,
                    "description": "Whether messages of one stream are given out in order, one at a time." },
                "groups": { "type": "array", "maxItems": QueueOptions::MAX_GROUPS, "uniqueItems": true,
                    "items": name("A consumer group."),
                    "description": "Each group gets each message for itself. Without it there is one group, without a name." },
                "ingest": { "type": "boolean", "default": false,
                    "description": "Whether it is an input queue: its messages are events, which come in." },
                "schema": schema("its messages"),
            },
            "not": { "required": ["ingest", "groups"], "properties": { "ingest": { "const": true } } },
        },
    })
}

fn constants() -> Value {
    json!({
        "title": "constants.json: what $const is in guards and transforms",
        "type": "object",
        "maxProperties": MAX_CONSTANTS,
        "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$" },
    })
}

fn schedules() -> Value {
    let scope = json!({ "type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}/[A-Za-z0-9.-]{1,64}$" });
    json!({
        "title": "schedules.json: events that come in by the calendar",
        "type": "object",
        "propertyNames": name("A schedule."),
        "additionalProperties": {
            "type": "object",
            "additionalProperties": false,
            "required": ["cron", "type", "stream"],
            "properties": {
                "cron": { "type": "string",
                    "description": "Minute, hour, day of the month, month and day of the week, such as 30 2 * * MON." },
                "time_zone": { "type": "string", "default": "UTC",
                    "description": "An IANA name, such as Europe/Amsterdam." },
                "type": event_type(),
                "stream": { "type": "string", "minLength": 1, "maxLength": 255,
                    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" },
                "data": { "default": {}, "description": "The event's data." },
                "missed": { "enum": ["once", "skip"], "default": "once",
                    "description": "What was due while nobody served the store: the first of it comes in, or none." },
                "scopes": { "type": "array", "items": scope,
                    "description": "Of a default tree: the scopes that the schedule holds for." },
            },
        },
    })
}

fn tree() -> Value {
    json!({
        "title": "tree.json: the tree as a whole",
        "type": "object",
        "additionalProperties": false,
        "dependentRequired": { "remove": ["extends"] },
        "properties": {
            "extends": { "type": "string", "pattern": "^(_|[A-Za-z0-9.-]{1,64})(/[A-Za-z0-9.-]{1,64}){1,2}$",
                "description": "The tree that this one takes from what it doesn't say itself, such as _/loans." },
            "remove": { "type": "array", "items": event_type(), "uniqueItems": true,
                "description": "Types of that tree which this one has no document for." },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schemas_are_these() {
        for kind in TreeFileKind::ALL {
            let path = format!("{}/docs/schemas/{}.json", env!("CARGO_MANIFEST_DIR"), kind.name());
            let written = format!("{:#}\n", kind.schema());
            if std::env::var_os("ATLAS_WRITE_SCHEMAS").is_some() {
                std::fs::write(&path, &written).unwrap();
            }
            let published = std::fs::read_to_string(&path).unwrap();
            assert_eq!(published, written, "{path}; write it with ATLAS_WRITE_SCHEMAS=1");
        }
    }

    /// An editor accepts what an import accepts, and marks what it refuses for its form.
    #[test]
    #[cfg(feature = "schema")]
    fn editors_see_what_an_import_sees() {
        use crate::config::schema_refs::{Files, SchemaRefs};
        use crate::config::{parse_document, root_files, schedules, types_file};
        let editor = |kind: TreeFileKind| jsonschema::draft202012::new(&kind.schema()).unwrap();
        let handler = |more: &str| format!(r#"{{"handlers": [{{"name": "h", "target": {{"queue": "mail"}}{more}}}]}}"#);
        let mut documents = vec![
            r#"{"handlers": []}"#.to_owned(),
            r#"{"handlers": [], "description": "d"}"#.to_owned(),
            "{}".to_owned(),
            "[]".to_owned(),
            r#"{"handlers": [], "handelrs": []}"#.to_owned(),
            r#"{"handlers": [{"name": "h"}]}"#.to_owned(),
            r#"{"handlers": [{"name": "a b", "target": {"queue": "mail"}}]}"#.to_owned(),
            r#"{"handlers": [{"name": "h", "target": {}}]}"#.to_owned(),
            r#"{"handlers": [{"name": "h", "target": {"function": "f", "queue": "q"}}]}"#.to_owned(),
            r#"{"handlers": [{"name": "h", "target": {"function": "a b"}}]}"#.to_owned(),
        ];
        documents.extend(
            [
                "",
                r#", "weight": -5, "when": ".a", "data": ".b""#,
                r#", "weight": 1.5"#,
                r#", "retry": {"attempts": 5, "initial": "1ms", "multiplier": 2.5, "max": "1h", "jitter": 0}"#,
                r#", "retry": {"attempts": 0}"#,
                r#", "retry": {"multiplier": 0.5}"#,
                r#", "retry": {"max": "5 s"}"#,
                r#", "retry": {"jitter": 1.5}"#,
                r#", "timeout": "5m""#,
                r#", "timeout": 5"#,
                r#", "stop_on_failure": true, "out_of_attempts": "fail""#,
                r#", "out_of_attempts": "stop""#,
                r#", "wait": 1"#,
            ]
            .map(handler),
        );
        let http = |http: &str| format!(r#"{{"handlers": [{{"name": "h", "target": {{"http": {http}}}}}]}}"#);
        documents.extend(
            [
                r#""https://a""#,
                r#""http://a.b:80/c?d=e""#,
                r#""https://[::1]/""#,
                r#""ftp://a""#,
                r#""https://me@a/""#,
                r#""https://a/#b""#,
                r#""https://a/<b>""#,
                r#""https://""#,
                "{}",
                "1",
                r#"{"url": "https://a", "format": "cloudevents", "answer": "output", "headers": {"X-A": "b c"}}"#,
                r#"{"url": "https://a", "format": "cloudevents-binary", "answer": "events"}"#,
                r#"{"url": "https://a", "format": "xml"}"#,
                r#"{"url": "https://a", "answer": "all"}"#,
                r#"{"url": "https://a", "headers": {"Host": "b"}}"#,
                r#"{"url": "https://a", "headers": {"X-Host": "b"}}"#,
                r#"{"url": "https://a", "headers": {"cE-id": "b"}}"#,
                r#"{"url": "https://a", "headers": {"a b": "b"}}"#,
                r#"{"url": "https://a", "headers": {"a": " b"}}"#,
                r#"{"url": "https://a", "method": "PUT"}"#,
            ]
            .map(http),
        );
        let agree = |kind: TreeFileKind, text: &str, accepted: bool| {
            let parsed = serde_json::from_str(text).unwrap();
            assert_eq!(editor(kind).is_valid(&parsed), accepted, "{}: {text}", kind.name());
        };
        for text in &documents {
            agree(TreeFileKind::Document, text, parse_document::parse("f", text.as_bytes()).is_ok());
        }
        for text in [
            "{}",
            r#"{"a": {}}"#,
            r#"{"a": {"max_depth": 0}}"#,
            r#"{"a b": {}}"#,
            "[]",
            r#"{"a": 1}"#,
            r#"{"a": {"max_receives": 1000, "ordered": true, "groups": ["x", "y"]}}"#,
            r#"{"a": {"max_receives": 1001}}"#,
            r#"{"a": {"max_receives": 0}}"#,
            r#"{"a": {"ordered": "yes"}}"#,
            r#"{"a": {"groups": ["x", "x"]}}"#,
            r#"{"a": {"groups": ["x y"]}}"#,
            r#"{"a": {"groups": []}}"#,
            r#"{"a": {"ingest": true, "ordered": true}}"#,
            r#"{"a": {"ingest": false, "groups": ["x"]}}"#,
            r#"{"a": {"ingest": true, "groups": ["x"]}}"#,
            r#"{"a": {"ingest": 1}}"#,
            r#"{"a": {"schema": 1}}"#,
        ] {
            let files = Files::new();
            let read = root_files::queues("f", text.as_bytes(), &mut SchemaRefs::new(&files, false));
            agree(TreeFileKind::Queues, text, read.whole().is_ok());
        }
        for text in ["{}", r#"{"a": [1]}"#, r#"{"a-b": 1}"#, r#"{"1": 1}"#, "[]"] {
            agree(TreeFileKind::Constants, text, root_files::constants("f", text.as_bytes()).whole().is_ok());
        }
        for text in [
            "{}",
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": "s"}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": "s", "time_zone": "UTC", "data": [1],
                "missed": "skip", "scopes": ["a/b"]}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1"}}"#,
            r#"{"a": {"cron": 1, "type": "A_B_C_D_1", "stream": "s"}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B", "stream": "s"}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": ""}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": "\u0001"}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": "s", "missed": "all"}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": "s", "scopes": ["a"]}}"#,
            r#"{"a": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": "s", "every": "1h"}}"#,
            r#"{"a b": {"cron": "30 2 * * *", "type": "A_B_C_D_1", "stream": "s"}}"#,
            r#"{"a": 1}"#,
            "[]",
        ] {
            agree(TreeFileKind::Schedules, text, schedules::schedules("f", text.as_bytes()).whole().is_ok());
        }
        for text in [
            "{}",
            r#"{"extends": "_/loans", "remove": ["A_B_C_D_1"]}"#,
            r#"{"extends": "loans"}"#,
            r#"{"remove": []}"#,
            r#"{"extends": "a/b/c", "remove": ["a"]}"#,
        ] {
            agree(TreeFileKind::Tree, text, root_files::tree("f", text.as_bytes()).whole().is_ok());
        }
        for text in [
            "[]",
            r#"["A_B_C_D_1", {"type": "A_B_C_D_2", "description": "d", "schema": {}, "upcast": ".data"}]"#,
            r#"["A_B_C_D"]"#,
            r#"[{"description": "d"}]"#,
            r#"[{"type": "A_B_C_D_2", "upcast": {}}]"#,
            r#"[{"type": "A_B_C_D_2", "schema": 1}]"#,
        ] {
            let read = types_file::read("f", text.as_bytes(), &Files::new(), types_file::Reading::Declare);
            agree(TreeFileKind::Types, text, read.is_ok());
        }
    }
}
