//! Reading configuration records, of version 2 and of version 1.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{By, Placed, Record, Revision, identity};
use crate::config::declaration::{SchemaFormat, SchemaRef, TypeDeclaration, Upcast};
use crate::config::document::DocumentId;
use crate::event::Name;

const CUT: &str = "a configuration record that is cut short";
const WORD: &str = "a configuration record with a word that is not well formed";

impl Record {
    /// Reads a body.
    pub(in crate::config) fn decode(body: &Bytes) -> Result<Self, &'static str> {
        let mut input = Input { rest: body, version: 0 };
        input.version = match input.u8() {
            Some(version @ (1 | 2)) => version,
            Some(_) => return Err("a configuration record of a newer format version"),
            None => return Err(CUT),
        };
        let record = match input.u8().ok_or(CUT)? {
            1 => return Ok(Self::Document(body.slice(2..))),
            2 if input.version == 1 => Self::Revision(Box::new(input.first_revision()?)),
            2 => Self::Revision(Box::new(input.revision()?)),
            3 => Self::Activation {
                by: input.by()?,
                trees: input.list(|input| Ok((input.word()?, input.u32().ok_or(CUT)?)))?,
                added: input.list(|input| Ok((input.name()?, input.declaration()?)))?,
            },
            4 => Self::Declared {
                actor: input.optional()?,
                application: input.name()?,
                types: input.list(Input::declaration)?,
            },
            5 => {
                Self::Retired { actor: input.optional()?, application: input.name()?, types: input.list(Input::word)? }
            }
            _ => return Err("a configuration record of an unknown sort"),
        };
        if input.rest.is_empty() { Ok(record) } else { Err("a configuration record with bytes behind its end") }
    }
}

/// The rest of a body, of a format version.
struct Input<'a> {
    rest: &'a [u8],
    version: u8,
}

impl Input<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (head, tail) = self.rest.split_at_checked(length)?;
        self.rest = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<&str, &'static str> {
        let length = self.u32().ok_or(CUT)?;
        let bytes = self.take(usize::try_from(length).map_err(|_| CUT)?).ok_or(CUT)?;
        std::str::from_utf8(bytes).map_err(|_| WORD)
    }

    fn word<T: std::str::FromStr>(&mut self) -> Result<T, &'static str> {
        self.text()?.parse().map_err(|_| WORD)
    }

    fn name(&mut self) -> Result<Name, &'static str> {
        Name::parse("name", self.text()?).map_err(|_| WORD)
    }

    fn id(&mut self) -> Result<DocumentId, &'static str> {
        self.array().map(DocumentId).ok_or(CUT)
    }

    /// What stands behind a byte that says whether it does.
    fn maybe<T>(&mut self, item: impl FnOnce(&mut Self) -> Result<T, &'static str>) -> Result<Option<T>, &'static str> {
        match self.u8().ok_or(CUT)? {
            0 => Ok(None),
            _ => item(self).map(Some),
        }
    }

    fn optional(&mut self) -> Result<Option<String>, &'static str> {
        self.maybe(|input| input.text().map(str::to_owned))
    }

    fn by(&mut self) -> Result<By, &'static str> {
        let actor = self.optional()?;
        let reason = if self.version == 1 { None } else { self.optional()? };
        Ok(By { actor, reason })
    }

    fn declaration(&mut self) -> Result<TypeDeclaration, &'static str> {
        let (event_type, description) = (self.word()?, self.optional()?);
        if self.version == 1 {
            return Ok(TypeDeclaration { event_type, description, schema: None, upcast: None });
        }
        let schema = self.maybe(|input| {
            let format = input.u8().and_then(SchemaFormat::of_number).ok_or("a schema of an unknown format")?;
            Ok(SchemaRef { format, document: input.id()?, name: input.optional()? })
        })?;
        let upcast = match self.u8().ok_or(CUT)? {
            0 => None,
            1 => Some(Upcast::Jq(self.text()?.to_owned())),
            2 => Some(Upcast::Function(self.text()?.to_owned())),
            _ => return Err("an upcast of an unknown sort"),
        };
        Ok(TypeDeclaration { event_type, description, schema, upcast })
    }

    fn list<T, L: FromIterator<T>>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, &'static str>,
    ) -> Result<L, &'static str> {
        let count = self.u32().ok_or(CUT)?;
        // Grows as items are found: a damaged count must not ask for memory.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items.into_iter().collect())
    }

    fn revision(&mut self) -> Result<Revision, &'static str> {
        Ok(Revision {
            number: self.u32().ok_or(CUT)?,
            by: self.by()?,
            tree: self.word()?,
            identity: self.array().ok_or(CUT)?,
            extends: self.maybe(Self::word)?,
            base: self.maybe(|input| input.u32().ok_or(CUT))?,
            documents: self.list(|input| Ok((input.word()?, Placed { id: input.id()?, path: input.optional()? })))?,
            removed: self.list(Self::word)?,
            files: self.list(|input| Ok((input.text()?.to_owned(), input.id()?)))?,
            inline: Vec::new(),
        })
    }

    /// A revision of version 1, which holds what `types.json` and `queues.json` said instead of the files.
    fn first_revision(&mut self) -> Result<Revision, &'static str> {
        let (number, by, tree) = (self.u32().ok_or(CUT)?, self.by()?, self.word()?);
        if self.u8().ok_or(CUT)? != 0 {
            return Err("a revision of version 1 with a base");
        }
        let documents = self.list(|input| Ok((input.word()?, Placed { id: input.id()?, path: None })))?;
        let types: Vec<TypeDeclaration> = self.list(Self::declaration)?;
        let queues: BTreeMap<Name, serde_json::Value> = self.list(|input| {
            let name = input.name()?;
            let max_depth = input.maybe(|input| input.array().map(u64::from_le_bytes).ok_or(CUT))?;
            Ok((name, max_depth.map_or_else(|| serde_json::json!({}), |n| serde_json::json!({ "max_depth": n }))))
        })?;
        let types: Vec<serde_json::Value> = types
            .into_iter()
            .map(|TypeDeclaration { event_type, description, .. }| match description {
                None => serde_json::json!(event_type),
                Some(description) => serde_json::json!({ "type": event_type, "description": description }),
            })
            .collect();
        let (mut files, mut inline) = (BTreeMap::new(), Vec::new());
        let written = [
            (!types.is_empty()).then(|| ("types.json", serde_json::json!(types))),
            (!queues.is_empty()).then(|| ("queues.json", serde_json::json!(queues))),
        ];
        for (path, content) in written.into_iter().flatten() {
            let bytes = Bytes::from(format!("{content:#}\n"));
            files.insert(path.to_owned(), DocumentId::of(&bytes));
            inline.push(bytes);
        }
        let identity = identity(&tree, None, &documents, &files);
        let (extends, base, removed) = (None, None, std::collections::BTreeSet::new());
        Ok(Revision { number, by, tree, identity, extends, base, documents, removed, files, inline })
    }
}
