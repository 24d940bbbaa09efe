//! JSON with places: every value and key knows where it stands, so that every fault can say so. Strict (RFC 8259); what
//! stands twice in one object is a fault.

use super::fault::Fault;

/// How deep the JSON of a configuration file may be nested.
pub const MAX_DEPTH: usize = 32;

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// In bytes from the start of the file.
    pub(super) offset: usize,
    /// Where it ends.
    pub(super) end: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    String(String),
    Array(Vec<Node>),
    /// In the order written.
    Object(Vec<(Key, Node)>),
}

impl Node {
    /// The value at a JSON Pointer (RFC 6901).
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |node, part| match &node.value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            Value::Object(entries) => {
                let name = part.replace("~1", "/").replace("~0", "~");
                entries.iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
            }
            _ => None,
        })
    }
}

/// A key and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) offset: usize,
    pub(super) text: String,
}

impl Value {
    /// What it is, for an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// A file and what has been found wrong with it.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Source<'a> {
    /// A file's text; a fault where it is no UTF-8.
    pub(super) fn new(file: &'a str, bytes: &'a [u8]) -> Result<Self, Fault> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { file, text, faults: Vec::new() }),
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let good = std::str::from_utf8(good).unwrap_or_default();
                let source = Self { file, text: good, faults: Vec::new() };
                Err(source.fault_at(good.len(), "the text is not UTF-8", "JSON in UTF-8"))
            }
        }
    }

    pub(super) fn fault_at(&self, offset: usize, what: impl Into<String>, expected: impl Into<String>) -> Fault {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Fault {
            file: self.file.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            what: what.into(),
            expected: expected.into(),
        }
    }

    pub(super) fn fault(&mut self, offset: usize, what: impl Into<String>, expected: impl Into<String>) {
        let fault = self.fault_at(offset, what, expected);
        self.faults.push(fault);
    }

    /// Reads the whole text; `None` where it is no JSON, which is then among the faults.
    pub(super) fn parse(&mut self) -> Option<Node> {
        let mut parser = Parser { text: self.text, at: 0, repeated: Vec::new() };
        let parsed = parser.document();
        let repeated = std::mem::take(&mut parser.repeated);
        for (offset, key) in repeated {
            self.fault(offset, format!("the key {key:?} stands twice in this object"), "each key once");
        }
        match parsed {
            Ok(node) => Some(node),
            Err(Syntax { offset, what, expected }) => {
                self.fault(offset, what, expected);
                None
            }
        }
    }

    /// A value as it is written.
    pub(super) fn slice(&self, node: &Node) -> &'a str {
        self.text.get(node.offset..node.end).unwrap_or_default()
    }

    /// Where byte `decoded` of the string at `offset` stands in the file: escapes take more room there.
    pub(super) fn inside_string(&self, offset: usize, decoded: usize) -> usize {
        let mut parser = Parser { text: self.text, at: offset + 1, repeated: Vec::new() };
        let mut length = 0;
        while length < decoded {
            match parser.character() {
                Ok(Some(c)) => length += c.len_utf8(),
                Ok(None) | Err(_) => break,
            }
        }
        parser.at
    }
}

struct Syntax {
    offset: usize,
    what: String,
    expected: &'static str,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    repeated: Vec<(usize, String)>,
}

type Parsed<T> = Result<T, Syntax>;

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn unexpected<T>(&self, expected: &'static str) -> Parsed<T> {
        let what = match self.rest().chars().next() {
            Some(c) => format!("unexpected {c:?}"),
            None => "unexpected end of the file".to_owned(),
        };
        Err(Syntax { offset: self.at, what, expected })
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn document(&mut self) -> Parsed<Node> {
        self.space();
        let node = self.value(MAX_DEPTH)?;
        self.space();
        if self.at < self.text.len() { self.unexpected("the end of the file") } else { Ok(node) }
    }

    fn value(&mut self, depth: usize) -> Parsed<Node> {
        let offset = self.at;
        let deeper = || {
            let what = "the JSON is nested too deep".to_owned();
            depth.checked_sub(1).ok_or(Syntax { offset, what, expected: "at most MAX_DEPTH = 32 levels" })
        };
        let value = match self.peek() {
            Some(b'{') => self.object(deeper()?)?,
            Some(b'[') => self.array(deeper()?)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            _ => {
                let words = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
                match words.into_iter().find(|(word, _)| self.rest().starts_with(word)) {
                    Some((word, value)) => {
                        self.at += word.len();
                        value
                    }
                    None => return self.unexpected("a JSON value"),
                }
            }
        };
        Ok(Node { offset, end: self.at, value })
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        self.space();
        if self.take(b'}') {
            return Ok(Value::Object(entries));
        }
        loop {
            self.space();
            let offset = self.at;
            if self.peek() != Some(b'"') {
                return self.unexpected("a key in double quotes");
            }
            let text = self.string()?;
            if !known.insert(text.clone()) {
                self.repeated.push((offset, text.clone()));
            }
            self.space();
            if !self.take(b':') {
                return self.unexpected("':'");
            }
            self.space();
            let node = self.value(depth)?;
            entries.push((Key { offset, text }, node));
            self.space();
            if self.take(b'}') {
                return Ok(Value::Object(entries));
            }
            if !self.take(b',') {
                return self.unexpected("',' or '}'");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth)?);
            self.space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return self.unexpected("',' or ']'");
            }
        }
    }

    fn digits(&mut self) -> Parsed<()> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.unexpected("a digit");
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Parsed<String> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default().to_owned())
    }

    fn string(&mut self) -> Parsed<String> {
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.character()? {
            text.push(c);
        }
        Ok(text)
    }

    /// The next character of a string; `None` at its closing quote, which is taken.
    fn character(&mut self) -> Parsed<Option<char>> {
        let Some(c) = self.rest().chars().next() else { return self.unexpected("'\"' at the end of the string") };
        match c {
            '"' => {
                self.at += 1;
                Ok(None)
            }
            '\\' => self.escape().map(Some),
            c if c < ' ' => self.unexpected("control characters as escapes, such as \\n"),
            c => {
                self.at += c.len_utf8();
                Ok(Some(c))
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        self.at += 1;
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let high = self.hex()?;
                if !(0xD800..0xDC00).contains(&high) {
                    return char::from_u32(high).ok_or(()).or_else(|()| self.half(start));
                }
                if !(self.take(b'\\') && self.take(b'u')) {
                    return self.half(start);
                }
                let low = self.hex()?;
                if !(0xDC00..0xE000).contains(&low) {
                    return self.half(start);
                }
                let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                return char::from_u32(code).ok_or(()).or_else(|()| self.half(start));
            }
            _ => return self.unexpected("one of \" \\ / b f n r t u after a backslash"),
        };
        self.at += 1;
        Ok(c)
    }

    fn half<T>(&self, offset: usize) -> Parsed<T> {
        Err(Syntax {
            offset,
            what: "half a surrogate pair".to_owned(),
            expected: "both halves, such as \\ud83d\\ude00",
        })
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut number = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.unexpected("four hexadecimal digits");
            };
            number = number * 16 + digit;
            self.at += 1;
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Number(n) => n.parse::<i64>().map_or_else(|_| n.parse::<f64>().unwrap().into(), Into::into),
            Value::String(s) => s.clone().into(),
            Value::Array(items) => items.iter().map(|node| plain(&node.value)).collect(),
            Value::Object(entries) => entries.iter().map(|(k, n)| (k.text.clone(), plain(&n.value))).collect(),
        }
    }

    #[test]
    fn faults_have_line_and_column() {
        for (text, line, column) in [
            ("{\n  \"a\": tru\n}", 2, 8),
            ("{\"a\": 1,}", 1, 9),
            ("[1 2]", 1, 4),
            ("\"a\nb\"", 1, 3),
            ("\"\\x\"", 1, 3),
            ("\"\\ud800\"", 1, 2),
            ("01", 1, 2),
            ("{\"ä\": }", 1, 7),
            ("{\"a\": 1}\n\n x", 3, 2),
            ("", 1, 1),
            ("{\"a\":1, \"b\":2,\n\"a\":3}", 2, 1),
        ] {
            let mut source = Source::new("f.json", text.as_bytes()).unwrap();
            source.parse();
            let fault = source.faults.first().unwrap_or_else(|| panic!("{text}"));
            assert_eq!((fault.line, fault.column), (line, column), "{text}: {fault}");
        }
        assert_eq!(Source::new("f", b"{\n\"\xff").unwrap_err().column, 2);
        let deep = "[".repeat(100_000);
        let mut source = Source::new("f", deep.as_bytes()).unwrap();
        assert!(source.parse().is_none());
        assert!(source.faults[0].expected.contains("MAX_DEPTH"));
    }

    #[test]
    fn a_place_in_a_string_counts_escapes() {
        let text = r#"{"when": "a\n\u00e4\ud83d\ude00b"}"#;
        let source = Source::new("f", text.as_bytes()).unwrap();
        let offset = text.find("\"a").unwrap();
        for (decoded, found) in [(0, "a"), (1, "\\n"), (2, "\\u00e4"), (4, "\\ud83d"), (8, "b\"")] {
            assert!(text[source.inside_string(offset, decoded)..].starts_with(found), "{decoded}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "\\PC{0,8}".prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::hash_map("\\PC{0,5}", inner, 0..4)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_writes(value in json()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            let mut source = Source::new("f", text.as_bytes()).unwrap();
            prop_assert_eq!(plain(&source.parse().unwrap().value), value);
        }

        #[test]
        fn accepts_only_what_serde_json_accepts(text in "[\\[\\]{}:,\"0-9.eE+\\\\u trfalsn\n-]{0,24}") {
            let mut source = Source::new("f", text.as_bytes()).unwrap();
            let ours = source.parse().is_some();
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // A number that no f64 can hold is JSON; serde_json refuses its value.
            if !theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
                prop_assert_eq!(ours, theirs.is_ok(), "{:?}", theirs);
            }
        }
    }
}
