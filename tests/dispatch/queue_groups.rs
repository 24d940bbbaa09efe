//! Consumer groups: each gets every message for itself.

use std::time::Duration;

use atlas::dispatch::DispatchError;
use atlas::{Atlas, Error};
use serde_json::json;

use crate::world::{World, loans, put, told};

const MINUTE: Duration = Duration::from_secs(60);

async fn activate(world: &World, atlas: &Atlas) {
    loans(atlas).config().import(world.tree.path()).await.unwrap().activate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_group_has_leases_dead_letters_and_an_end_of_its_own() {
    let options = json!({ "groups": ["audit", "send"], "max_receives": 1, "ordered": true });
    let (world, clock) = World::of_mail(&options).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a", "a", "b"]).await;
    let (audit, send) = (loans(&atlas).queue("mail").group("audit"), loans(&atlas).queue("mail").group("send"));
    let taken = audit.take(9, MINUTE).await.unwrap();
    assert_eq!(told(&taken), ["a 1", "b 1"]);
    let sent = send.take(9, MINUTE).await.unwrap();
    assert_eq!(sent.iter().map(|message| message.id).collect::<Vec<_>>(), [taken[0].id, taken[1].id]);
    audit.nack(&taken[0], Duration::ZERO, "odd").await.unwrap();
    send.ack(&sent[0]).await.unwrap();
    // A message that was taken for one group isn't given back for another.
    let other = loans(&atlas).queue("mail").group("send").ack(taken[0].id).await.unwrap_err();
    assert!(matches!(other, Error::Dispatch(DispatchError::NoSuchMessage { .. })), "{other}");
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        let infos = atlas.queues().await.unwrap();
        let counts: Vec<_> =
            infos.iter().map(|of| (of.group.as_ref().unwrap().as_str(), of.depth, of.leased, of.dead)).collect();
        assert_eq!(counts, [("audit", 1, 1, 2), ("send", 2, 1, 0)]);
        let dead = loans(&atlas).queue("mail").group("audit").dead_letters(9).await.unwrap();
        assert_eq!((told(&dead), dead[0].reason.as_deref()), (vec!["a 1".to_owned(), "a 2".to_owned()], Some("odd")));
        assert!(loans(&atlas).queue("mail").group("send").dead_letters(9).await.unwrap().is_empty());
    }
    let (audit, send) = (loans(&atlas).queue("mail").group("audit"), loans(&atlas).queue("mail").group("send"));
    clock.advance(MINUTE);
    assert_eq!(told(&send.take(9, MINUTE).await.unwrap()), ["a 2"]);
    assert_eq!(told(&send.dead_letters(9).await.unwrap()), ["b 1"], "its lease for send ran out");
    for message in audit.peek(9).await.unwrap() {
        audit.drop_message(message.id, "enough").await.unwrap();
    }
    let infos = atlas.queues().await.unwrap();
    assert_eq!(infos.len(), 1, "gone for one group: {infos:?}");
    atlas.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_groups_needs_one_named() {
    let world = World::of_mail(&json!({ "groups": ["audit", "send"] }));
    let atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["a"]).await;
    let mail = loans(&atlas).queue("mail");
    let id = mail.clone().group("send").peek(1).await.unwrap()[0].id;
    for error in [
        mail.take(1, MINUTE).await.unwrap_err(),
        mail.peek(1).await.unwrap_err(),
        mail.dead_letters(1).await.unwrap_err(),
        mail.requeue_all(None).await.unwrap_err(),
        mail.ack(id).await.unwrap_err(),
        mail.nack(id, MINUTE, "no").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Dispatch(DispatchError::GroupMissing { .. })), "{error}");
        assert!(error.to_string().contains("expected one of them: audit, send"), "{error}");
    }
    for group in ["sent", ""] {
        let error = mail.clone().group(group).take(1, MINUTE).await.unwrap_err();
        assert!(matches!(error, Error::Dispatch(DispatchError::NoSuchGroup { .. })), "{error}");
        assert!(error.to_string().contains("expected one of audit, send"), "{error}");
    }
    let error = loans(&atlas).queue("slim").group("a").take(1, MINUTE).await.unwrap_err();
    assert!(error.to_string().contains("it has no groups"), "{error}");
    assert_eq!(told(&mail.group("send").take(1, MINUTE).await.unwrap()), ["a 1"]);
    atlas.close().await.unwrap();
}

/// A message is for the groups that the queue has when it is put, whatever comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_sees_messages_from_then_on_and_a_removed_one_keeps_its_own() {
    let world = World::of_mail(&json!({}));
    let mut atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["before"]).await;
    world.mail(&json!({ "groups": ["old"] }));
    activate(&world, &atlas).await;
    put(&atlas, &["old"]).await;
    world.mail(&json!({ "groups": ["new"] }));
    activate(&world, &atlas).await;
    put(&atlas, &["new"]).await;
    for forgetful in [false, true] {
        atlas = world.reopened(atlas, forgetful).await;
        for (group, expected) in [("", "before 1"), ("old", "old 1"), ("new", "new 1")] {
            let messages = loans(&atlas).queue("mail").group(group).peek(9).await.unwrap();
            assert_eq!(told(&messages), [expected], "{group:?}");
        }
    }
    // They can be worked on to the end, and then the groups are gone.
    for group in ["", "old"] {
        let mail = loans(&atlas).queue("mail").group(group);
        let taken = mail.take(9, MINUTE).await.unwrap();
        mail.ack(&taken[0]).await.unwrap();
        let gone = mail.take(9, MINUTE).await.unwrap_err();
        assert!(matches!(gone, Error::Dispatch(DispatchError::NoSuchGroup { .. })), "{gone}");
    }
    atlas.close().await.unwrap();
}

/// The slowest group says how full the queue is.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_as_full_as_its_fullest_group() {
    let world = World::of_mail(&json!({ "groups": ["a", "b"], "max_depth": 2 }));
    let atlas = world.open(Atlas::builder()).await;
    put(&atlas, &["x", "y", "z"]).await;
    let depths = async |expected: [u64; 2]| {
        let infos = atlas.queues().await.unwrap();
        assert_eq!(infos.iter().map(|of| of.depth).collect::<Vec<_>>(), expected);
    };
    depths([2, 2]).await;
    let (a, b) = (loans(&atlas).queue("mail").group("a"), loans(&atlas).queue("mail").group("b"));
    a.ack(&a.take(1, MINUTE).await.unwrap()[0]).await.unwrap();
    atlas.settled().await.unwrap();
    depths([1, 2]).await;
    b.ack(&b.take(1, MINUTE).await.unwrap()[0]).await.unwrap();
    atlas.settled().await.unwrap();
    depths([2, 2]).await;
    atlas.close().await.unwrap();
}
