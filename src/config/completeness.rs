//! The proof that trees are complete: every type of the catalogue has exactly one document, and every document is for a
//! type of the catalogue. Pure; the catalog gathers what it is about.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Gap;
use super::nearest::nearest;
use super::root_files::TypeDeclaration;
use crate::event::{EventType, Name, TreeScope};

/// A type that the catalogue of an application knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) description: Option<String>,
    pub(super) retired: bool,
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
    /// Documents and declarations of retired types, as text.
    pub(super) warnings: Vec<String>,
}

/// Proves candidates of one application complete. `others` are the application's active trees that are not among them.
pub(super) fn prove(
    application: &Name,
    catalogue: &Catalogue,
    candidates: &[&Candidate],
    others: &[(TreeScope, BTreeSet<EventType>)],
) -> Result<Proof, Vec<Gap>> {
    let mut proof = Proof::default();
    let retired = |event_type: &EventType| catalogue.get(event_type).is_some_and(|known| known.retired);
    let mut required: BTreeSet<&EventType> =
        catalogue.iter().filter(|(_, known)| !known.retired).map(|(event_type, _)| event_type).collect();
    for candidate in candidates {
        for declaration in &candidate.types {
            if retired(&declaration.event_type) {
                let warning =
                    format!("{}: types.json names the retired type {}", candidate.tree, declaration.event_type);
                proof.warnings.push(warning);
            } else if required.insert(&declaration.event_type) {
                proof.added.push((application.clone(), declaration.clone()));
            }
        }
    }
    let mut gaps = Vec::new();
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
    for (tree, documents) in others {
        for (_, added) in proof.added.iter().filter(|(_, added)| !documents.contains(&added.event_type)) {
            gaps.push(Gap::Lacking { tree: tree.clone(), event_type: added.event_type.clone() });
        }
    }
    if gaps.is_empty() { Ok(proof) } else { Err(gaps) }
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
            types: types.iter().map(|t| TypeDeclaration { event_type: event_type(t), description: None }).collect(),
        }
    }

    fn known(types: &[(&str, bool)]) -> Catalogue {
        types.iter().map(|(t, retired)| (event_type(t), Known { description: None, retired: *retired })).collect()
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
        let gaps = prove(&loans(), &catalogue, &[&tree], &[]).unwrap_err();
        let missing = gaps[0].to_string();
        assert!(missing.contains("no document for type INSTORE_TXNFINALIZE_UPSERTTRANSACTIONDISCOUNTS_COMPLETE_1"));
        assert!(missing.contains("near miss: INSTORE_TXNFINALIZE_UPERSTTRANSACTIONDISCOUNTS_COMPLETE_1 (1/instore/"));
        assert!(gaps[1].to_string().contains("did you mean INSTORE_TXNFINALIZE_UPSERT"));
    }

    #[test]
    fn a_new_type_needs_a_document_in_every_active_tree() {
        let (catalogue, tree) = (known(&[]), candidate("a/loans", &["A_B_C_D_1"], &["A_B_C_D_1"]));
        let others = [("b/loans".parse().unwrap(), BTreeSet::new())];
        let gaps = prove(&loans(), &catalogue, &[&tree], &others).unwrap_err();
        assert!(matches!(&gaps[..], [Gap::Lacking { tree, event_type }]
            if tree.to_string() == "b/loans" && event_type.as_str() == "A_B_C_D_1"));
        let both = candidate("b/loans", &["A_B_C_D_1"], &[]);
        assert_eq!(prove(&loans(), &catalogue, &[&tree, &both], &[]).unwrap().added.len(), 1);
    }

    #[test]
    fn documents_of_retired_types_only_warn() {
        let catalogue = known(&[("A_B_C_D_1", true)]);
        let tree = candidate("a/loans", &["A_B_C_D_1"], &["A_B_C_D_1"]);
        let proof = prove(&loans(), &catalogue, &[&tree], &[]).unwrap();
        assert_eq!((proof.added.len(), proof.warnings.len()), (0, 2));
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
            let catalogue: Catalogue = declared.iter()
                .map(|n| (event_type(&named(n)), Known { description: None, retired: false })).collect();
            let trees: Vec<Candidate> = candidates.iter().enumerate().map(|(i, (documents, types))| {
                let (documents, types) = (strings(documents), strings(types));
                candidate(&format!("t{i}/loans"), &documents.iter().map(String::as_str).collect::<Vec<_>>(),
                    &types.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            let others = [("o/loans".parse().unwrap(), other.iter().map(|n| event_type(&named(n))).collect())];
            let proof = prove(&loans(), &catalogue, &trees.iter().collect::<Vec<_>>(), &others);
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
