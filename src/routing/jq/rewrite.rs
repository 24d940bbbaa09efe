//! Checks the calls of an expression against what is available, and rewrites it so that all it does is counted:
//!
//! | written | compiled as |
//! |---|---|
//! | `f[]`, `f[a:b]` | `f \| _elements \| .[]`, before anything is yielded or copied |
//! | `f[g]` | `f[g \| _index]`: indexing by a list would search |
//! | `f, g` | `(_step \| f), (_step \| g)` |
//! | `[f]`, `{...}`, `f = g`, `f \|= g` | the same `\| _whole`: the value that was built is weighed |
//! | `f + g`, `f < g`, ... | `_add(f; g)`, ...: operands are weighed, unless one is a plain literal that is compared |
//! | `"\(f)"` | `"\(f \| _text)" \| _whole` |
//! | `f?`, `try f` | `try f catch _drop`: the message it makes is weighed |
//!
//! What remains (literals, variables, fields, `if`, `and`, `//`, one step of `reduce`) costs no more than its text.

use jaq_core::load::Arena;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::{Cmp, Math};
use jaq_core::path::{Opt, Part, Path};

use super::functions;
use super::syntax::Wrong;
use crate::config::{Constants, nearest};

type Expr<'s> = Term<&'s str>;
type Rewritten<'s> = Result<Expr<'s>, Wrong>;

/// The variable that holds the constants of a tree.
pub(crate) const CONSTANTS: &str = "$const";

/// Rewrites one expression; `arena` keeps the texts that the rewriting makes.
pub(crate) struct Rewriter<'s> {
    pub(crate) source: &'s str,
    pub(crate) arena: &'s Arena,
    /// The constants that there are; `None` where they aren't known.
    pub(crate) constants: Option<&'s Constants>,
    /// Whether each part that may fail notes where it stands when it does: `try f catch _mark(offset)`.
    pub(crate) marks: bool,
}

fn call<'s>(name: &'s str, arguments: Vec<Expr<'s>>) -> Expr<'s> {
    Term::Call(name, arguments)
}

fn pipe<'s>(left: Expr<'s>, right: Expr<'s>) -> Expr<'s> {
    match left {
        Term::Id => right,
        left => Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right)),
    }
}

fn then<'s>(left: Expr<'s>, filter: &'s str) -> Expr<'s> {
    pipe(left, call(filter, Vec::new()))
}

fn is_literal(term: &Expr<'_>) -> bool {
    match term {
        Term::Num(_) => true,
        Term::Str(None, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(_))),
        Term::Call(name, arguments) => arguments.is_empty() && matches!(*name, "null" | "true" | "false"),
        _ => false,
    }
}

fn math(op: Math) -> &'static str {
    match op {
        Math::Add => "_add",
        Math::Sub => "_sub",
        Math::Mul => "_mul",
        Math::Div => "_div",
        Math::Rem => "_rem",
    }
}

fn cmp(op: Cmp) -> &'static str {
    match op {
        Cmp::Eq => "_eq",
        Cmp::Ne => "_ne",
        Cmp::Lt => "_lt",
        Cmp::Le => "_le",
        Cmp::Gt => "_gt",
        Cmp::Ge => "_ge",
    }
}

/// The text that a term begins with, as far as it has any of its own.
fn begins<'s>(term: &Expr<'s>) -> Option<&'s str> {
    match term {
        Term::Call(name, _) | Term::Var(name) | Term::Num(name) => Some(name),
        Term::Str(_, parts) => parts.iter().find_map(|part| match part {
            StrPart::Str(text) => Some(*text),
            _ => None,
        }),
        Term::Neg(inner) => begins(inner),
        Term::BinOp(left, _, right) => begins(left).or_else(|| begins(right)),
        Term::Path(head, Path(parts)) => begins(head).or_else(|| match parts.first() {
            Some((Part::Index(index), _)) => begins(index),
            _ => None,
        }),
        _ => None,
    }
}

impl<'s> Rewriter<'s> {
    pub(crate) fn term(&self, term: Expr<'s>) -> Rewritten<'s> {
        let may_fail = matches!(term, Term::Call(..) | Term::Path(..) | Term::Neg(_) | Term::BinOp(..));
        match begins(&term).filter(|_| self.marks && may_fail) {
            Some(text) => {
                let offset = Wrong::at(self.source, text, "", "").offset;
                let mark = call("_mark", vec![Term::Num(self.arena.alloc(offset.to_string()))]);
                Ok(Term::TryCatch(Box::new(self.rewritten(term)?), Some(Box::new(mark))))
            }
            None => self.rewritten(term),
        }
    }

    fn rewritten(&self, term: Expr<'s>) -> Rewritten<'s> {
        Ok(match term {
            Term::Id | Term::Num(_) | Term::Var(_) | Term::Arr(None) => term,
            Term::Str(format, parts) => return self.string(format, parts),
            Term::Arr(Some(inner)) => then(Term::Arr(Some(self.boxed(*inner)?)), "_whole"),
            Term::Obj(entries) => return self.object(entries),
            Term::Neg(inner) => Term::Neg(self.boxed(*inner)?),
            Term::BinOp(left, op, right) => return self.binary(*left, op, *right),
            Term::Fold(name, over, pattern, arguments) => {
                let over = self.boxed(*over)?;
                Term::Fold(name, over, self.pattern(pattern)?, self.terms(arguments)?)
            }
            Term::TryCatch(tried, caught) => {
                let caught = match caught {
                    Some(caught) => pipe(call("_whole", Vec::new()), self.term(*caught)?),
                    None => call("_drop", Vec::new()),
                };
                Term::TryCatch(self.boxed(*tried)?, Some(Box::new(caught)))
            }
            Term::IfThenElse(branches, otherwise) => {
                let branch = |(condition, then)| Ok((self.term(condition)?, self.term(then)?));
                let branches = branches.into_iter().map(branch).collect::<Result<_, Wrong>>()?;
                Term::IfThenElse(branches, otherwise.map(|term| self.boxed(*term)).transpose()?)
            }
            Term::Call(name, arguments) => return self.function(name, arguments),
            Term::Path(head, Path(parts)) => return self.path(*head, parts),
            Term::Recurse => return Err(self.refuse("..")),
            Term::Label(name, _) | Term::Break(name) => return Err(self.refuse(name)),
            Term::Def(definitions, _) => {
                return Err(self.refuse(definitions.first().map_or("def", |definition| definition.name)));
            }
        })
    }

    fn boxed(&self, term: Expr<'s>) -> Result<Box<Expr<'s>>, Wrong> {
        self.term(term).map(Box::new)
    }

    fn terms(&self, terms: Vec<Expr<'s>>) -> Result<Vec<Expr<'s>>, Wrong> {
        terms.into_iter().map(|term| self.term(term)).collect()
    }

    fn refuse(&self, part: &str) -> Wrong {
        Wrong::at(self.source, part, format!("{part} is not available"), "a function of the guide's list")
    }

    fn function(&self, name: &'s str, arguments: Vec<Expr<'s>>) -> Rewritten<'s> {
        let arity = arguments.len();
        if functions::available().any(|known| known == (name, arity)) {
            return Ok(call(name, self.terms(arguments)?));
        }
        let arities: Vec<String> =
            functions::available().filter(|(known, _)| *known == name).map(|(_, n)| n.to_string()).collect();
        let (what, expected) = if arities.is_empty() {
            let expected = match nearest(name, functions::available().map(|(known, _)| known)) {
                Some(near) => format!("an available function (did you mean {near}?)"),
                None => "a function of the guide's list, or .field".to_owned(),
            };
            (format!("the function {name} is not available"), expected)
        } else {
            (format!("{name} is called with {arity} arguments"), format!("{} of them", arities.join(" or ")))
        };
        Err(Wrong::at(self.source, name, what, expected))
    }

    fn binary(&self, left: Expr<'s>, op: BinaryOp<&'s str>, right: Expr<'s>) -> Rewritten<'s> {
        let stepped = |term: Expr<'s>| Ok::<_, Wrong>(Box::new(pipe(call("_step", Vec::new()), self.term(term)?)));
        let bin = |left, op, right| Term::BinOp(left, op, right);
        Ok(match op {
            BinaryOp::Comma => bin(stepped(left)?, BinaryOp::Comma, stepped(right)?),
            BinaryOp::Pipe(pattern) => {
                let pattern = pattern.map(|pattern| self.pattern(pattern)).transpose()?;
                bin(self.boxed(left)?, BinaryOp::Pipe(pattern), self.boxed(right)?)
            }
            BinaryOp::Alt | BinaryOp::Or | BinaryOp::And => bin(self.boxed(left)?, op, self.boxed(right)?),
            BinaryOp::Cmp(_) if is_literal(&left) || is_literal(&right) => {
                bin(self.boxed(left)?, op, self.boxed(right)?)
            }
            BinaryOp::Cmp(op) => call(cmp(op), vec![self.term(left)?, self.term(right)?]),
            BinaryOp::Math(op) => call(math(op), vec![self.term(left)?, self.term(right)?]),
            BinaryOp::Assign | BinaryOp::UpdateAlt => then(bin(self.boxed(left)?, op, self.boxed(right)?), "_whole"),
            BinaryOp::Update => then(bin(self.boxed(left)?, BinaryOp::Update, stepped(right)?), "_whole"),
            BinaryOp::UpdateMath(op) => {
                // `p += f` is `f as $y | p |= . + $y`. No name of an expression has a space in it.
                const OPERAND: &str = "$ operand";
                let sum = call(math(op), vec![Term::Id, Term::Var(OPERAND)]);
                let update = bin(self.boxed(left)?, BinaryOp::Update, Box::new(sum));
                let bind = BinaryOp::Pipe(Some(Pattern::Var(OPERAND)));
                bin(self.boxed(right)?, bind, Box::new(then(update, "_whole")))
            }
        })
    }

    fn pattern(&self, pattern: Pattern<&'s str>) -> Result<Pattern<&'s str>, Wrong> {
        Ok(match pattern {
            Pattern::Var(name) if name == CONSTANTS => {
                let expected = "another name; $const holds the constants of the tree";
                return Err(Wrong::at(self.source, name, format!("the variable {name} can't be bound"), expected));
            }
            Pattern::Var(name) => Pattern::Var(name),
            Pattern::Arr(inner) => {
                Pattern::Arr(inner.into_iter().map(|pattern| self.pattern(pattern)).collect::<Result<_, _>>()?)
            }
            Pattern::Obj(entries) => {
                let entry = |(key, pattern)| Ok((self.index(key)?, self.pattern(pattern)?));
                Pattern::Obj(entries.into_iter().map(entry).collect::<Result<_, Wrong>>()?)
            }
        })
    }

    /// A term whose outputs are used as index.
    fn index(&self, term: Expr<'s>) -> Rewritten<'s> {
        let literal = is_literal(&term);
        let term = self.term(term)?;
        Ok(if literal { term } else { then(term, "_index") })
    }

    fn path(&self, head: Expr<'s>, parts: Vec<(Part<Expr<'s>>, Opt)>) -> Rewritten<'s> {
        if let (Term::Var(CONSTANTS), Some((Part::Index(Term::Str(None, name)), _))) = (&head, parts.first())
            && let [StrPart::Str(name)] = name.as_slice()
        {
            self.constant(name)?;
        }
        let mut term = self.term(head)?;
        let mut pending = Vec::new();
        for (part, opt) in parts {
            let part = match part {
                Part::Index(index) => Part::Index(self.index(index)?),
                Part::Range(from, to) => {
                    if !pending.is_empty() {
                        term = Term::Path(Box::new(term), Path(std::mem::take(&mut pending)));
                    }
                    term = then(term, "_elements");
                    let bound = |term: Option<Expr<'s>>| term.map(|term| self.index(term)).transpose();
                    Part::Range(bound(from)?, bound(to)?)
                }
            };
            pending.push((part, opt));
        }
        Ok(if pending.is_empty() { term } else { Term::Path(Box::new(term), Path(pending)) })
    }

    /// Checks the name of a constant.
    fn constant(&self, name: &str) -> Result<(), Wrong> {
        let Some(constants) = self.constants.filter(|constants| !constants.contains(name)) else { return Ok(()) };
        let expected = match nearest(name, constants.names()) {
            Some(near) => format!("a constant of constants.json (did you mean {near:?}?)"),
            None => "a constant of constants.json".to_owned(),
        };
        Err(Wrong::at(self.source, name, format!("unknown constant {name:?}"), expected))
    }

    fn object(&self, entries: Vec<(Expr<'s>, Option<Expr<'s>>)>) -> Rewritten<'s> {
        let count = entries.len() as u64;
        let entry = |(key, value): (Expr<'s>, Option<Expr<'s>>)| {
            let named = matches!(key, Term::Var(_)) || is_literal(&key);
            let key = self.term(key)?;
            let key = if named { key } else { then(key, "_name") };
            Ok((key, value.map(|value| self.term(value)).transpose()?))
        };
        let object = Term::Obj(entries.into_iter().map(entry).collect::<Result<_, Wrong>>()?);
        // jaq builds an object of n entries as a sum of n objects.
        let units: &str = self.arena.alloc((count * count / 4).to_string());
        let object = then(object, "_whole");
        Ok(if count > 8 { pipe(call("_units", vec![Term::Num(units)]), object) } else { object })
    }

    fn string(&self, format: Option<&'s str>, parts: Vec<StrPart<&'s str, Expr<'s>>>) -> Rewritten<'s> {
        if let Some(format) = format {
            return Err(self.refuse(format));
        }
        let (mut merged, mut text, mut interpolated) = (Vec::new(), String::new(), 0u64);
        for part in parts {
            match part {
                StrPart::Str(s) => text.push_str(s),
                StrPart::Char(c) => text.push(c),
                StrPart::Term(term) => {
                    self.flush(&mut text, &mut merged);
                    interpolated += 1;
                    merged.push(StrPart::Term(then(self.term(term)?, "_text")));
                }
            }
        }
        self.flush(&mut text, &mut merged);
        let string = Term::Str(None, merged);
        Ok(if interpolated == 0 { string } else { then(string, "_whole") })
    }

    fn flush(&self, text: &mut String, merged: &mut Vec<StrPart<&'s str, Expr<'s>>>) {
        if !text.is_empty() {
            let text: &'s str = self.arena.alloc(std::mem::take(text));
            merged.push(StrPart::Str(text));
        }
    }
}
