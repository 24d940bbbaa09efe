//! The records of the log that hold configuration, byte by byte. Little-endian; a text or a list has its length in front,
//! as u32. Every body begins with the format version (u8, 1) and what it is (u8):
//!
//! | what | key | body |
//! |---|---|---|
//! | 1 document | `doc:<SHA-256>` | its bytes, as in the file |
//! | 2 revision | `rev:<number>` | number u32, actor, then its content: tree, base (reserved: absent), documents (type, SHA-256), types to declare (type, description), queues (name, max_depth u64 where present) |
//! | 3 activation | `act` | actor, trees (tree, revision u32), types added (application, type, description) |
//! | 4 types declared | `types:<application>` | actor, application, types (type, description) |
//! | 5 types retired | `types:<application>` | actor, application, types |
//!
//! What may be absent has a byte 0 or 1 in front.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::document::{DocumentId, QueueOptions};
use super::root_files::TypeDeclaration;
use crate::event::{EventType, Name, TreeScope};

const VERSION: u8 = 1;

/// A record of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Document(Bytes),
    Revision { number: u32, actor: Option<String>, content: RevisionContent },
    Activation { actor: Option<String>, trees: Vec<(TreeScope, u32)>, added: Vec<(Name, TypeDeclaration)> },
    Declared { actor: Option<String>, application: Name, types: Vec<TypeDeclaration> },
    Retired { actor: Option<String>, application: Name, types: Vec<EventType> },
}

/// What a revision says: the same content for the same tree is the same revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevisionContent {
    pub(super) tree: TreeScope,
    pub(super) documents: BTreeMap<EventType, DocumentId>,
    pub(super) types: Vec<TypeDeclaration>,
    pub(super) queues: BTreeMap<Name, QueueOptions>,
}

impl RevisionContent {
    /// A hash of all of it.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut out = Vec::new();
        self.write(&mut out);
        Sha256::digest(&out).into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_text(out, &self.tree.to_string());
        out.push(0);
        put_len(out, self.documents.len());
        for (event_type, id) in &self.documents {
            put_text(out, event_type.as_str());
            out.extend_from_slice(&id.0);
        }
        put_types(out, &self.types);
        put_len(out, self.queues.len());
        for (name, options) in &self.queues {
            put_text(out, name.as_str());
            out.push(u8::from(options.max_depth.is_some()));
            if let Some(max_depth) = options.max_depth {
                out.extend_from_slice(&max_depth.to_le_bytes());
            }
        }
    }
}

impl Record {
    /// The key it is found by.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Document(bytes) => format!("doc:{}", DocumentId::of(bytes)),
            Self::Revision { number, .. } => format!("rev:{number}"),
            Self::Activation { .. } => "act".to_owned(),
            Self::Declared { application, .. } | Self::Retired { application, .. } => format!("types:{application}"),
        }
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Document(bytes) => {
                out.push(1);
                out.extend_from_slice(bytes);
            }
            Self::Revision { number, actor, content } => {
                out.push(2);
                out.extend_from_slice(&number.to_le_bytes());
                put_optional(&mut out, actor.as_deref());
                content.write(&mut out);
            }
            Self::Activation { actor, trees, added } => {
                out.push(3);
                put_optional(&mut out, actor.as_deref());
                put_len(&mut out, trees.len());
                for (tree, revision) in trees {
                    put_text(&mut out, &tree.to_string());
                    out.extend_from_slice(&revision.to_le_bytes());
                }
                put_len(&mut out, added.len());
                for (application, declaration) in added {
                    put_text(&mut out, application.as_str());
                    put_type(&mut out, declaration);
                }
            }
            Self::Declared { actor, application, types } => {
                out.push(4);
                put_optional(&mut out, actor.as_deref());
                put_text(&mut out, application.as_str());
                put_types(&mut out, types);
            }
            Self::Retired { actor, application, types } => {
                out.push(5);
                put_optional(&mut out, actor.as_deref());
                put_text(&mut out, application.as_str());
                put_len(&mut out, types.len());
                types.iter().for_each(|event_type| put_text(&mut out, event_type.as_str()));
            }
        }
        out
    }

    /// Reads a body.
    pub(super) fn decode(body: &Bytes) -> Result<Self, &'static str> {
        let mut input = Input(body);
        match input.u8() {
            Some(VERSION) => {}
            Some(_) => return Err("a configuration record of a newer format version"),
            None => return Err(CUT),
        }
        let record = match input.u8().ok_or(CUT)? {
            1 => return Ok(Self::Document(body.slice(2..))),
            2 => {
                let number = input.u32().ok_or(CUT)?;
                let actor = input.optional()?;
                Self::Revision { number, actor, content: input.content()? }
            }
            3 => Self::Activation {
                actor: input.optional()?,
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
        if input.0.is_empty() { Ok(record) } else { Err("a configuration record with bytes behind its end") }
    }
}

const CUT: &str = "a configuration record that is cut short";
const WORD: &str = "a configuration record with a word that is not well formed";

fn put_len(out: &mut Vec<u8>, length: usize) {
    // Trees, files and names are bounded far below 4 GiB.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(out, text);
    }
}

fn put_type(out: &mut Vec<u8>, declaration: &TypeDeclaration) {
    put_text(out, declaration.event_type.as_str());
    put_optional(out, declaration.description.as_deref());
}

fn put_types(out: &mut Vec<u8>, types: &[TypeDeclaration]) {
    put_len(out, types.len());
    types.iter().for_each(|declaration| put_type(out, declaration));
}

/// The rest of a body.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
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

    fn optional(&mut self) -> Result<Option<String>, &'static str> {
        match self.u8().ok_or(CUT)? {
            0 => Ok(None),
            _ => Ok(Some(self.text()?.to_owned())),
        }
    }

    fn declaration(&mut self) -> Result<TypeDeclaration, &'static str> {
        Ok(TypeDeclaration { event_type: self.word()?, description: self.optional()? })
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, &'static str>) -> Result<Vec<T>, &'static str> {
        let count = self.u32().ok_or(CUT)?;
        // Grows as items are found: a damaged count must not ask for memory.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn content(&mut self) -> Result<RevisionContent, &'static str> {
        let tree = self.word()?;
        if self.optional()?.is_some() {
            return Err("a revision with a base, which this version doesn't read");
        }
        let documents = self.list(|input| Ok((input.word()?, DocumentId(input.array().ok_or(CUT)?))))?;
        let types = self.list(Self::declaration)?;
        let queues = self.list(|input| {
            let name = input.name()?;
            let max_depth = match input.u8().ok_or(CUT)? {
                0 => None,
                _ => Some(u64::from_le_bytes(input.array().ok_or(CUT)?)),
            };
            Ok((name, QueueOptions { max_depth }))
        })?;
        Ok(RevisionContent {
            tree,
            documents: documents.into_iter().collect(),
            types,
            queues: queues.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn examples() -> Vec<Record> {
        let declaration =
            |text: &str| TypeDeclaration { event_type: text.parse().unwrap(), description: Some("d".to_owned()) };
        let application = Name::parse("application", "loans").unwrap();
        vec![
            Record::Document(Bytes::from_static(b"{\"handlers\": []}")),
            Record::Revision {
                number: 7,
                actor: Some("desk 7".to_owned()),
                content: RevisionContent {
                    tree: "_/loans/pilot".parse().unwrap(),
                    documents: BTreeMap::from([("A_B_C_D_1".parse().unwrap(), DocumentId::of(b"x"))]),
                    types: vec![declaration("A_B_C_D_1")],
                    queues: BTreeMap::from([
                        (Name::parse("queue", "letters").unwrap(), QueueOptions { max_depth: Some(9) }),
                        (Name::parse("queue", "mail").unwrap(), QueueOptions::default()),
                    ]),
                },
            },
            Record::Activation {
                actor: None,
                trees: vec![("bank/loans".parse().unwrap(), 7)],
                added: vec![(application.clone(), declaration("A_B_C_D_1"))],
            },
            Record::Declared { actor: None, application: application.clone(), types: vec![declaration("A_B_C_D_2")] },
            Record::Retired { actor: None, application, types: vec!["A_B_C_D_2".parse().unwrap()] },
        ]
    }

    #[test]
    fn records_round_trip_and_every_cut_is_found() {
        for record in examples() {
            let body = Bytes::from(record.encode());
            assert_eq!(Record::decode(&body).unwrap(), record);
            if !matches!(record, Record::Document(_)) {
                for cut in 0..body.len() {
                    assert!(Record::decode(&body.slice(..cut)).is_err(), "{record:?} cut at {cut}");
                }
                assert!(Record::decode(&[&body[..], b"x"].concat().into()).is_err());
            }
        }
    }

    /// The bytes are part of the log's format: a change here is a change of the format.
    #[test]
    fn the_bytes_stay_as_they_are() {
        let hex = |record: &Record| record.encode().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let examples = examples();
        assert_eq!(
            hex(&examples[2]),
            "01030001000000\
             0a00000062616e6b2f6c6f616e7307000000\
             01000000050000006c6f616e7309000000415f425f435f445f31010100000064"
        );
        assert_eq!(hex(&examples[4]), "010500050000006c6f616e730100000009000000415f425f435f445f32");
        assert_eq!(examples[1].key(), "rev:7");
        assert_eq!(examples[3].key(), "types:loans");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), what in 0u8..7) {
            bytes.splice(0..0, [1, what]);
            let _ = Record::decode(&bytes.into());
        }
    }
}
