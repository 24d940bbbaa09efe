//! Reading a document: every fault in it with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::constants::Constants;
use super::document::{
    DEFAULT_TIMEOUT, DEFAULT_WEIGHT, Document, HandlerSpec, MAX_HANDLERS, OutOfAttempts, QueueOptions, Retry, Target,
};
use super::fault::{ExpressionCheck, Fault};
use super::http_target;
use super::json::{Node, Source, Value};
use super::nearest::nearest;
use super::read::{
    array, boolean, duration, integer, name, number, object, object_of, string, unsupported, wrong_kind,
};
use crate::event::{Name, excerpt};

const DOCUMENT_KEYS: [&str; 2] = ["description", "handlers"];
const HANDLER_KEYS: [&str; 9] =
    ["name", "weight", "when", "data", "target", "retry", "timeout", "stop_on_failure", "out_of_attempts"];
const TARGET_KEYS: [&str; 4] = ["function", "queue", "http", "command"];
const RETRY_KEYS: [&str; 5] = ["attempts", "initial", "multiplier", "max", "jitter"];
/// The longest name of a function, in bytes.
pub(super) const MAX_FUNCTION_LEN: usize = 255;

/// What a document is checked against.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) expressions: ExpressionCheck,
    /// The tree's queues; `None` where they aren't known.
    pub(super) queues: Option<&'a BTreeMap<Name, QueueOptions>>,
    /// The host's functions; `None` where there is no host.
    pub(super) functions: Option<&'a BTreeSet<String>>,
    /// The tree's constants; `None` where they aren't known.
    pub(super) constants: Option<&'a Constants>,
}

/// Reads a document and checks it against its surroundings.
pub(super) fn check(file: &str, bytes: &[u8], surroundings: Surroundings<'_>) -> Result<Document, Vec<Fault>> {
    read(file, bytes, Some(surroundings))
}

/// Reads a document that was checked when it was imported.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Document, Vec<Fault>> {
    read(file, bytes, None)
}

fn read(file: &str, bytes: &[u8], surroundings: Option<Surroundings<'_>>) -> Result<Document, Vec<Fault>> {
    let mut source = Source::new(file, bytes).map_err(|fault| vec![fault])?;
    let document = source.parse().and_then(|node| Reader { source: &mut source, surroundings }.document(&node));
    match document {
        Some(document) if source.faults.is_empty() => Ok(document),
        _ => Err(source.faults),
    }
}

/// The line that each handler of a document begins on, in the order of the file; nothing of what is no document.
pub(super) fn handler_lines(bytes: &[u8]) -> Vec<u32> {
    let Ok(mut source) = Source::new("document", bytes) else { return Vec::new() };
    let Some(Node { value: Value::Object(entries), .. }) = source.parse() else { return Vec::new() };
    let handlers = entries.iter().find(|(key, _)| key.text == "handlers");
    let Some((_, Node { value: Value::Array(handlers), .. })) = handlers else { return Vec::new() };
    handlers.iter().map(|handler| source.fault_at(handler.offset, "", "").line).collect()
}

struct Reader<'r, 'a> {
    source: &'r mut Source<'a>,
    surroundings: Option<Surroundings<'r>>,
}

impl Reader<'_, '_> {
    fn document(&mut self, node: &Node) -> Option<Document> {
        let entries = object(self.source, node, "the document", &DOCUMENT_KEYS)?;
        let description = entries.get("description").and_then(|node| self.text(node, "description"));
        let Some(handlers) = entries.get("handlers") else {
            let expected = "\"handlers\": [...]; [] says that nothing handles this type";
            self.source.fault(node.offset, "the key \"handlers\" is missing", expected);
            return None;
        };
        let items = array(self.source, handlers, "handlers")?;
        if items.len() > MAX_HANDLERS {
            let what = format!("the document has {} handlers", items.len());
            self.source.fault(handlers.offset, what, format!("at most MAX_HANDLERS = {MAX_HANDLERS}"));
            return None;
        }
        let mut names = BTreeSet::new();
        let mut specs = Vec::with_capacity(items.len());
        for item in items {
            specs.extend(self.handler(item, &mut names));
        }
        Some(Document { description, handlers: specs })
    }

    fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        string(self.source, node, what).map(str::to_owned)
    }

    /// A handler; `names` are those of the document so far.
    fn handler(&mut self, node: &Node, names: &mut BTreeSet<Name>) -> Option<HandlerSpec> {
        let entries = object(self.source, node, "a handler", &HANDLER_KEYS)?;
        for key in ["name", "target"] {
            if entries.get(key).is_none() {
                let expected = match key {
                    "name" => "\"name\": a name of its own in this document",
                    _ => "\"target\": {\"function\": ...}, {\"queue\": ...} or {\"http\": ...}",
                };
                self.source.fault(node.offset, format!("the key {key:?} of a handler is missing"), expected);
            }
        }
        let named = entries.get("name").and_then(|node| {
            let text = string(self.source, node, "name")?;
            let name = name(self.source, node.offset, "handler", text)?;
            if !names.insert(name.clone()) {
                let what = format!("the handler name {:?} stands twice in this document", name.as_str());
                self.source.fault(node.offset, what, "each name once");
            }
            Some(name)
        });
        let weight = entries.get("weight").and_then(|n| integer(self.source, n, "weight", i64::MIN..=i64::MAX));
        let when = entries.get("when").and_then(|node| self.expression(node, "when"));
        let data = entries.get("data").and_then(|node| self.expression(node, "data"));
        let target = entries.get("target").and_then(|node| self.target(node));
        let retry = entries.get("retry").and_then(|node| self.retry(node));
        let timeout = entries.get("timeout").and_then(|node| self.timeout(node));
        let stop = entries.get("stop_on_failure").and_then(|n| boolean(self.source, n, "stop_on_failure"));
        let out_of_attempts = entries.get("out_of_attempts").and_then(|node| self.out_of_attempts(node));
        let spec = HandlerSpec {
            name: named?,
            weight: weight.unwrap_or(DEFAULT_WEIGHT),
            when,
            data,
            target: target?,
            retry: retry.unwrap_or_default(),
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            stop_on_failure: stop.unwrap_or_default(),
            out_of_attempts: out_of_attempts.unwrap_or_default(),
        };
        Some(spec)
    }

    /// A guard or a transform; a fault in it has its place in this file.
    fn expression(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = string(self.source, node, key)?;
        let checked = self.surroundings.map(|around| (around.expressions)(text, around.constants));
        if let Some(Err(fault)) = checked {
            let offset = self.source.inside_string(node.offset, fault.offset);
            self.source.fault(offset, format!("{key}: {}", fault.what), fault.expected);
        }
        Some(text.to_owned())
    }

    fn target(&mut self, node: &Node) -> Option<Target> {
        let expected = "function, queue or http (command is not supported yet)";
        let entries = object_of(self.source, node, "target", &TARGET_KEYS, expected)?;
        let [(key, value)] = entries.0 else {
            let what = format!("target has {} keys", entries.0.len());
            self.source.fault(node.offset, what, "exactly one of function, queue or http");
            return None;
        };
        match key.text.as_str() {
            "function" => self.function(value),
            "queue" => self.queue(value),
            "http" => http_target::read(self.source, value).map(Target::Http),
            "command" => {
                unsupported(self.source, key.offset, &format!("the target {:?}", key.text));
                None
            }
            _ => None,
        }
    }

    fn function(&mut self, node: &Node) -> Option<Target> {
        let text = string(self.source, node, "function")?;
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if text.is_empty() || text.len() > MAX_FUNCTION_LEN || text.contains(odd) {
            let what = format!("the function {:?} is not a name", excerpt(text));
            self.source.fault(node.offset, what, "1 to 255 bytes without spaces, such as \"scoring.score\"");
            return None;
        }
        if let Some(functions) = self.surroundings.and_then(|surroundings| surroundings.functions)
            && !functions.contains(text)
        {
            let expected = match nearest(text, functions.iter().map(String::as_str)) {
                Some(near) => format!("a function that the host registers (did you mean {near:?}?)"),
                None => "a function that the host registers".to_owned(),
            };
            self.source.fault(node.offset, format!("unknown function {text:?}"), expected);
        }
        Some(Target::Function(text.to_owned()))
    }

    fn queue(&mut self, node: &Node) -> Option<Target> {
        let text = string(self.source, node, "queue")?;
        let queue = name(self.source, node.offset, "queue", text)?;
        if let Some(queues) = self.surroundings.and_then(|surroundings| surroundings.queues)
            && !queues.contains_key(&queue)
        {
            let expected = match nearest(text, queues.keys().map(Name::as_str)) {
                Some(near) => format!("a queue of queues.json (did you mean {near:?}?)"),
                None => "a queue of queues.json".to_owned(),
            };
            self.source.fault(node.offset, format!("unknown queue {text:?}"), expected);
        }
        Some(Target::Queue(queue))
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let entries = object(self.source, node, "retry", &RETRY_KEYS)?;
        let mut retry = Retry::default();
        let attempts = 1..=i64::from(Retry::MAX_ATTEMPTS);
        if let Some(n) = entries.get("attempts").and_then(|n| integer(self.source, n, "attempts", attempts)) {
            retry.attempts = u32::try_from(n).unwrap_or(retry.attempts);
        }
        if let Some(initial) = entries.get("initial").and_then(|n| duration(self.source, n, "initial")) {
            retry.initial = initial;
        }
        let multiplier = 1.0..=Retry::MAX_MULTIPLIER;
        if let Some(by) = entries.get("multiplier").and_then(|n| number(self.source, n, "multiplier", multiplier)) {
            retry.multiplier = by;
        }
        if let Some(jitter) = entries.get("jitter").and_then(|n| number(self.source, n, "jitter", 0.0..=1.0)) {
            retry.jitter = jitter;
        }
        if let Some(max) = entries.get("max").and_then(|n| duration(self.source, n, "max")) {
            retry.max = max;
        }
        if retry.initial > retry.max {
            let what = "retry: initial is longer than max";
            self.source.fault(node.offset, what, "initial of at most max (default 30s)");
        }
        Some(retry)
    }

    fn timeout(&mut self, node: &Node) -> Option<Duration> {
        let timeout = duration(self.source, node, "timeout")?;
        if timeout.is_zero() {
            self.source.fault(node.offset, "timeout is 0", "a duration longer than that");
        }
        Some(timeout)
    }

    fn out_of_attempts(&mut self, node: &Node) -> Option<OutOfAttempts> {
        match &node.value {
            Value::String(text) if text == "park" => Some(OutOfAttempts::Park),
            Value::String(text) if text == "fail" => Some(OutOfAttempts::Fail),
            Value::String(text) => {
                let what = format!("out_of_attempts is {:?}", excerpt(text));
                self.source.fault(node.offset, what, "\"park\" or \"fail\"");
                None
            }
            _ => {
                wrong_kind(self.source, node, "out_of_attempts", "\"park\" or \"fail\"");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault::ExpressionFault;
    use proptest::prelude::*;

    fn expressions(source: &str, _: Option<&Constants>) -> Result<(), ExpressionFault> {
        match source.find('!') {
            Some(offset) => Err(ExpressionFault { offset, what: "a !".into(), expected: "none".into() }),
            None => Ok(()),
        }
    }

    fn faults(text: &str) -> Vec<String> {
        let queues = BTreeMap::from([(Name::parse("queue", "mail").unwrap(), QueueOptions::default())]);
        let functions = BTreeSet::from(["scoring.score".to_owned()]);
        let surroundings =
            Surroundings { expressions, queues: Some(&queues), functions: Some(&functions), constants: None };
        match check("f.json", text.as_bytes(), surroundings) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn defaults_are_those_of_the_guide() {
        let short = br#"{"handlers":[{"name":"tell","target":{"queue":"mail"}}]}"#;
        let full = br#"{"handlers":[{"name":"tell","weight":100,"target":{"queue":"mail"},
            "retry":{"attempts":5,"initial":"200ms","multiplier":2.0,"max":"30s"},
            "timeout":"30s","stop_on_failure":false,"out_of_attempts":"park"}]}"#;
        assert_eq!(parse("a", short).unwrap(), parse("b", full).unwrap());
    }

    #[test]
    fn all_faults_at_once_each_with_its_place() {
        let text = r#"{
  "descripton": "x",
  "handlers": [
    {"name": "a b", "target": {"queue": "mial"}},
    {"name": "s", "wieght": 1, "when": "1 \n!", "target": {"function": "scoring.scor"}},
    {"name": "s", "weight": 1.5, "target": {"http": {}}, "timeout": "30", "retry": {"attempts": 0, "max": "1ms"}},
    {"weight": "x", "target": {}, "stop_on_failure": 1, "out_of_attempts": "stop", "timeout": "0s"},
    {"name": "s", "target": {"queue": "mail", "function": "scoring.score"}, "retry": {"multiplier": 0.5}},
    {"name": "t", "target": {"queue": "mail"}},
    {"name": "t", "target": {"queue": "mail"}}, 7
  ]
}"#;
        let faults = faults(text);
        for expected in [
            "f.json:2:3: unknown key \"descripton\" in the document; expected one of description, handlers (did you mean \"description\"?)",
            "f.json:4:14: handler \"a b\" is not a name; expected 1 to 64 characters of A-Z a-z 0-9 . -",
            "f.json:4:41: unknown queue \"mial\"; expected a queue of queues.json (did you mean \"mail\"?)",
            "f.json:5:19: unknown key \"wieght\" in a handler",
            "f.json:5:45: when: a !; expected none",
            "f.json:5:72: unknown function \"scoring.scor\"; expected a function that the host registers (did you mean \"scoring.score\"?)",
            "f.json:6:29: weight is 1.5; expected a whole number of 64 bits",
            "f.json:6:53: the key \"url\" of http is missing; expected \"url\": \"https://...\"",
            "f.json:6:69: timeout is \"30\", which is no duration",
            "f.json:6:97: attempts is 0; expected a whole number from 1 to 1000",
            "f.json:6:84: retry: initial is longer than max",
            "f.json:7:5: the key \"name\" of a handler is missing",
            "f.json:7:16: weight is a string",
            "f.json:7:31: target has 0 keys; expected exactly one of function, queue or http",
            "f.json:7:54: stop_on_failure is a number; expected true or false",
            "f.json:7:76: out_of_attempts is \"stop\"; expected \"park\" or \"fail\"",
            "f.json:7:95: timeout is 0",
            "f.json:8:29: target has 2 keys",
            "f.json:8:101: multiplier is 0.5; expected a number from 1 to 100",
            "f.json:6:14: the handler name \"s\" stands twice",
            "f.json:8:14: the handler name \"s\" stands twice",
            "f.json:10:14: the handler name \"t\" stands twice",
            "f.json:10:49: a handler is a number; expected an object",
        ] {
            assert!(
                faults.iter().any(|fault| fault.starts_with(expected)),
                "{expected}\nnot in\n{}",
                faults.join("\n")
            );
        }
        assert_eq!(faults.len(), 23, "{}", faults.join("\n"));
    }

    #[test]
    fn handlers_are_required() {
        assert!(faults("{}")[0].contains("\"handlers\" is missing"));
        assert!(faults("[]")[0].contains("the document is an array; expected an object"));
        assert!(faults(r#"{"handlers": null}"#)[0].contains("handlers is null; expected an array"));
        assert!(faults(r#"{"handlers": []}"#).is_empty());
        assert!(faults(r#"{"handlers": [], "handlers": []}"#)[0].contains("stands twice"));
        let many = format!("{{\"handlers\": [{}]}}", vec!["1"; 300].join(","));
        assert!(faults(&many)[0].contains("MAX_HANDLERS"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse("f", &bytes);
        }

        #[test]
        fn no_json_of_the_right_words_panics(words in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ":", ",", "\"handlers\"", "\"name\"", "\"target\"", "\"queue\"", "\"mail\"", "\"retry\"",
            "\"when\"", "1", "-1e999", "null", "\"30s\"", "\"timeout\"", "\"\\u0000\"", "true", "\"weight\"",
            "\"http\"", "\"url\"", "\"https://a\"", "\"headers\"",
        ]), 0..40)) {
            let _ = faults(&words.concat());
        }
    }
}
