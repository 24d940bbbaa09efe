//! From text to a syntax tree, with a place for everything that is wrong. Length, nesting and chains are bounded before
//! anything recursive looks at the text.

use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::parse::{Parser, Term};
use jaq_core::load::span;

/// The longest expression, in bytes.
pub const MAX_EXPRESSION_LEN: usize = 16 << 10;
/// How deep an expression may be nested, where each bracket, each operator and each keyword of a chain counts.
pub const MAX_EXPRESSION_DEPTH: usize = 256;

/// What is wrong with an expression, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// In bytes from the start of the expression.
    pub(crate) offset: usize,
    pub(crate) what: String,
    pub(crate) expected: String,
}

impl Wrong {
    pub(crate) fn new(offset: usize, what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { offset, what: what.into(), expected: expected.into() }
    }

    /// About `part`, a slice of `source`; about its start where it is none.
    pub(crate) fn at(source: &str, part: &str, what: impl Into<String>, expected: impl Into<String>) -> Self {
        let inside = source.as_bytes().as_ptr_range().contains(&part.as_ptr());
        let end = std::ptr::eq(source.as_bytes().as_ptr_range().end, part.as_ptr());
        let offset = if inside || end { span(source, part).start.min(source.len()) } else { 0 };
        Self::new(offset, what, expected)
    }
}

/// Words that belong to jq's syntax and are not available, with what is expected instead.
const REFUSED: [(&str, &str); 8] = [
    ("def", "one expression; a definition could call itself for ever"),
    ("label", "first(f) or limit(n; f)"),
    ("break", "first(f) or limit(n; f)"),
    ("import", "an expression that stands alone"),
    ("include", "an expression that stands alone"),
    ("module", "an expression that stands alone"),
    ("__loc__", "the value itself"),
    ("..", "the path by name; a walk over all values is not available"),
];

/// Reads `source` as one expression. Also says how deep it is.
pub(crate) fn parse(source: &str) -> Result<(Term<&str>, usize), Wrong> {
    if source.len() > MAX_EXPRESSION_LEN {
        let what = format!("the expression is {} bytes", source.len());
        return Err(Wrong::new(0, what, format!("at most MAX_EXPRESSION_LEN = {MAX_EXPRESSION_LEN} bytes")));
    }
    if source.trim().is_empty() {
        return Err(Wrong::new(0, "the expression is empty", "jq, such as .data"));
    }
    check_brackets(source)?;
    let tokens = Lexer::new(source).lex().map_err(|errors| match errors.into_iter().next() {
        Some((expected, rest)) => {
            let found = rest.chars().next().map_or("end".to_owned(), |c| format!("{c:?}"));
            Wrong::at(source, rest, format!("unexpected {found}"), expected.as_str())
        }
        None => Wrong::new(0, "not readable", "jq"),
    })?;
    let depth = check_tokens(source, &tokens, 0)?;
    let parsed = Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| match errors.into_iter().next() {
        Some((expected, found)) => {
            let (part, what) = match found {
                Some(Token(text, _)) => (*text, format!("unexpected {:?}", crate::event::excerpt(text))),
                None => (source.get(source.len()..).unwrap_or_default(), "unexpected end".to_owned()),
            };
            Wrong::at(source, part, what, expected_text(expected.as_str()))
        }
        None => Wrong::new(0, "not readable", "jq"),
    });
    parsed.map(|term| (term, depth))
}

fn expected_text(expected: &str) -> String {
    match expected {
        "" | "nothing" => "the end of the expression or an operator such as |".to_owned(),
        "term" => "an expression, such as .data".to_owned(),
        // The parser says these by name; other short ones are the token itself.
        word if word.contains(' ') || word.len() > 4 => word.to_owned(),
        token => format!("{token:?}"),
    }
}

/// Bounds how deep brackets and strings are nested, as the lexer would, without recursion.
fn check_brackets(source: &str) -> Result<(), Wrong> {
    #[derive(PartialEq)]
    enum Open {
        Bracket,
        String,
    }
    let mut open = Vec::new();
    let (mut escaped, mut comment) = (false, false);
    for (offset, byte) in source.bytes().enumerate() {
        let in_string = open.last() == Some(&Open::String);
        match byte {
            _ if comment => comment = byte != b'\n' || escaped_end(source, offset),
            b'(' if in_string && escaped => {
                open.push(Open::Bracket);
                escaped = false;
            }
            _ if in_string && escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if in_string => drop(open.pop()),
            _ if in_string => {}
            b'#' => comment = true,
            b'"' => open.push(Open::String),
            b'(' | b'[' | b'{' => open.push(Open::Bracket),
            b')' | b']' | b'}' => drop(open.pop()),
            _ => {}
        }
        if open.len() > MAX_EXPRESSION_DEPTH {
            return Err(too_deep(offset));
        }
    }
    Ok(())
}

/// Whether the line of a comment that ends at `newline` goes on, after an odd number of backslashes.
fn escaped_end(source: &str, newline: usize) -> bool {
    let line = source.get(..newline).unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn too_deep(offset: usize) -> Wrong {
    let expected =
        format!("at most MAX_EXPRESSION_DEPTH = {MAX_EXPRESSION_DEPTH} nested brackets and chained operators");
    Wrong::new(offset, "the expression is nested too deep or has too long a chain", expected)
}

/// Refuses words that aren't available, and bounds nesting and chains: what the parser, the compiler and the evaluation
/// recurse over. Gives the depth of the deepest, where `above` is what stands around these tokens.
fn check_tokens(source: &str, tokens: &[Token<&str>], above: usize) -> Result<usize, Wrong> {
    let chained = |token: &Token<&str>| match &token.1 {
        Tok::Word => is_keyword(token.0),
        Tok::Sym => !matches!(token.0, "." | ":" | "?" | ")" | "]" | "}"),
        Tok::Block(_) => true,
        Tok::Str(parts) => parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        Tok::Var | Tok::Fmt | Tok::Num => false,
    };
    let depth = above + 1 + tokens.iter().filter(|token| chained(token)).count();
    let mut deepest = depth;
    for Token(text, token) in tokens {
        if depth > MAX_EXPRESSION_DEPTH {
            let Wrong { what, expected, .. } = too_deep(0);
            return Err(Wrong::at(source, text, what, expected));
        }
        if let Some((word, instead)) =
            REFUSED.iter().find(|(word, _)| word == text || text.strip_prefix('$') == Some(word))
        {
            return Err(Wrong::at(source, text, format!("{word} is not available"), *instead));
        }
        match token {
            Tok::Fmt => {
                let what = format!("the format {text} is not available");
                return Err(Wrong::at(source, text, what, "tostring or tojson"));
            }
            Tok::Block(inner) => deepest = deepest.max(check_tokens(source, inner, depth)?),
            Tok::Str(parts) => {
                for part in parts {
                    if let StrPart::Term(Token(_, Tok::Block(inner))) = part {
                        deepest = deepest.max(check_tokens(source, inner, depth + parts.len())?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(deepest)
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "then" | "elif" | "else" | "end" | "and" | "or" | "as" | "reduce" | "foreach" | "try" | "catch"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(source: &str) -> Wrong {
        parse(source).unwrap_err()
    }

    #[test]
    fn faults_have_a_place() {
        for (source, offset) in [
            (".data | ", 8),
            (".a b", 3),
            ("{a: 1", 5),
            (".a | def f: 1; f", 5),
            (".a, ..", 4),
            ("\"\\q\"", 2),
            ("1 | @base64", 4),
            (".a | $__loc__", 5),
            (".a § .b", 3),
            ("", 0),
        ] {
            assert_eq!(wrong(source).offset, offset, "{source}: {:?}", wrong(source));
        }
    }

    #[test]
    fn nesting_and_chains_are_bounded_before_anything_recurses() {
        for source in [
            "(".repeat(10_000),
            "[".repeat(10_000),
            "-".repeat(10_000),
            "try ".repeat(4000),
            ".|".repeat(5000) + ".",
            "1,".repeat(5000) + "1",
            ". as $x|".repeat(2000) + ".",
            "\"\\(".repeat(3000),
            "if ".repeat(3000),
            "reduce ".repeat(2000),
            ".a[0]".repeat(2000),
            ". = ".repeat(3000) + ".",
        ] {
            let wrong = wrong(&source);
            assert!(wrong.expected.contains("MAX_EXPRESSION_DEPTH"), "{wrong:?}");
        }
        assert!(wrong(&" ".repeat(20_000)).expected.contains("MAX_EXPRESSION_LEN"));
    }
}
