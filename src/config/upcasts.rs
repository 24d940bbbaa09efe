//! Upcasts: a type of version n says how data of version n-1 become its own. A chain of them lifts any version to the
//! newest; it has no cycles, as each goes up by one, and a proof sees to it that there are no gaps.

use std::collections::BTreeSet;

use super::completeness::Catalogue;
use super::declaration::TypeDeclaration;
use super::fault::Gap;
use crate::event::{EventType, Name};

/// The same type, one version earlier; `None` of version 1.
pub(crate) fn before(event_type: &EventType) -> Option<EventType> {
    neighbour(event_type, |version| version.checked_sub(1).filter(|version| *version > 0))
}

/// The same type, one version later.
pub(crate) fn after(event_type: &EventType) -> Option<EventType> {
    neighbour(event_type, |version| version.checked_add(1))
}

fn neighbour(event_type: &EventType, change: impl FnOnce(u32) -> Option<u32>) -> Option<EventType> {
    let [kind, flow, operation, result, version] = event_type.parts();
    let version = change(version.parse().ok()?)?;
    format!("{kind}_{flow}_{operation}_{result}_{version}").parse().ok()
}

/// The upcasts among new declarations that come from a type which is neither in the catalogue nor new.
pub(super) fn gaps<'a>(
    application: &Name,
    catalogue: &Catalogue,
    declared: impl Iterator<Item = &'a TypeDeclaration>,
) -> impl Iterator<Item = Gap> {
    let declared: Vec<&TypeDeclaration> = declared.collect();
    let new: BTreeSet<&EventType> = declared.iter().map(|declaration| &declaration.event_type).collect();
    let known = |event_type: &EventType| catalogue.contains_key(event_type) || new.contains(event_type);
    let is_lifted_to = |event_type: &EventType| {
        let of_catalogue = catalogue.get(event_type).is_some_and(|known| known.declaration.upcast.is_some());
        of_catalogue || declared.iter().any(|new| new.event_type == *event_type && new.upcast.is_some())
    };
    let gap = |declaration: &&TypeDeclaration| {
        declaration.upcast.as_ref()?;
        let before = before(&declaration.event_type);
        // The version before is there, and what is before that is lifted to it: no chain has a hole.
        let whole = before
            .as_ref()
            .is_some_and(|t| known(t) && (is_lifted_to(t) || !self::before(t).is_some_and(|earlier| known(&earlier))));
        let (application, event_type) = (application.clone(), declaration.event_type.clone());
        (!whole).then_some(Gap::Upcast { application, event_type, before })
    };
    declared.iter().filter_map(gap).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::declaration::Upcast;

    #[test]
    fn an_upcast_comes_from_the_version_before() {
        let of = |text: &str| text.parse::<EventType>().unwrap();
        assert_eq!(before(&of("A_B_C_D_10")), Some(of("A_B_C_D_9")));
        assert_eq!((before(&of("A_B_C_D_1")), after(&of("A_B_C_D_9"))), (None, Some(of("A_B_C_D_10"))));
        let lifted = |text: &str| TypeDeclaration {
            upcast: Some(Upcast::Jq(".data".to_owned())),
            ..TypeDeclaration::of(of(text))
        };
        let application = Name::parse("application", "loans").unwrap();
        let found = |declared: &[TypeDeclaration]| gaps(&application, &Catalogue::new(), declared.iter()).count();
        assert_eq!(found(&[lifted("A_B_C_D_1")]), 1);
        assert_eq!(found(&[lifted("A_B_C_D_3")]), 1);
        assert_eq!(found(&[TypeDeclaration::of(of("A_B_C_D_2")), lifted("A_B_C_D_3")]), 0);
        let (first, second) = (TypeDeclaration::of(of("A_B_C_D_1")), TypeDeclaration::of(of("A_B_C_D_2")));
        assert_eq!(found(&[first.clone(), second, lifted("A_B_C_D_3")]), 1, "events of version 1 would stay behind");
        assert_eq!(found(&[first, lifted("A_B_C_D_2"), lifted("A_B_C_D_3")]), 0);
    }
}
