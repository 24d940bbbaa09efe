//! The records of the log that hold configuration, byte by byte. Little-endian; a text or a list has its length in front,
//! as u32; what may be absent has a byte 0 or 1 in front. Every body begins with the format version (u8) and what it is
//! (u8). Version 2 is what is written; version 1 is read as well.
//!
//! | what | key | body |
//! |---|---|---|
//! | 1 document | `doc:<SHA-256>` | its bytes, as in the file; of root files and schemas too |
//! | 2 revision | `rev:<number>` | number u32, actor, reason, tree, identity (32 bytes), extends (tree), base (u32), documents (type, SHA-256, path where it isn't the canonical one), types removed from the base, other files (path, SHA-256) |
//! | 3 activation | `act` | actor, reason, trees (tree, revision u32), declarations of types that are new, or of which more is known (application, declaration) |
//! | 4 types declared | `types:<application>` | actor, application, declarations |
//! | 5 types retired | `types:<application>` | actor, application, types |
//!
//! A declaration is a type, a description, and a schema: its format (u8: 1 JSON Schema, 2 Avro), SHA-256 of its text, the
//! name in it; and an upcast (u8: 1 jq, 2 function; a text).
//!
//! Of version 1: no reasons; a revision is number, actor, tree, base (always absent), documents (type, SHA-256), types to
//! declare, queues (name, max_depth u64); a declaration is a type and a description.

mod decode;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::declaration::{SchemaRef, TypeDeclaration, Upcast};
use super::document::DocumentId;
use crate::event::{EventType, Name, TreeScope};

const VERSION: u8 = 2;

/// A record of configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Document(Bytes),
    Revision(Box<Revision>),
    Activation { by: By, trees: Vec<(TreeScope, u32)>, added: Vec<(Name, TypeDeclaration)> },
    Declared { actor: Option<String>, application: Name, types: Vec<TypeDeclaration> },
    Retired { actor: Option<String>, application: Name, types: Vec<EventType> },
}

/// Who did something, and why, where they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct By {
    pub(super) actor: Option<String>,
    pub(super) reason: Option<String>,
}

/// A revision: the documents of another one but for what it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revision {
    pub(super) number: u32,
    pub(super) by: By,
    pub(super) tree: TreeScope,
    /// What its author wrote, as a hash: the same content for the same tree is the same revision.
    pub(super) identity: [u8; 32],
    /// The tree that its author has it extend; `base` is a revision of that one then.
    pub(super) extends: Option<TreeScope>,
    /// The revision whose documents it has, but for those below. Without `extends` it only saves space.
    pub(super) base: Option<u32>,
    pub(super) documents: BTreeMap<EventType, Placed>,
    /// Types of the base that it has no document for.
    pub(super) removed: BTreeSet<EventType>,
    /// Files that are no documents of a type, by path.
    pub(super) files: BTreeMap<String, DocumentId>,
    /// Files that stand in the record itself, as in version 1.
    pub(super) inline: Vec<Bytes>,
}

/// A document in a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Placed {
    pub(super) id: DocumentId,
    /// Its file, where its folders are spelled otherwise than in lower case.
    pub(super) path: Option<String>,
}

/// What the author of a tree wrote, as a hash.
pub(super) fn identity(
    tree: &TreeScope,
    extends: Option<(&TreeScope, u32)>,
    documents: &BTreeMap<EventType, Placed>,
    files: &BTreeMap<String, DocumentId>,
) -> [u8; 32] {
    let mut out = Vec::new();
    put_text(&mut out, &tree.to_string());
    out.push(u8::from(extends.is_some()));
    if let Some((tree, revision)) = extends {
        put_text(&mut out, &tree.to_string());
        out.extend_from_slice(&revision.to_le_bytes());
    }
    put_len(&mut out, documents.len());
    for (event_type, placed) in documents {
        put_text(&mut out, event_type.as_str());
        out.extend_from_slice(&placed.id.0);
    }
    put_files(&mut out, files);
    Sha256::digest(&out).into()
}

impl Record {
    /// The key it is found by.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Document(bytes) => format!("doc:{}", DocumentId::of(bytes)),
            Self::Revision(revision) => format!("rev:{}", revision.number),
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
            Self::Revision(revision) => {
                out.push(2);
                revision.write(&mut out);
            }
            Self::Activation { by, trees, added } => {
                out.push(3);
                put_by(&mut out, by);
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
                put_len(&mut out, types.len());
                types.iter().for_each(|declaration| put_type(&mut out, declaration));
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
}

impl Revision {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_le_bytes());
        put_by(out, &self.by);
        put_text(out, &self.tree.to_string());
        out.extend_from_slice(&self.identity);
        put_optional(out, self.extends.as_ref().map(ToString::to_string).as_deref());
        out.push(u8::from(self.base.is_some()));
        if let Some(base) = self.base {
            out.extend_from_slice(&base.to_le_bytes());
        }
        put_len(out, self.documents.len());
        for (event_type, Placed { id, path }) in &self.documents {
            put_text(out, event_type.as_str());
            out.extend_from_slice(&id.0);
            put_optional(out, path.as_deref());
        }
        put_len(out, self.removed.len());
        self.removed.iter().for_each(|event_type| put_text(out, event_type.as_str()));
        put_files(out, &self.files);
    }
}

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

fn put_by(out: &mut Vec<u8>, by: &By) {
    put_optional(out, by.actor.as_deref());
    put_optional(out, by.reason.as_deref());
}

fn put_files(out: &mut Vec<u8>, files: &BTreeMap<String, DocumentId>) {
    put_len(out, files.len());
    for (path, id) in files {
        put_text(out, path);
        out.extend_from_slice(&id.0);
    }
}

fn put_type(out: &mut Vec<u8>, declaration: &TypeDeclaration) {
    put_text(out, declaration.event_type.as_str());
    put_optional(out, declaration.description.as_deref());
    out.push(u8::from(declaration.schema.is_some()));
    if let Some(SchemaRef { format, document, name }) = &declaration.schema {
        out.push(format.number());
        out.extend_from_slice(&document.0);
        put_optional(out, name.as_deref());
    }
    match &declaration.upcast {
        None => out.push(0),
        Some(upcast) => {
            let (number, text) = match upcast {
                Upcast::Jq(text) => (1, text),
                Upcast::Function(text) => (2, text),
            };
            out.push(number);
            put_text(out, text);
        }
    }
}

#[cfg(test)]
mod tests;
