#!/usr/bin/env python3
"""What the loans example must end up with, worked out without Atlas: from a log file and a configuration tree alone.

    expected.py LOG.ndjson[.gz]                          print the expected counts as JSON
    expected.py LOG.ndjson[.gz] --compare COUNTS.json    compare with what `loans --json COUNTS.json` wrote;
                                                         exit 1 where any count differs

It shares nothing with the Rust code: it reads the tree's documents itself, evaluates the little jq that they use, and
knows what the host functions of the example emit. An expression outside that little is an error, never a guess.
"""

import argparse
import collections
import gzip
import json
import pathlib
import re
import sys

# What each host function emits, given the data of its call: a list of (event type, data).
FUNCTIONS = {
    "risk.score": lambda data: [
        ("LOAN_RISK_SCORED_COMPLETE_1", {"risk": {"amount": data["amount"], "band": band(data["amount"])}})
    ],
    "ledger.pay_out": lambda data: [],
    "statistics.count_turn": lambda data: [],
}


def band(amount):
    return "high" if amount >= 30000 else "medium" if amount >= 15000 else "low"


# --- jq, as far as the tree uses it -----------------------------------------------------------------------------

TOKEN = re.compile(r'\s*(?:(?P<string>"[^"\\]*")|(?P<number>\d+)|(?P<word>[a-z_]+)|(?P<op>==|!=|<=|>=|[<>.,:(){}]))')
COMPARE = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
# The fields of an envelope that a line of the log has; another one in an expression would need more than the log.
FIELDS = {"type", "tenant", "application", "stream", "time", "data"}


def order(value):
    """jq's order of values: null, false, true, numbers, strings."""
    if value is None or isinstance(value, bool):
        return (0 if value is None else 1, value or False)
    if isinstance(value, (int, float)):
        return (2, value)
    if isinstance(value, str):
        return (3, [ord(c) for c in value])
    raise SystemExit(f"expected.py compares no arrays and objects: {value!r}")


class Jq:
    """Compiles `comma := or (',' or)*`, `or := and ('or' and)*`, `and := test ('and' test)*`,
    `test := value (compare value)?`, `value := path | literal | {key: test, ...} | (comma)`
    to functions from an envelope to its list of outputs."""

    def __init__(self, source):
        self.source, self.tokens, at = source, [], 0
        while at < len(source.rstrip()):
            match = TOKEN.match(source, at)
            if not match:
                self.fail(f"at {source[at:]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self.run = self.comma()
        if self.tokens:
            self.fail(f"at {self.tokens[0][1]!r}")

    def fail(self, why):
        raise SystemExit(f"expected.py does not know this jq: {self.source!r} ({why})")

    def accept(self, *texts):
        if self.tokens and self.tokens[0][0] != "string" and self.tokens[0][1] in texts:
            return self.tokens.pop(0)[1]
        return None

    def expect(self, text):
        if not self.accept(text):
            self.fail(f"{text!r} expected")

    def take(self, kind):
        if not self.tokens or self.tokens[0][0] != kind:
            self.fail(f"a {kind} expected")
        return self.tokens.pop(0)[1]

    def comma(self):
        parts = [self.either()]
        while self.accept(","):
            parts.append(self.either())
        return lambda envelope: [output for part in parts for output in part(envelope)]

    def either(self):
        return self.chain("or", lambda: self.chain("and", self.test, all), any)

    def chain(self, word, operand, fold):
        parts = [operand()]
        while self.accept(word):
            parts.append(operand())
        if len(parts) == 1:
            return parts[0]
        return lambda envelope: [fold(truth(self.one(part, envelope)) for part in parts)]

    def test(self):
        left = self.value()
        compare = self.accept(*COMPARE)
        if not compare:
            return left
        right = self.value()
        return lambda envelope: [COMPARE[compare](order(self.one(left, envelope)), order(self.one(right, envelope)))]

    def value(self):
        if not self.tokens:
            self.fail("it ends too early")
        kind, text = self.tokens[0]
        if self.accept("."):
            return self.path()
        if self.accept("{"):
            return self.object()
        if self.accept("("):
            inner = self.comma()
            self.expect(")")
            return inner
        if kind == "word" and text not in ("null", "true", "false") or kind == "op":
            self.fail(f"at {text!r}")
        self.tokens.pop(0)
        literal = json.loads(text)
        return lambda envelope: [literal]

    def path(self):
        names = [self.take("word")]
        if names[0] not in FIELDS:
            self.fail(f".{names[0]} does not follow from the log alone")
        while self.accept("."):
            names.append(self.take("word"))

        def walk(envelope):
            value = envelope
            for name in names:
                value = value.get(name) if value is not None else None
            return [value]

        return walk

    def object(self):
        fields = []
        while not self.accept("}"):
            if fields:
                self.expect(",")
            key = self.take("word")
            self.expect(":")
            fields.append((key, self.test()))
        return lambda envelope: [{key: self.one(field, envelope) for key, field in fields}]

    def one(self, part, envelope):
        outputs = part(envelope)
        if len(outputs) != 1:
            self.fail("several outputs inside an expression")
        return outputs[0]


def truth(value):
    return value is not None and value is not False


# --- the tree and the log ---------------------------------------------------------------------------------------


def read_tree(folder):
    """Event type -> its handlers, by weight and then name, with `when` and `data` compiled."""
    tree = {}
    for path in sorted(folder.glob("*/*/*/*/*.json")):
        version, *parts = path.relative_to(folder).with_suffix("").parts
        event_type = "_".join([part.replace("_", "").upper() for part in parts] + [version])
        handlers = json.loads(path.read_text(encoding="utf-8"))["handlers"]
        for handler in handlers:
            for key in ("when", "data"):
                handler[key] = Jq(handler[key]).run if key in handler else None
            function = handler["target"].get("function")
            if function is not None and function not in FUNCTIONS:
                raise SystemExit(f"expected.py does not know the function {function!r} of {path}")
        tree[event_type] = sorted(handlers, key=lambda handler: (handler.get("weight", 100), handler["name"]))
    return tree


def read_log(file):
    with open(file, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(file, "rb") if zipped else open(file, "rb") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def expected(log, tree, queues):
    """The counts, in the shape that the example writes with --json."""
    events = collections.Counter()
    streams = set()
    deliveries = {
        handler["name"]: {"success": 0, "failure": 0, "pending": 0, "skipped": 0}
        for handlers in tree.values()
        for handler in handlers
    }
    depths = {queue: 0 for queue in queues}

    def happen(event, kind):
        events[kind] += 1
        if event["type"] not in tree:
            raise SystemExit(f"the tree has no document for {event['type']}")
        for handler in tree[event["type"]]:
            counts = deliveries[handler["name"]]
            if handler["when"] is not None and not truth(next(iter(handler["when"](event)), None)):
                counts["skipped"] += 1
                continue
            calls = [event] if handler["data"] is None else handler["data"](event)
            counts["success"] += 1
            if "queue" in handler["target"]:
                depths[handler["target"]["queue"]] += len(calls)
                continue
            for call in calls:
                for event_type, data in FUNCTIONS[handler["target"]["function"]](call):
                    happen({**event, "type": event_type, "data": data}, "follow_ups")

    for event in log:
        streams.add((event["tenant"], event["application"], event["stream"]))
        happen(event, "events")
    return {
        "events": events["events"],
        "follow_ups": events["follow_ups"],
        "streams": len(streams),
        "deliveries": deliveries,
        "queues": depths,
    }


def flat(counts, prefix=""):
    for key, value in counts.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key} ")
        else:
            yield prefix + key, value


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Expected counts of the loans example, worked out without Atlas.")
    parser.add_argument("log", help="the log that the example ingested: NDJSON, plain or .gz")
    parser.add_argument("--tree", type=pathlib.Path, default=here / "config", help="the configuration tree")
    parser.add_argument("--compare", metavar="COUNTS", help="what the example wrote with --json")
    arguments = parser.parse_args()

    queues = json.loads((arguments.tree / "queues.json").read_text(encoding="utf-8"))
    counts = expected(read_log(arguments.log), read_tree(arguments.tree), queues)
    if arguments.compare is None:
        json.dump(counts, sys.stdout, indent=2)
        print()
        return 0
    with open(arguments.compare, encoding="utf-8") as file:
        found = dict(flat(json.load(file)))
    wanted = dict(flat(counts))
    # The example lists what it has met; a handler or a queue that it has not met counts as 0.
    different = [key for key in {**wanted, **found} if wanted.get(key, 0) != found.get(key, 0)]
    for key in different:
        print(f"{key}: expected {wanted.get(key, 0)}, found {found.get(key, 0)}")
    if not different:
        print(f"all {len(wanted)} counts are as expected ({counts['events']} events)")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
