//! The proof that trees are complete: every type of the catalogue has exactly one document, and every document is for a
//! type of the catalogue. Pure; the catalog gathers what it is about.

use std::collections::{BTreeMap, BTreeSet};

use super::declaration::{SchemaRef, TypeDeclaration, Upcast};
use super::fault::Gap;
use super::nearest::nearest;
use crate::event::{EventType, Name, TreeScope};

/// A type that the catalogue of an application knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) declaration: TypeDeclaration,
    pub(super) retired: bool,
    /// The schemas and upcasts that it had before. Trees that still declare them are behind, and change nothing.
    pub(super) past: (Vec<SchemaRef>, Vec<Upcast>),
}

/// The catalogue of one application.
pub(super) type Catalogue = BTreeMap<EventType, Known>;

/// A revision that is to be activated, or a tree that is to be checked.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) tree: TreeScope,
    /// The types that have a document, and the document's file where that is known.
    pub(super) documents: BTreeMap<EventType, Option<String>>,
    pub(super) types: Vec<TypeDeclaration>,
}

/// What a proof that succeeds gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proof {
    /// The types that enter the catalogue with the activation.
    pub(super) added: Vec<(Name, TypeDeclaration)>,
    /// Known types that are declared with another schema or upcast.
    pub(super) changed: Vec<(Name, TypeDeclaration)>,
    /// Documents and declarations of retired types, as text.
    pub(super) warnings: Vec<String>,
}

/// Proves candidates of one application complete. `lacking` are the application's active trees that are not among them
/// and lack one of some types, which are new; it is asked only where there are such.
pub(super) fn prove<E>(
    application: &Name,
    catalogue: &Catalogue,
    candidates: &[&Candidate],
    lacking: impl FnOnce(&[&EventType]) -> Result<Vec<(TreeScope, EventType)>, E>,
) -> Result<(Proof, Vec<Gap>), E> {
    let (mut proof, mut gaps) = (Proof::default(), Vec::new());
    // What is new in what the candidates declare, by type.
    let mut declared: BTreeMap<EventType, TypeDeclaration> = BTreeMap::new();
    let retired = |event_type: &EventType| catalogue.get(event_type).is_some_and(|known| known.retired);
    let mut required: BTreeSet<&EventType> =
        catalogue.iter().filter(|(_, known)| !known.retired).map(|(event_type, _)| event_type).collect();
    for candidate in candidates {
        for declaration in &candidate.types {
            if retired(&declaration.event_type) {
                let warning =
                    format!("{}: types.json names the retired type {}", candidate.tree, declaration.event_type);
                proof.warnings.push(warning);
                continue;
            }
            required.insert(&declaration.event_type);
            let (new, behind) = match catalogue.get(&declaration.event_type) {
                None => (Some(declaration.clone()), false),
                Some(known) => known.news(declaration),
            };
            if behind {
                let warning = format!(
                    "{}: types.json has an older schema or upcast of {}; the one in use stays",
                    candidate.tree, declaration.event_type
                );
                proof.warnings.push(warning);
            }
            let Some(new) = new else { continue };
            let in_use = catalogue.get(&new.event_type).and_then(|known| known.declaration.upcast.as_ref());
            if new.upcast.is_some() && in_use.is_some_and(|in_use| new.upcast.as_ref() != Some(in_use)) {
                let warning = format!(
                    "{}: types.json replaces the upcast to {}, for all tenants of {application}",
                    candidate.tree, new.event_type
                );
                proof.warnings.push(warning);
            }
            match declared.get_mut(&new.event_type) {
                Some(other) if other.contradicts(&new) => {
                    let (tree, event_type) = (candidate.tree.clone(), new.event_type);
                    gaps.push(Gap::Contradicted { tree, event_type });
                }
                Some(other) => {
                    other.description = other.description.take().or(new.description);
                    other.schema = other.schema.take().or(new.schema);
                    other.upcast = other.upcast.take().or(new.upcast);
                }
                None => drop(declared.insert(new.event_type.clone(), new)),
            }
        }
    }
    for (event_type, declaration) in declared {
        let of = if catalogue.contains_key(&event_type) { &mut proof.changed } else { &mut proof.added };
        of.push((application.clone(), declaration));
    }
    for candidate in candidates {
        let missing: Vec<&EventType> =
            required.iter().copied().filter(|event_type| !candidate.documents.contains_key(*event_type)).collect();
        let unknown: Vec<&EventType> =
            candidate.documents.keys().filter(|t| !required.contains(t) && !retired(t)).collect();
        let named = |event_type: &EventType| match candidate.documents.get(event_type) {
            Some(Some(file)) => format!("{event_type} ({file})"),
            _ => event_type.to_string(),
        };
        for event_type in &missing {
            let near = nearest(event_type.as_str(), unknown.iter().map(|t| t.as_str()));
            let near = near.and_then(|near| unknown.iter().find(|t| t.as_str() == near)).map(|t| named(t));
            gaps.push(Gap::Missing { tree: candidate.tree.clone(), event_type: (*event_type).clone(), near });
        }
        for event_type in unknown {
            let near = nearest(event_type.as_str(), missing.iter().map(|t| t.as_str()))
                .or_else(|| nearest(event_type.as_str(), required.iter().map(|t| t.as_str())));
            let near = near.and_then(|near| near.parse().ok());
            gaps.push(Gap::Unknown { tree: candidate.tree.clone(), document: named(event_type), near });
        }
        for event_type in candidate.documents.keys().filter(|event_type| retired(event_type)) {
            proof.warnings.push(format!("{}: a document for the retired type {}", candidate.tree, named(event_type)));
        }
    }
    if !proof.added.is_empty() {
        let added: Vec<&EventType> = proof.added.iter().map(|(_, declaration)| &declaration.event_type).collect();
        let gap = |(tree, event_type)| Gap::Lacking { tree, event_type };
        gaps.extend(lacking(&added)?.into_iter().map(gap));
    }
    Ok((proof, gaps))
}

impl Known {
    /// What is new in a declaration of this type; and whether it says something that was in use before, and isn't any more.
    pub(super) fn news(&self, declaration: &TypeDeclaration) -> (Option<TypeDeclaration>, bool) {
        let mut new = declaration.clone();
        let (schemas, upcasts) = &self.past;
        let known = &self.declaration;
        let old_schema =
            new.schema.is_some() && new.schema != known.schema && new.schema.iter().all(|s| schemas.contains(s));
        let old_upcast =
            new.upcast.is_some() && new.upcast != known.upcast && new.upcast.iter().all(|u| upcasts.contains(u));
        if old_schema {
            new.schema = None;
        }
        if old_upcast {
            new.upcast = None;
        }
        let differs = new.says_other_than(known);
        (differs.then_some(new), old_schema || old_upcast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event_type(text: &str) -> EventType {
        text.parse().unwrap()
    }

    fn candidate(tree: &str, documents: &[&str], types: &[&str]) -> Candidate {
        Candidate {
            tree: tree.parse().unwrap(),
            documents: documents.iter().map(|t| (event_type(t), None)).collect(),
            types: types.iter().map(|t| TypeDeclaration::of(event_type(t))).collect(),
        }
    }

    fn known(types: &[(&str, bool)]) -> Catalogue {
        let known = |t: &str, retired| Known {
            declaration: TypeDeclaration::of(event_type(t)),
            retired,
            past: Default::default(),
        };
        types.iter().map(|(t, retired)| (event_type(t), known(t, *retired))).collect()
    }

    /// Proves candidates beside other trees, of which the types that they have documents for are known.
    fn prove(
        catalogue: &Catalogue,
        candidates: &[&Candidate],
        others: &[(TreeScope, BTreeSet<EventType>)],
    ) -> Result<Proof, Vec<Gap>> {
        let lacking = |added: &[&EventType]| {
            let lack = |(tree, has): &(TreeScope, BTreeSet<EventType>)| {
                let lacked = added.iter().filter(|t| !has.contains(**t));
                lacked.map(|t| (tree.clone(), (*t).clone())).collect::<Vec<_>>()
            };
            Ok::<_, ()>(others.iter().flat_map(lack).collect())
        };
        let (proof, gaps) = super::prove(&loans(), catalogue, candidates, lacking).unwrap();
        if gaps.is_empty() { Ok(proof) } else { Err(gaps) }
    }

    fn loans() -> Name {
        Name::parse("application", "loans").unwrap()
    }

    #[test]
    fn a_near_miss_is_one_error_that_names_both() {
        let catalogue = known(&[("INSTORE_TXNFINALIZE_UPSERTTRANSACTIONDISCOUNTS_COMPLETE_1", false)]);
        let mut tree = candidate("a/loans", &["INSTORE_TXNFINALIZE_UPERSTTRANSACTIONDISCOUNTS_COMPLETE_1"], &[]);
        for file in tree.documents.values_mut() {
            *file = Some("1/instore/txn_finalize/uperst_transaction_discounts/complete.json".to_owned());
        }
        let gaps = prove(&catalogue, &[&tree], &[]).unwrap_err();
        let missing = gaps[0].to_string();
        assert!(missing.contains("no document for type INSTORE_TXNFINALIZE_UPSERTTRANSACTIONDISCOUNTS_COMPLETE_1"));
        assert!(missing.contains("near miss: INSTORE_TXNFINALIZE_UPERSTTRANSACTIONDISCOUNTS_COMPLETE_1 (1/instore/"));
        assert!(gaps[1].to_string().contains("did you mean INSTORE_TXNFINALIZE_UPSERT"));
    }

    #[test]
    fn a_new_type_needs_a_document_in_every_active_tree() {
        let (catalogue, tree) = (known(&[]), candidate("a/loans", &["A_B_C_D_1"], &["A_B_C_D_1"]));
        let others = [("b/loans".parse().unwrap(), BTreeSet::new())];
        let gaps = prove(&catalogue, &[&tree], &others).unwrap_err();
        assert!(matches!(&gaps[..], [Gap::Lacking { tree, event_type }]
            if tree.to_string() == "b/loans" && event_type.as_str() == "A_B_C_D_1"));
        let both = candidate("b/loans", &["A_B_C_D_1"], &[]);
        assert_eq!(prove(&catalogue, &[&tree, &both], &[]).unwrap().added.len(), 1);
    }

    #[test]
    fn documents_of_retired_types_only_warn() {
        let catalogue = known(&[("A_B_C_D_1", true)]);
        let tree = candidate("a/loans", &["A_B_C_D_1"], &["A_B_C_D_1"]);
        let proof = prove(&catalogue, &[&tree], &[]).unwrap();
        assert_eq!((proof.added.len(), proof.warnings.len()), (0, 2));
    }

    #[test]
    fn trees_that_are_activated_together_declare_a_type_alike() {
        let schema = |name: &str| TypeDeclaration {
            upcast: Some(Upcast::Jq(name.to_owned())),
            ..TypeDeclaration::of(event_type("A_B_C_D_2"))
        };
        let mut trees = ["a/loans", "b/loans"].map(|tree| candidate(tree, &["A_B_C_D_2"], &[]));
        trees[0].types.push(schema(".data"));
        trees[1].types.push(schema(".data"));
        assert_eq!(prove(&known(&[]), &trees.each_ref(), &[]).unwrap().added.len(), 1);
        trees[1].types[0] = schema(".");
        let gaps = prove(&known(&[]), &trees.each_ref(), &[]).unwrap_err();
        assert!(matches!(&gaps[..], [Gap::Contradicted { tree, .. }] if tree.to_string() == "b/loans"), "{gaps:?}");
        let mut catalogue = known(&[("A_B_C_D_2", false)]);
        let proof = prove(&catalogue, &[&trees[0]], &[]).unwrap();
        assert_eq!((proof.added.len(), proof.changed.len()), (0, 1));
        let gaps = prove(&catalogue, &trees.each_ref(), &[]).unwrap_err();
        assert!(matches!(&gaps[..], [Gap::Contradicted { .. }]), "of a known type as well: {gaps:?}");
        // One that was in use before and isn't any more is behind, and changes nothing.
        let in_use = catalogue.get_mut("A_B_C_D_2").unwrap();
        in_use.declaration = trees[1].types[0].clone();
        in_use.past.1.push(Upcast::Jq(".data".to_owned()));
        let proof = prove(&catalogue, &trees.each_ref(), &[]).unwrap();
        assert_eq!((proof.changed.len(), proof.warnings.len()), (0, 1));
    }

    proptest! {
        /// Against sets: a proof succeeds exactly if each candidate's documents are the required types, and each other
        /// active tree has the new ones.
        #[test]
        fn a_proof_is_what_the_sets_say(
            declared in proptest::collection::btree_set(0u8..6, 0..5),
            candidates in proptest::collection::vec(
                (proptest::collection::btree_set(0u8..6, 0..6), proptest::collection::btree_set(0u8..6, 0..3)), 1..3),
            other in proptest::collection::btree_set(0u8..6, 0..6),
        ) {
            let named = |n: &u8| format!("T{n}_B_C_D_1");
            let strings = |set: &BTreeSet<u8>| set.iter().map(named).collect::<Vec<_>>();
            let names: Vec<String> = declared.iter().map(named).collect();
            let catalogue = known(&names.iter().map(|name| (name.as_str(), false)).collect::<Vec<_>>());
            let trees: Vec<Candidate> = candidates.iter().enumerate().map(|(i, (documents, types))| {
                let (documents, types) = (strings(documents), strings(types));
                candidate(&format!("t{i}/loans"), &documents.iter().map(String::as_str).collect::<Vec<_>>(),
                    &types.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            let others = [("o/loans".parse().unwrap(), other.iter().map(|n| event_type(&named(n))).collect())];
            let proof = prove(&catalogue, &trees.iter().collect::<Vec<_>>(), &others);
            let new: BTreeSet<u8> =
                candidates.iter().flat_map(|(_, types)| types).filter(|n| !declared.contains(n)).copied().collect();
            let required: BTreeSet<u8> = declared.union(&new).copied().collect();
            let complete = candidates.iter().all(|(documents, _)| *documents == required) && new.is_subset(&other);
            prop_assert_eq!(proof.is_ok(), complete);
            if let Ok(proof) = proof {
                prop_assert_eq!(proof.added.len(), new.len());
            }
        }
    }
}
