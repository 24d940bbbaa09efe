//! The catalogue of event types of an application: declared, listed, retired.

use std::collections::BTreeMap;

use super::catalog::Catalog;
use super::constants::Constants;
use super::declaration::{TypeDeclaration, Upcast};
use super::document::DocumentId;
use super::fault::{ConfigError, Gap};
use super::info::TypeInfo;
use super::nearest::nearest;
use super::records::Record;
use super::report::Declared;
use super::types_file::Declarations;
use super::{schema, upcasts};
use crate::event::{EventType, Name};

impl Catalog {
    /// Declares event types of an application. They bind the next activation of each of its trees. A known type may get a
    /// schema that accepts at least as much as the one it has. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::Retired`], [`ConfigError::Incomplete`] with schemas that are stricter than before and upcasts from
    /// types that aren't known, or an error of the store.
    pub fn types_declare(&self, application: &Name, declared: &Declarations) -> Result<Declared, ConfigError> {
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        let catalogue = inner.derived.catalogue(application)?;
        let types = &declared.types;
        if let Some(retired) = types.iter().find(|t| catalogue.get(&t.event_type).is_some_and(|known| known.retired)) {
            let event_type = retired.event_type.clone();
            return Err(ConfigError::Retired { application: application.clone(), event_type });
        }
        let mut new: BTreeMap<&EventType, &TypeDeclaration> = BTreeMap::new();
        let mut changed = Vec::new();
        for declaration in types {
            match catalogue.get(&declaration.event_type) {
                None => drop(new.insert(&declaration.event_type, declaration)),
                Some(known) if declaration.says_other_than(&known.declaration) => {
                    changed.push((application.clone(), declaration.clone()));
                }
                Some(_) => {}
            }
            if let Some(Upcast::Jq(text)) = &declaration.upcast
                && let Err(fault) = (inner.expressions)(text, Some(&Constants::default()))
            {
                let event_type = declaration.event_type.clone();
                return Err(ConfigError::Upcast { event_type, what: fault.what, expected: fault.expected });
            }
            if let (Some(Upcast::Function(name)), Some(known)) = (&declaration.upcast, &inner.bindings.upcasters)
                && !known.contains(name)
            {
                let (what, event_type) = (format!("unknown function {name:?}"), declaration.event_type.clone());
                let expected = "an upcast function that the host registers".to_owned();
                return Err(ConfigError::Upcast { event_type, what, expected });
            }
        }
        let all = new.values().copied().chain(changed.iter().map(|(_, declaration)| declaration));
        let mut gaps: Vec<Gap> = upcasts::gaps(application, &catalogue, all).collect();
        let text = |id: &DocumentId| match declared.schemas.get(id) {
            Some(text) => Ok(Some(text.clone())),
            None => inner.derived.document(*id),
        };
        gaps.extend(schema::gaps(application, &catalogue, &changed, text)?);
        if !gaps.is_empty() {
            return Err(ConfigError::Incomplete(gaps));
        }
        let added: Vec<EventType> = new.keys().copied().cloned().collect();
        let written: Vec<TypeDeclaration> =
            new.into_values().cloned().chain(changed.iter().map(|(_, declaration)| declaration.clone())).collect();
        let changed: Vec<EventType> = changed.into_iter().map(|(_, declaration)| declaration.event_type).collect();
        if !written.is_empty() {
            let mut records = Vec::new();
            for (id, text) in &declared.schemas {
                if inner.derived.document(*id)?.is_none() {
                    records.push(Record::Document(text.clone()));
                }
            }
            let (actor, application) = (self.by.actor.clone(), application.clone());
            records.push(Record::Declared { actor, application, types: written });
            inner.write(&records)?;
        }
        Ok(Declared { known: types.len() - added.len() - changed.len(), added, changed })
    }

    /// The catalogue of an application.
    ///
    /// # Errors
    /// An error of the store.
    pub fn types_list(&self, application: &Name) -> Result<Vec<TypeInfo>, ConfigError> {
        self.inner.derived.types(application)
    }

    /// Retires a type of an application: events of it are refused from now on, and trees needn't have a document for it.
    /// Says whether that changed anything. Blocking.
    ///
    /// # Errors
    /// [`ConfigError::UnknownType`], or an error of the store.
    pub fn types_retire(&self, application: &Name, event_type: &EventType) -> Result<bool, ConfigError> {
        let inner = &*self.inner;
        let _changing = inner.changing.lock();
        inner.apply()?;
        let catalogue = inner.derived.catalogue(application)?;
        match catalogue.get(event_type) {
            Some(known) if known.retired => return Ok(false),
            Some(_) => {}
            None => {
                let near = nearest(event_type.as_str(), catalogue.keys().map(EventType::as_str));
                let near = near.map(|near| format!(", such as {near}")).unwrap_or_default();
                let (application, event_type) = (application.clone(), event_type.clone());
                return Err(ConfigError::UnknownType { application, event_type, near });
            }
        }
        let (application, types) = (application.clone(), vec![event_type.clone()]);
        inner.write(&[Record::Retired { actor: self.by.actor.clone(), application, types }])?;
        Ok(true)
    }
}
