use proptest::prelude::*;

use super::*;

fn run(expression: &str, input: &str) -> Result<Vec<String>, ExpressionError> {
    let expression = Expression::compile(expression)?;
    let outputs = expression.outputs(&Input::from_json(input.as_bytes())?)?;
    Ok(outputs.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect())
}

fn outputs(expression: &str, input: &str) -> String {
    run(expression, input).unwrap_or_else(|error| panic!("{expression}: {error}")).join(" ")
}

fn fails(expression: &str, input: &str) -> String {
    run(expression, input).expect_err(expression).to_string()
}

#[test]
fn jq_as_its_users_know_it() {
    let event =
        r#"{"stream":"loan-1","data":{"amount":20000,"items":[{"n":"a","q":2,"p":1.5},{"n":"b","q":1,"p":4}]}}"#;
    for (expression, expected) in [
        (".data.amount > 10000", "true"),
        ("{loan: .stream, amount: .data.amount}", r#"{"loan":"loan-1","amount":20000}"#),
        ("01.1", "1.1"),
        (".data.missing.deeper", "null"),
        (".data.missing // \"none\"", "\"none\""),
        (".data.items[].n", "\"a\" \"b\""),
        ("[.data.items[] | .q * .p] | add", "7"),
        (".data.items | map(select(.q > 1)) | length", "1"),
        (".data.items | map({(.n): .q}) | add", r#"{"a":2,"b":1}"#),
        ("\"\\(.stream): \\(.data.amount / 2)\"", "\"loan-1: 10000\""),
        ("reduce .data.items[] as $i (0; . + $i.q)", "3"),
        ("[foreach .data.items[] as $i (0; . + $i.q)]", "[2,3]"),
        (".data.items[0] as {n: $name, $q} | [$name, $q]", "[\"a\",2]"),
        (".data | del(.items) | .amount += 1", r#"{"amount":20001}"#),
        (".data.items |= map(.n) | .data.items", "[\"a\",\"b\"]"),
        (".data.items[1].q = 9 | .data.items[1].q", "9"),
        (".data.items[].q |= . + 1 | [.data.items[].q]", "[3,2]"),
        ("if .data.amount > 1 then \"big\" elif . then 1 else 2 end", "\"big\""),
        ("try (.stream + 1) catch \"no\"", "\"no\""),
        ("(.stream | .a)? // 7", "7"),
        (".data.items | sort_by(-.q) | first.n", "\"a\""),
        (".data.items | group_by(.q > 1) | map(length)", "[1,1]"),
        (".data.items | min_by(.p).n, max_by(.p).n", "\"a\" \"b\""),
        ("[limit(2; range(10))], first(range(5; 9)), [range(0; 10; 4)]", "[0,1] 5 [0,4,8]"),
        (".data.items | any(.q == 2), all(.q == 2)", "true false"),
        (".stream | split(\"-\") | join(\"/\")", "\"loan/1\""),
        (".stream | startswith(\"loan\"), ltrimstr(\"loan-\"), (ltrimstr(\"loan-\") | tonumber + 1)", "true \"1\" 2"),
        (".data | to_entries | map(.key)", "[\"amount\",\"items\"]"),
        (".data | with_entries(select(.key == \"amount\"))", r#"{"amount":20000}"#),
        ("[1,[2,[3]]] | flatten, flatten(1)", "[1,2,3] [1,2,[3]]"),
        (
            "[3,1,2,1] | sort, unique, min, max, reverse, index(1), contains([2])",
            "[1,1,2,3] [1,2,3] 1 3 [1,2,1,3] 1 true",
        ),
        ("\"a,b, cd\" | indices(\", \"), length, ascii_upcase, .[2:4]", "[3] 7 \"A,B, CD\" \"b,\""),
        ("(.stream, .data.amount) | IN(\"loan-1\", 3)", "true false"),
        (".data.amount as $a | [$a, $a] | tojson, (tojson | fromjson)", "\"[20000,20000]\" [20000,20000]"),
        ("[.[] | type], (.data | has(\"amount\"), keys)", r#"["string","object"] true ["amount","items"]"#),
        ("empty", ""),
        ("{a: 1} * {a: {b: 2}}, 7 % 3, -(3), 1e3", "{\"a\":{\"b\":2}} 1 -3 1e3"),
        ("12345678901234567890123 + 1, 1.10, 0.1 + 0.2", "12345678901234567890124 1.10 0.30000000000000004"),
        ("1 / 3 | floor, (2.5 | round), (2.5 | ceil), (-3 | abs)", "0 3 3 3"),
        ("[\"x\" * 3, (0 / 1), ([] | add)]", "[\"xxx\",0,null]"),
        ("\"tab\\tline\\nü \\u00e4\"", "\"tab\\tline\\nü ä\""),
    ] {
        assert_eq!(outputs(expression, event), expected, "{expression}");
    }
}

#[test]
fn the_first_output_decides_a_guard() {
    let guard = |expression: &str| {
        Expression::compile(expression).unwrap().first_is_true(&Input::from_json(b"{\"a\":1}").unwrap()).unwrap()
    };
    for (expression, expected) in
        [(".a == 1", true), ("empty", false), (".b", false), ("false, true", false), ("0", true), ("true, error", true)]
    {
        assert_eq!(guard(expression), expected, "{expression}");
    }
}

#[test]
fn errors_say_where_or_on_what() {
    assert_eq!(
        fails(".data |\n  mapp(.x)", "null"),
        "expression, line 2, column 3: the function mapp is not available; expected an available function (did you mean map?)"
    );
    assert!(fails("map(.; .)", "null").contains("called with 2 arguments"));
    assert!(fails(".a | $x", "null").contains("column 6: the variable $x is not defined"));
    assert!(fails(".a + {}", r#"{"a":"loan-1"}"#).contains("loan-1"));
    for (expression, input, place) in [
        (".a + {}", r#"{"a":1}"#, "line 1, column 2"),
        ("{x: .a,\n  y: (.b | tonumber)}", r#"{"a":1,"b":"many"}"#, "line 2, column 12"),
        ("(.a | tonumber)? // 1 | . + \"x\"", r#"{"a":"x"}"#, "line 1, column 30"),
        ("[.items[] | .price * 2]", r#"{"items":[{"price":2},{"price":{}}]}"#, "line 1, column 14"),
        (".a.b.c", r#"{"a":{"b":5}}"#, "line 1, column 2"),
        ("map(.x) | add", r#"5"#, "line 1, column 1"),
        ("try error(\"a\") catch . | error(\"b\")", "null", "line 1, column 26"),
        (".a = (1 | error)", "{}", "line 1, column 11"),
    ] {
        let error = fails(expression, input);
        assert!(error.contains(place), "{expression}: {error}");
    }
    let long = format!("{{\"a\":{:?}}}", "x".repeat(100_000));
    assert!(fails(".a + {}", &long).len() < 400);
    assert!(fails(".", &"1".repeat(2000)).contains("MAX_NUMBER_DIGITS"));
}

#[test]
fn what_may_not_end_is_refused() {
    for expression in [
        "def f: f; f",
        "recurse",
        "..",
        "repeat(.)",
        "while(true; .)",
        "until(false; .)",
        "input",
        "inputs",
        "env",
        "$ENV",
        "now",
        "debug",
        "halt",
        "label $x | break $x",
        "import \"a\" as a; .",
        "a::b",
        "@json",
        "@base64 \"x\"",
        "test(\"(a+)+$\")",
        "limit(3; repeat(1))",
        "_add(1; 2)",
        "$__loc__",
        "getpath([\"a\"])",
        "_main",
        "splits(\"a\")",
    ] {
        let error = Expression::compile(expression).expect_err(expression);
        assert!(matches!(error, ExpressionError::Invalid { .. }), "{expression}: {error}");
    }
}

/// Each of `expressions` must end at a limit; over `.d`, a list of 100,000 numbers.
fn end_at_a_limit(expressions: &[&str]) {
    let data = format!("{{\"d\":[{}]}}", vec!["1"; 100_000].join(","));
    for expression in expressions {
        match run(expression, &data) {
            Err(ExpressionError::Limit { .. }) => {}
            other => panic!("{expression}: {:?}", other.map(|outputs| outputs.len())),
        }
    }
}

// Without counting, the expressions of the next tests run for hours, fill the memory, or overflow the stack.

#[test]
fn nested_generators_end_at_a_limit() {
    let chain = "(.,.) | ".repeat(30);
    end_at_a_limit(&[
        "[range(1000000000000)] | length",
        "first(range(1000000000000) | select(. < 0))",
        "any(range(1e15); . < 0)",
        &format!("[{chain}.] | length"),
        &format!("{chain}(error)?"),
        "last(skip(1000000000; range(10000000000)))",
        "[limit(1000000000; range(1000000000))] | length",
        "[range(1; 1e308)]",
        "[range(0; 1; 1e-300)]",
        "range(1e15)",
        ".d | .[]",
    ]);
}

#[test]
fn generators_over_data_end_at_a_limit() {
    end_at_a_limit(&[
        ".d[] as $a | .d[] as $b | select($a + $b < 0)",
        ".d as $d | $d[] | $d[] | empty",
        ".d as $d | [$d[] | $d == $d] | length",
        ".d as $d | last($d[] | first($d[]))",
        ".d as $d | last($d[] | $d[1:] | length)",
        ".d as $d | last($d[] | $d | add)",
        ".d as $d | last($d[] | $d | sort)",
        ".d as $d | last($d[] | $d | contains([2]))",
        ".d as $d | $d | contains($d)",
        ".d as $d | $d | indices($d)",
        ".d as $d | .d | sort_by($d)",
        ".d as $d | [.d[] | try error($d) catch length] | length",
        ".d |= map(. as $x | [range(10000)])",
        ".d[] |= [range(100000)]",
        "[\"\\(range(100000))\\(range(100000))\"] | length",
        "[{a: range(100000), b: range(100000)}] | length",
        "[[range(100000)] | .[range(100000)], .[range(100000)]] | length | [range(1e9)]",
    ]);
}

#[test]
fn growing_values_end_at_a_limit() {
    end_at_a_limit(&[
        "\"x\" * 1000000000000",
        "\"x\" * 100000000000000000000000000",
        "reduce range(100) as $i (\"x\"; . + .)",
        "reduce range(100) as $i ([1]; . + .)",
        "reduce range(100) as $i (1; [., .])",
        "reduce range(100) as $i ({a: 1}; {a: ., b: .})",
        "reduce range(100) as $i (\"x\"; \"\\(.)\\(.)\")",
        "reduce range(100) as $i (3; . * .)",
        "reduce range(1000000) as $i (null; [.])",
        "reduce range(1000000) as $i (null; {a: .})",
        "reduce range(1000000) as $i ({}; .a = .)",
        "reduce range(1000000) as $i ({}; .a |= {b: .})",
        "reduce range(100) as $i (\"a\"; tojson)",
        "reduce range(100) as $i ([\"a\"]; [join(\"b\" * 10000), join(\"c\")] + .)",
        "\"a\" * 8000000 | split(\"\")",
        "reduce range(100) as $i ({s: \"x\"}; .s += .s)",
        "reduce range(40) as $i (0; ., .)",
        "[foreach range(40) as $i (0; ., .)] | length",
    ]);
}

/// A thread of a host has a stack of 2 MiB, of which it has used some; a debug build has the largest frames.
#[test]
fn the_longest_chains_and_deepest_nesting_fit_a_small_stack() {
    let (max, mut longest) = (syntax::MAX_EXPRESSION_DEPTH, 0);
    for (open, close) in [
        ("[", "]"),
        ("{a: ", "}"),
        ("(", ")"),
        ("\"\\(", ")\""),
        ("1 + ", ""),
        ("-", ""),
        (".a | ", ""),
        ("., ", ""),
        ("1 as $x | ", ""),
        ("if . then . elif ", " then . end"),
        ("if . then ", " else . end"),
        ("try ", ""),
        ("map(", ")"),
        ("reduce .a as $x (.; ", ")"),
        ("first(", ")"),
        (".a = ", ""),
        (".a |= ", ""),
        (".a // ", ""),
        ("[.[", "]]"),
        (".a[0]", ""),
        ("sort_by(", ")"),
        ("{a: 1, b: 2} + ", ""),
        ("1 < ", ""),
        ("not and ", ""),
        (".a += ", ""),
        ("with_entries(", ")"),
    ] {
        let nested = |n: usize| format!("{}.{}", open.repeat(n), close.repeat(n));
        let compiled = |n: usize| Expression::compile(&nested(n)).ok();
        let (mut fits, mut beyond) = (0, max + 1);
        while beyond - fits > 1 {
            let n = (fits + beyond) / 2;
            if compiled(n).is_some() { fits = n } else { beyond = n }
        }
        longest = longest.max(fits);
        // The deepest, and the deepest that is run, or compiled, where it is.
        let shallow = (1..=fits).rev().find(|n| compiled(*n).is_some_and(|e| e.0.depth <= stack::SHALLOW));
        let short = (1..=fits).rev().find(|n| nested(*n).len() <= stack::SHORT);
        for n in [Some(fits), shallow, short].into_iter().flatten() {
            let thread = std::thread::Builder::new().stack_size(1 << 20);
            let source = nested(n);
            let run = move || drop(run(&source, r#"{"a":{"a":[{"a":[1]}]}}"#));
            thread.spawn(run).unwrap().join().unwrap();
        }
    }
    assert!(longest > max / 2, "the limit is reached: {longest}");
}

#[test]
fn a_limit_cannot_be_caught() {
    for expression in ["try [range(1e12)] catch 1", "[range(1e12)]? // 1", "first((range(1e12) | select(. < 0))?, 1)"] {
        assert!(fails(expression, "null").contains("MAX_WORK"), "{expression}");
    }
}

#[test]
fn realistic_expressions_stay_far_below_the_limit() {
    let items: Vec<String> = (0..5000).map(|i| format!("{{\"id\":\"item-{i}\",\"q\":{i},\"p\":1.25}}")).collect();
    let input = Input::from_json(format!("{{\"data\":{{\"items\":[{}]}}}}", items.join(",")).as_bytes()).unwrap();
    let expression =
        Expression::compile(".data.items | map({id, total: (.q * .p)}) | group_by(.total > 100) | map({n: length})")
            .unwrap();
    let meter = Meter::new();
    expression.run_counted(&input, &meter, |_, _| Ok(true)).unwrap();
    assert!(meter.used() < super::super::jq::meter::MAX_WORK / 4, "{}", meter.used());
}

#[test]
fn one_compiled_expression_serves_many_threads() {
    let expression = Expression::compile("[.d[] | . * 2] | add").unwrap();
    let input = Input::from_json(b"{\"d\":[1,2,3]}").unwrap();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| expression.outputs(&input).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer[0] == "12"));
}

/// Pieces from which expressions are put together: everything that the grammar and the list of functions offer.
fn expressions() -> impl Strategy<Value = String> {
    let names: Vec<(&'static str, usize)> = functions::available().collect();
    let leaf = prop_oneof![
        Just(".".to_owned()),
        Just(".a".to_owned()),
        Just(".[]".to_owned()),
        Just(".[]?".to_owned()),
        Just("\"x\"".to_owned()),
        Just("-1".to_owned()),
        Just("1e9".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("12345678901234567890".to_owned()),
        Just("null".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let i = inner.clone();
        let two = move |op: &'static str| (i.clone(), i.clone()).prop_map(move |(l, r)| format!("({l} {op} {r})"));
        let call = (proptest::sample::select(names.clone()), proptest::collection::vec(inner.clone(), 3)).prop_map(
            |((name, arity), arguments)| match arity {
                0 => name.to_owned(),
                _ => format!("{name}({})", arguments[..arity].join("; ")),
            },
        );
        prop_oneof![
            two("|"),
            two(","),
            two("+"),
            two("-"),
            two("*"),
            two("/"),
            two("%"),
            two("//"),
            two("<"),
            two("=="),
            two("and"),
            two("|="),
            two("="),
            two("+="),
            two("//="),
            two("*="),
            call.clone(),
            call,
            inner.clone().prop_map(|e| format!("[{e}]")),
            inner.clone().prop_map(|e| format!("{{a: {e}, (\"b\",\"c\"): {e}}}")),
            inner.clone().prop_map(|e| format!("\"\\({e}) and \\({e})\"")),
            inner.clone().prop_map(|e| format!("({e})?")),
            inner.clone().prop_map(|e| format!("({e})[{e}]")),
            inner.clone().prop_map(|e| format!("({e})[1:{e}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("reduce ({a}) as $x (.; {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("foreach ({a}) as [$x, $y] (.; {b}; [$x, .])")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("if {a} then {b} end")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("try ({a}) catch ({b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_panics_the_compiler(source in "[ -~\\n]{0,60}") {
        let _ = Expression::compile(&source);
    }

    #[test]
    fn no_tokens_panic_the_compiler(tokens in proptest::collection::vec(proptest::sample::select(vec![
        ".", "..", "|", ",", "(", ")", "[", "]", "{", "}", "as", "$x", "reduce", "foreach", "if", "then", "else", "end",
        "try", "catch", "\"", "\\(", "?", "//", "=", "|=", "-", "1", "1e", ".a", "@json", "def", "f", ":", ";", "label",
        "map", "é", "#", "and", "?//", "import", "include", "::", "$__loc__", "not",
    ]), 0..30), gap in "[ \n]?") {
        let _ = Expression::compile(&tokens.join(&gap));
    }

    #[test]
    fn every_expression_ends(source in expressions()) {
        let expression = Expression::compile(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let input = Input::from_json(br#"{"a":[1,2,"x",{"a":null}],"b":{"a":"text","c":[[],{}]}}"#).unwrap();
        if let Ok(outputs) = expression.outputs(&input) {
            for output in outputs {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&output).is_ok(), "{:?}", output);
            }
        }
        let _ = expression.first_is_true(&input);
    }
}
