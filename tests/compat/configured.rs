//! Configuration of version 2: a default tree with constants, a schema and upcasts, trees that extend it or are kept as the
//! difference from another, a rollback, reasons.

use std::fs;
use std::path::Path;

use atlas::config::{ActivateOptions, read_types};
use atlas::{Atlas, Event, TreeScope};
use serde_json::{Value, json};

const TYPES: usize = 8;

fn event_type(n: usize) -> String {
    format!("LOAN_STEP{n}_DO_COMPLETE_1")
}

fn tree(text: &str) -> TreeScope {
    text.parse().unwrap()
}

fn write_file(folder: &Path, file: &str, content: &Value) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content.to_string()).unwrap();
}

/// A tree of all types, whose first document is its own.
fn whole(folder: &Path, own: &str) {
    for n in 0..TYPES {
        let handlers = json!([{ "name": "h", "when": ".data.n > $const.limit", "target": { "queue": "mail" } }]);
        let description = if n == 0 { own } else { "as everywhere" };
        write_file(
            folder,
            &format!("1/loan/step_{n}/do/complete.json"),
            &json!({ "description": description, "handlers": handlers }),
        );
    }
    write_file(folder, "queues.json", &json!({ "mail": { "max_depth": 9 } }));
    write_file(folder, "constants.json", &json!({ "limit": 5, "region": "eu" }));
}

pub(crate) async fn write(dir: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let atlas = Atlas::builder().dispatch(false).open(dir).await.unwrap();
    let catalog = atlas.catalog().with_actor("desk 7").with_reason("a first tree");
    let types: Vec<Value> = (0..TYPES).map(|n| json!(event_type(n))).collect();
    write_file(folder.path(), "types.json", &json!(types));
    let application = tree("_/loans").application().clone();
    catalog.types_declare(&application, &read_types(folder.path()).unwrap()).unwrap();
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let schema = json!([{ "type": event_type(0), "schema": schema }]);
    write_file(folder.path(), "types.json", &schema);
    catalog.types_declare(&application, &read_types(folder.path()).unwrap()).unwrap();
    fs::remove_file(folder.path().join("types.json")).unwrap();
    whole(folder.path(), "of all");
    let base = catalog.import(folder.path(), &tree("_/loans")).unwrap().revision;
    whole(folder.path(), "of cash");
    let cash = catalog.import(folder.path(), &tree("cash/loans")).unwrap().revision;
    catalog.activate(&[(tree("_/loans"), base), (tree("cash/loans"), cash)]).unwrap();
    let own = tempfile::tempdir().unwrap();
    write_file(own.path(), "tree.json", &json!({ "extends": "_/loans" }));
    write_file(own.path(), "constants.json", &json!({ "limit": 1 }));
    let bank = catalog.import(own.path(), &tree("bank/loans")).unwrap().revision;
    catalog.activate(&[(tree("bank/loans"), bank)]).unwrap();
    let lifted = json!([{ "type": "LOAN_STEP1_DO_COMPLETE_2", "upcast": "{m: .data.n}" }]);
    whole(folder.path(), "of all, again");
    write_file(folder.path(), "types.json", &lifted);
    write_file(folder.path(), "2/loan/step_1/do/complete.json", &json!({ "handlers": [] }));
    let newer = catalog.import(folder.path(), &tree("_/loans")).unwrap().revision;
    let cash = catalog.import(folder.path(), &tree("cash/loans")).unwrap().revision;
    let options = ActivateOptions { dependents: true, ..ActivateOptions::default() };
    catalog.activate_with(&[(tree("_/loans"), newer), (tree("cash/loans"), cash)], &options).unwrap();
    write_file(folder.path(), "constants.json", &json!({ "limit": 6 }));
    let third = catalog.import(folder.path(), &tree("cash/loans")).unwrap().revision;
    catalog.activate(&[(tree("cash/loans"), third)]).unwrap();
    atlas.catalog().rollback(&tree("cash/loans"), None, &ActivateOptions::default()).unwrap();
    for n in 0..3 {
        let event = Event::new(event_type(1), "s").data(&json!({ "n": n }));
        atlas.scope("bank", "loans").ingest(event).await.unwrap();
    }
    atlas.close().await.unwrap();
    for derived in ["catalog.redb", "dispatch.redb"] {
        let _ = fs::remove_file(dir.join(derived));
    }
}

/// All that the store tells of its configuration.
pub(crate) fn told(atlas: &Atlas) -> Value {
    let catalog = atlas.catalog();
    let mut all = Vec::new();
    for known in catalog.trees().unwrap() {
        let out = tempfile::tempdir().unwrap();
        for revision in 1..=known.latest {
            let Ok(shown) = catalog.show(&known.tree, revision) else { continue };
            let folder = out.path().join(revision.to_string());
            catalog.export(&known.tree, revision, &folder).unwrap();
            let files = files(&folder, &folder);
            all.push(json!({ "shown": shown, "placed": shown.files, "files": files }));
        }
        all.push(json!({ "tree": known, "history": catalog.history(&known.tree).unwrap() }));
    }
    let types = catalog.types_list(tree("_/loans").application()).unwrap();
    let event = atlas.store().read(atlas::log::Query::new()).unwrap().next().unwrap().unwrap();
    let lifted = atlas.router().lift(&event).unwrap();
    let lifted = json!({ "type": lifted.event_type, "data": String::from_utf8_lossy(&lifted.data) });
    json!({ "trees": all, "types": types, "lifted": lifted, "revision": event.revision() })
}

fn files(root: &Path, folder: &Path) -> Value {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    json!(found)
}
