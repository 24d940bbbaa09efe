//! A tree of a thousand types with one of each fault that a file can have: one run tells all of them, each with its place, and
//! nothing is applied. What only shows when it runs, a transform that gives too much, fails its delivery and nothing else.

use serde_json::{Value, json};

use crate::sandbox::{SCOPE, SENT, Sandbox, event, snapshot};

const TYPES: usize = 1_000;

/// Text of a document, the place of its fault in it, and what is said.
type Faulty<'a> = (&'a str, &'a str, &'a str);

/// One of each fault of a document. All is on one line unless the place says otherwise.
const DOCUMENTS: [Faulty<'_>; 46] = [
    ("", "1:1: ", "unexpected end of the file; expected a JSON value"),
    ("{", "1:2: ", "unexpected end of the file; expected a key in double quotes"),
    ("[]", "1:1: ", "the document is an array"),
    ("{\n  \"handlers\": [],\n}", "3:1: ", "unexpected '}'; expected a key in double quotes"),
    ("{\"handlers\": [] // none\n}", "1:17: ", "unexpected '/'; expected ',' or '}'"),
    ("{\"handlers\": []} {}", "1:18: ", "unexpected '{'; expected the end of the file"),
    ("{\"handlers\": [], \"handlers\": []}", "1:18: ", "the key \"handlers\" stands twice"),
    ("{\"handlers\": [], \"description\": \"\\ud800\"}", "1:34: ", "half a surrogate pair; expected both halves"),
    ("{\"handlers\": 01}", "1:15: ", "unexpected '1'; expected ',' or '}'"),
    ("{}", "1:1: ", "the key \"handlers\" is missing"),
    ("{\"handler\": [], \"handlers\": []}", "1:2", "did you mean \"handlers\"?"),
    ("{\"handlers\": {}}", "1:14", "handlers is an object"),
    ("{\"handlers\": [1]}", "1:15", "a handler is a number"),
    (r#"{"handlers": [{"target": {"queue": "mail"}}]}"#, "1:15", "the key \"name\" of a handler is missing"),
    (r#"{"handlers": [{"name": "a"}]}"#, "1:15", "the key \"target\" of a handler is missing"),
    (r#"{"handlers": [{"name": "a b", "target": {"queue": "mail"}}]}"#, "1:24", "handler \"a b\" is not a name"),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}}, {"name": "a", "target": {"queue": "mail"}}]}"#,
        "1:68",
        "the handler name \"a\" stands twice",
    ),
    (r#"{"handlers": [{"name": "a", "wieght": 1, "target": {"queue": "mail"}}]}"#, "1:29", "did you mean \"weight\"?"),
    (r#"{"handlers": [{"name": "a", "target": {"queue": "mial"}}]}"#, "1:49", "did you mean \"mail\"?"),
    (r#"{"handlers": [{"name": "a", "target": {"function": ""}}]}"#, "1:52", "is not a name"),
    (r#"{"handlers": [{"name": "a", "target": {}}]}"#, "1:39", "target has 0 keys"),
    (r#"{"handlers": [{"name": "a", "target": {"queue": "mail", "function": "f"}}]}"#, "1:39", "target has 2 keys"),
    (r#"{"handlers": [{"name": "a", "target": {"topic": "mail"}}]}"#, "1:40", "unknown key \"topic\" in target"),
    (r#"{"handlers": [{"name": "a", "target": "mail"}]}"#, "1:39", "target is a string"),
    (r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "weight": 1.5}]}"#, "1:68", "weight is 1.5"),
    (r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "timeout": "0s"}]}"#, "1:69", "timeout is 0"),
    (r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "timeout": "5 s"}]}"#, "1:69", "which is no duration"),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "stop_on_failure": "no"}]}"#,
        "1:77",
        "stop_on_failure is a string",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "out_of_attempts": "stop"}]}"#,
        "1:77",
        "out_of_attempts is \"stop\"",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "retry": {"attempts": 0}}]}"#,
        "1:80",
        "attempts is 0",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "retry": {"multiplier": 0.5}}]}"#,
        "1:82",
        "multiplier is 0.5",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "retry": {"max": "1ms"}}]}"#,
        "1:67",
        "initial is longer than max",
    ),
    (r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": 1}]}"#, "1:66", "when is a number"),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": ".a |"}]}"#,
        "1:71: ",
        "when: unexpected end; expected an expression, such as .data",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": ".a | selct(.b)"}]}"#,
        "1:72",
        "did you mean select?",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "$const.limti"}]}"#,
        "1:74: ",
        "unknown constant \"limti\"; expected a constant of constants.json (did you mean \"limit\"?)",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "$x"}]}"#,
        "1:67: ",
        "when: the variable $x is not defined",
    ),
    // Guards that never end.
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "def f: f; f"}]}"#,
        "1:67",
        "when: def is not available",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "last(repeat(1))"}]}"#,
        "1:72",
        "the function repeat is not available",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "[recurse(.)]"}]}"#,
        "1:68",
        "the function recurse is not available",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "until(false; .)"}]}"#,
        "1:67",
        "the function until is not available",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "[while(true; .)]"}]}"#,
        "1:68",
        "the function while is not available",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "when": "[..]"}]}"#,
        "1:68: ",
        "when: .. is not available",
    ),
    (
        r#"{"handlers": [{"name": "a", "target": {"queue": "mail"}, "data": "now"}]}"#,
        "1:67",
        "the function now is not available",
    ),
    (r#"{"handlers": [{"name": "a", "target": {"http": {"url": "me@a"}}}]}"#, "1:56", "the URL \"me@a\" has"),
    (r#"{"handlers": [{"name": "a", "target": {"command": {}}}]}"#, "1:40", "not supported yet"),
];

fn type_of(number: usize) -> String {
    format!("SHOP_ORDER_STEP{number}_COMPLETE_1")
}

fn document_of(number: usize) -> String {
    format!("1/shop/order/step_{number}/complete.json")
}

/// Writes the tree and gives what each line of the answer begins with, and what it says.
fn write_faulty_tree(sandbox: &Sandbox) -> Vec<(String, &'static str)> {
    let mut expected = Vec::new();
    let file = |path: &str, content: &[u8]| sandbox.write(&format!("tree/{path}"), content);
    let good = br#"{"handlers": [{"name": "tell", "target": {"queue": "mail"}}]}"#;
    for number in 0..TYPES {
        file(&document_of(number), good);
    }
    for (number, (text, place, says)) in DOCUMENTS.into_iter().enumerate() {
        file(&document_of(number), text.as_bytes());
        expected.push((format!("tree/{}:{place}", document_of(number)), says));
    }
    let mut of_file = |path: &str, content: &[u8], place: &str, says: &'static str| {
        file(path, content);
        expected.push((format!("tree/{path}:{place}"), says));
    };
    of_file(&document_of(100), &vec![b' '; 10 << 20], "1:1", "at most MAX_FILE_LEN");
    of_file(&document_of(101), b"{\"description\": \"\xff\", \"handlers\": []}", "1:18", "UTF-8");
    let deep = format!("{{\"handlers\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    of_file(&document_of(102), deep.as_bytes(), "1:45: ", "at most MAX_DEPTH");
    let many: Vec<Value> =
        (0..257).map(|n| json!({ "name": format!("h{n}"), "target": { "queue": "mail" } })).collect();
    of_file(&document_of(103), json!({ "handlers": many }).to_string().as_bytes(), "1:13", "at most MAX_HANDLERS");
    let long = format!("1{}", " + 1".repeat(5_000));
    let long = json!({ "handlers": [{ "name": "a", "target": { "queue": "mail" }, "when": long }] });
    of_file(&document_of(104), long.to_string().as_bytes(), "1:60: ", "MAX_EXPRESSION_LEN");
    let nested = json!({ "handlers": [{ "name": "a", "target": { "queue": "mail" },
        "when": format!("{}1{}", "(".repeat(300), ")".repeat(300)) }] });
    of_file(&document_of(105), nested.to_string().as_bytes(), "1:316: ", "MAX_EXPRESSION_DEPTH");
    of_file("1/shop/order/step_200.json", good, "1:1", "this file has no place in a tree");
    of_file("1/shop/order/step2000/com-plete.json", good, "1:1", "the result part \"com-plete\"");
    of_file("01/shop/order/step/complete.json", good, "1:1", "the version part \"01\"");
    of_file(&document_of(300), good, "1:1", "has another file");
    file("1/shop/ord_er/step_300/complete.json", good);
    of_file("notes.txt", b"x", "1:1", "this file has no place in a tree");
    of_file(
        "schedules.json",
        br#"{"nightly": {"cron": "0 25 * * *", "type": "SHOP_ORDER_STEP1_COMPLETE_1", "stream": "s"}}"#,
        "1:25",
        "cron: value must be in range",
    );
    of_file("queues.json", br#"{"mail": {}, "a b": {}}"#, "1:14", "queue \"a b\" is not a name");
    of_file("constants.json", br#"{"limit": 1, "a b": 1}"#, "1:14", "can't be the name of a constant");
    of_file("tree.json", br#"{"remove": ["A_B_C_D_1"]}"#, "1:12", "there is \"remove\" and no \"extends\"");
    let types = [
        r#"["SHOP_ORDER_SENT_1","#,
        r#" {"tpye": "x", "type": "SHOP_ORDER_A_COMPLETE_1"},"#,
        r#" "SHOP_ORDER_B_COMPLETE_1", "SHOP_ORDER_B_COMPLETE_1","#,
        r#" {"type": "SHOP_ORDER_C_COMPLETE_1", "schema": {"type": "objekt"}},"#,
        r#" {"type": "SHOP_ORDER_D_COMPLETE_1", "schema": "schemas/none.json"},"#,
        r#" {"type": "SHOP_ORDER_E_COMPLETE_1", "schema": "schemas/order.avsc#Setn"},"#,
        r#" {"type": "SHOP_ORDER_F_COMPLETE_1", "schema": {"$ref": "https://example.com/x.json"}},"#,
        r#" {"type": "SHOP_ORDER_G_COMPLETE_1", "upcast": ".data |"},"#,
        r#" {"type": "SHOP_ORDER_H_COMPLETE_1", "schema": "schemas/bad.avsc"},"#,
        r#" {"type": "SHOP_ORDER_I_COMPLETE_1", "schema": "schemas/twice.json"},"#,
        r#" {"type": "SHOP_ORDER_J_COMPLETE_1", "schema": "schemas/bad.avsc#A"}]"#,
    ];
    of_file("types.json", types.join("\n").as_bytes(), "1:2", "has 4 parts");
    file("schemas/order.avsc", br#"[{"type": "record", "name": "Sent", "namespace": "order", "fields": []}]"#);
    file("schemas/bad.avsc", b"[{\"type\": \"record\", \"name\": \"A\", \"namespace\": \"a\", \"fields\": [\n {\"name\": \"x\", \"type\": \"itn\"}]}]");
    file("schemas/twice.json", b"{\"type\": \"object\",\n \"type\": \"array\"}");
    expected.push((
        "tree/schemas/bad.avsc:2:24".to_owned(),
        "unknown type \"itn\"; expected a type of Avro, or one of this file (did you mean \"int\"?)",
    ));
    expected.push(("tree/schemas/twice.json:2:2".to_owned(), "the key \"type\" stands twice"));
    expected.extend(
        [
            ("2:3", "did you mean \"type\"?"),
            ("3:29", "stands twice"),
            ("4:57", "the schema: \"objekt\""),
            ("5:48", "there is no file"),
            ("6:48", "did you mean \"Sent\"?"),
            ("7:48", "the schema refers to \"https://example.com/x.json\""),
            ("8:56", "upcast: unexpected end"),
        ]
        .map(|(place, says)| (format!("tree/types.json:{place}"), says)),
    );
    sandbox.write("tree/1/shop/order/step_1/complete/x.json", good);
    expected.push(("tree/1/shop/order/step_1/complete:1:1".to_owned(), "the folder is nested too deep"));
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        sandbox.write("outside.json", good);
        let folder = sandbox.path("tree");
        symlink(sandbox.path("outside.json"), folder.join("1/shop/order/step_201.json")).unwrap();
        symlink(folder.join("nowhere"), folder.join("1/shop/order/step_202.json")).unwrap();
        std::fs::create_dir(folder.join(std::ffi::OsStr::from_bytes(b"1/shop/\xff"))).unwrap();
        expected.push(("tree/1/shop/order/step_201.json:1:1".to_owned(), "leaves the tree's folder"));
        expected.push(("tree/1/shop/order/step_202.json:1:1".to_owned(), "No such file"));
        expected.push(("tree/1/shop/\u{fffd}:1:1".to_owned(), "the name is not UTF-8"));
    }
    expected
}

#[test]
fn one_run_tells_every_fault_of_a_tree_and_applies_nothing() {
    let sandbox = Sandbox::with_tree();
    let expected = write_faulty_tree(&sandbox);
    let before = snapshot(&sandbox.dir().join("log"));
    for command in [["config", "check", "tree"], ["config", "import", "tree"]] {
        let run = sandbox.atlas(command.into_iter().chain(["--scope", SCOPE]));
        assert_eq!(run.code, 1, "{}", run.stderr);
        let lines: Vec<&str> = run.stderr.lines().collect();
        for (place, says) in &expected {
            let found = lines.iter().any(|line| line.starts_with(place.as_str()) && line.contains(says));
            assert!(found, "{place} ... {says}\nnot in\n{}", run.stderr);
        }
        assert_eq!(lines.len(), expected.len(), "nothing else is said:\n{}", run.stderr);
        for line in lines {
            let mut parts = line.splitn(4, ':').skip(1);
            let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
            assert!(number(parts.next()).is_some() && number(parts.next()).is_some(), "file, line, column: {line}");
            assert!(line.contains("; expected "), "what would be right: {line}");
            assert!(line.len() < 1_000, "{} bytes: {}", line.len(), &line[..200]);
        }
    }
    assert!(snapshot(&sandbox.dir().join("log")) == before, "nothing is written");
    let history = sandbox.atlas(["--json", "config", "history", "--scope", SCOPE]).done().json();
    assert_eq!(history.as_array().map(Vec::len), Some(2), "the tree that was there, staged and activated: {history}");
}

/// What is left out of a tree that is right in itself shows at activation, all of it.
#[test]
fn one_run_tells_every_type_without_a_document() {
    let sandbox = Sandbox::new();
    let all: Vec<String> = (0..TYPES).map(type_of).collect();
    sandbox.write("types.json", json!(all).to_string());
    sandbox.atlas(["types", "declare", "types.json", "--application", "loans"]).done();
    for number in (0..TYPES).filter(|number| number % 10 != 3) {
        sandbox.write(&format!("tree/{}", document_of(number)), r#"{"handlers": []}"#);
    }
    sandbox.write("tree/1/shop/order/setp_3/complete.json", r#"{"handlers": []}"#);
    let run = sandbox.atlas(["config", "check", "tree", "--scope", SCOPE]);
    assert_eq!((run.code, run.stderr.lines().count()), (1, TYPES / 10 + 1), "{}", run.stderr);
    assert!(run.stderr.contains("no document for type SHOP_ORDER_STEP3_COMPLETE_1"), "{}", run.stderr);
    assert!(run.stderr.contains("near miss: SHOP_ORDER_SETP3_COMPLETE_1"), "{}", run.stderr);
}

/// Transforms that would give a gigabyte, or work for hours: their deliveries fail with the limit, and the next one is served.
#[test]
fn a_transform_that_gives_a_gigabyte_fails_its_delivery() {
    let sandbox = Sandbox::new();
    let handlers: Vec<Value> = [
        ("text", "\"x\" * 1073741824", "MAX_"),
        ("doubled", "reduce range(40) as $n (\"x\"; . + .)", "MAX_WORK"),
        ("many", "range(1e12)", "MAX_"),
        ("list", "[range(1e12)]", "MAX_WORK"),
        ("nested", "reduce range(1e9) as $n (1; [.])", "MAX_VALUE_DEPTH"),
        ("digits", "reduce range(1e6) as $n (7; . * .)", "MAX_NUMBER_BITS"),
        ("good", ".stream", ""),
    ]
    .iter()
    .map(|(name, data, says)| {
        let document = json!({ "name": name, "data": data, "target": { "queue": "mail" } });
        json!([document, says])
    })
    .collect();
    let documents: Vec<&Value> = handlers.iter().map(|pair| &pair[0]).collect();
    sandbox.write("tree/queues.json", r#"{"mail": {}}"#);
    sandbox.write("tree/types.json", json!([SENT]).to_string());
    sandbox.write("tree/1/loan/offer/sent/complete.json", json!({ "handlers": documents }).to_string());
    sandbox.atlas(["config", "import", "tree", "--scope", SCOPE, "--activate"]).done();
    let mut given = event(SENT, "loan-1", json!({}));
    given["id"] = json!("01912f0e-0000-7000-8000-000000000001");
    sandbox.import(&[given, event(SENT, "loan-2", json!({}))]).done();
    let status = sandbox.atlas(["--json", "status", "01912f0e-0000-7000-8000-000000000001"]).done().json();
    for pair in &handlers {
        let (name, says) = (&pair[0]["name"], pair[1].as_str().unwrap());
        let all = status["deliveries"].as_array().unwrap();
        let delivery = all.iter().find(|delivery| delivery["handler"] == *name).unwrap();
        let (error, failed) = (delivery["error"].to_string(), !says.is_empty());
        assert!(error.contains(says) && delivery["parked"] == failed, "{name}: {delivery}");
    }
    let queues = sandbox.atlas(["--json", "queue", "list"]).done().json();
    assert_eq!(queues[0]["depth"], 2, "the good handler of each event: {queues}");
}
