//! An ordered queue with dead letters against a plain model, through whatever consumers, operators, time and restarts do.

use std::time::Duration;

use atlas::dispatch::{DispatchError, MessageRef, MessageState};
use atlas::{Atlas, Error, Uuid};
use proptest::prelude::*;
use serde_json::json;

use crate::world::{World, loans, put};

const MAX_RECEIVES: u32 = 2;

#[derive(Clone, Copy, Debug)]
enum Op {
    Put(u8),
    Take { count: usize, lease: u64 },
    Ack { which: usize, by: By },
    Nack { which: usize, by: By, delay: u64 },
    Extend { which: usize, by: By, lease: u64 },
    Requeue(usize),
    RequeueAll,
    Drop(usize),
    Advance(u64),
    Reopen { forgetful: bool },
}

/// Who acts: whoever holds the newest lease, whoever held the one before, or an operator.
#[derive(Clone, Copy, Debug)]
enum By {
    Newest,
    Older,
    Operator,
}

fn op() -> impl Strategy<Value = Op> {
    let by = prop_oneof![4 => Just(By::Newest), 1 => Just(By::Older), 1 => Just(By::Operator)];
    let which = 0..8_usize;
    prop_oneof![
        4 => (0..3_u8).prop_map(Op::Put),
        6 => (1..4_usize, 1..4_u64).prop_map(|(count, lease)| Op::Take { count, lease }),
        3 => (which.clone(), by.clone()).prop_map(|(which, by)| Op::Ack { which, by }),
        4 => (which.clone(), by.clone(), 0..3_u64).prop_map(|(which, by, delay)| Op::Nack { which, by, delay }),
        4 => (which.clone(), by, 0..4_u64).prop_map(|(which, by, lease)| Op::Extend { which, by, lease }),
        2 => which.clone().prop_map(Op::Requeue),
        1 => Just(Op::RequeueAll),
        1 => which.prop_map(Op::Drop),
        4 => (1..4_u64).prop_map(Op::Advance),
        1 => any::<bool>().prop_map(|forgetful| Op::Reopen { forgetful }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ready,
    Leased(u64),
    Waiting(u64),
    Dead,
}

#[derive(Clone, Debug)]
struct Message {
    id: Uuid,
    stream: u8,
    receives: u32,
    leases: u64,
    state: State,
}

/// What an act comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    LeaseLost,
    NotLeased,
    NotDead,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    messages: Vec<Message>,
}

impl Model {
    fn first(&self, index: usize) -> usize {
        let stream = self.messages[index].stream;
        self.messages.iter().position(|message| message.stream == stream).unwrap()
    }

    fn state(&self, index: usize) -> MessageState {
        let message = &self.messages[index];
        match message.state {
            State::Dead => MessageState::Dead,
            _ if self.first(index) != index => MessageState::Behind,
            State::Leased(until) if until > self.now => MessageState::Leased,
            State::Waiting(until) if until > self.now => MessageState::Delayed,
            _ => MessageState::Ready,
        }
    }

    fn dead(&self) -> usize {
        let is_dead = |index: &usize| self.messages[self.first(*index)].state == State::Dead;
        (0..self.messages.len()).filter(is_dead).count()
    }

    /// Which are taken, with their receipts.
    fn take(&mut self, count: usize, lease: u64) -> Vec<(Uuid, u64)> {
        let mut ready: Vec<usize> =
            (0..self.messages.len()).filter(|index| self.state(*index) == MessageState::Ready).collect();
        ready.sort_by_key(|index| match self.messages[*index].state {
            State::Leased(until) | State::Waiting(until) => (0, until, *index),
            _ => (1, 0, *index),
        });
        let (until, mut taken) = (self.now + lease, Vec::new());
        for index in ready {
            if taken.len() == count {
                break;
            }
            let message = &mut self.messages[index];
            if message.receives >= MAX_RECEIVES {
                message.state = State::Dead;
                continue;
            }
            message.receives += 1;
            message.leases += 1;
            message.state = State::Leased(until);
            taken.push((message.id, message.leases));
        }
        taken
    }

    fn receipt(&self, index: usize, by: By) -> Option<u64> {
        match by {
            By::Newest => Some(self.messages[index].leases),
            By::Older => Some(self.messages[index].leases.wrapping_sub(1)),
            By::Operator => None,
        }
    }

    fn act(&mut self, op: Op, index: usize) -> Outcome {
        let state = self.state(index);
        let (now, message) = (self.now, &mut self.messages[index]);
        if let Op::Ack { by, .. } | Op::Nack { by, .. } | Op::Extend { by, .. } = op {
            match by {
                By::Older => return Outcome::LeaseLost,
                By::Newest if message.leases == 0 => return Outcome::LeaseLost,
                By::Newest | By::Operator => {}
            }
        }
        match op {
            Op::Ack { .. } | Op::Drop(_) => drop(self.messages.remove(index)),
            Op::Nack { .. } if !matches!(message.state, State::Leased(_)) => return Outcome::NotLeased,
            Op::Nack { .. } if message.receives >= MAX_RECEIVES => message.state = State::Dead,
            Op::Nack { delay: 0, .. } => message.state = State::Ready,
            Op::Nack { delay, .. } => message.state = State::Waiting(now + delay),
            Op::Extend { .. } if state != MessageState::Leased => return Outcome::NotLeased,
            Op::Extend { lease, .. } => message.state = State::Leased(now + lease),
            Op::Requeue(_) if message.state != State::Dead => return Outcome::NotDead,
            Op::Requeue(_) => (message.receives, message.state) = (0, State::Ready),
            other => panic!("{other:?} isn't an act on a message"),
        }
        Outcome::Done
    }
}

fn outcome(result: Result<(), Error>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(Error::Dispatch(DispatchError::LeaseLost { .. })) => Outcome::LeaseLost,
        Err(Error::Dispatch(DispatchError::NotLeased { .. })) => Outcome::NotLeased,
        Err(Error::Dispatch(DispatchError::NotDead { .. })) => Outcome::NotDead,
        Err(error) => panic!("{error}"),
    }
}

async fn act(atlas: &Atlas, model: &Model, op: Op, index: usize) -> Result<(), Error> {
    let mail = loans(atlas).queue("mail");
    let id = model.messages[index].id;
    let by = |by| MessageRef { receipt: model.receipt(index, by), ..MessageRef::new(id) };
    match op {
        Op::Ack { by: who, .. } => mail.ack(by(who)).await,
        Op::Nack { by: who, delay, .. } => mail.nack(by(who), Duration::from_secs(delay), "no").await,
        Op::Extend { by: who, lease, .. } => mail.extend(by(who), Duration::from_secs(lease)).await,
        Op::Requeue(_) => mail.requeue(id, None).await,
        Op::Drop(_) => mail.drop_message(id, "no use").await,
        other => panic!("{other:?} isn't an act on a message"),
    }
}

async fn run(ops: Vec<Op>) {
    let (world, clock) = World::of_mail(&json!({ "ordered": true, "max_receives": MAX_RECEIVES })).with_clock();
    let mut atlas = world.open(Atlas::builder()).await;
    let mut model = Model::default();
    for op in ops {
        match op {
            Op::Put(stream) => {
                put(&atlas, &[&format!("s{stream}")]).await;
                let id = loans(&atlas).queue("mail").peek(1_000).await.unwrap().last().unwrap().id;
                model.messages.push(Message { id, stream, receives: 0, leases: 0, state: State::Ready });
            }
            Op::Take { count, lease } => {
                let taken = loans(&atlas).queue("mail").take(count, Duration::from_secs(lease)).await.unwrap();
                let taken: Vec<_> = taken.iter().map(|message| (message.id, message.receipt.unwrap())).collect();
                assert_eq!(taken, model.take(count, lease));
            }
            Op::Ack { which, .. }
            | Op::Nack { which, .. }
            | Op::Extend { which, .. }
            | Op::Requeue(which)
            | Op::Drop(which) => {
                if !model.messages.is_empty() {
                    let index = which % model.messages.len();
                    let found = outcome(act(&atlas, &model, op, index).await);
                    assert_eq!(found, model.act(op, index), "{op:?} on {index}");
                }
            }
            Op::RequeueAll => {
                let all = loans(&atlas).queue("mail").requeue_all(None).await.unwrap();
                let dead = model.messages.iter_mut().filter(|message| message.state == State::Dead);
                let count = dead.map(|message| (message.receives, message.state) = (0, State::Ready)).count();
                assert_eq!(all, count as u64);
            }
            Op::Advance(seconds) => {
                clock.advance(Duration::from_secs(seconds));
                model.now += seconds;
            }
            Op::Reopen { forgetful } => atlas = world.reopened(atlas, forgetful).await,
        }
        let found = loans(&atlas).queue("mail").peek(1_000).await.unwrap();
        let found: Vec<_> = found.iter().map(|message| (message.id, message.state, message.receives)).collect();
        let expected = model.messages.iter().enumerate();
        let expected: Vec<_> =
            expected.map(|(index, message)| (message.id, model.state(index), message.receives)).collect();
        assert_eq!(found, expected, "after {op:?}");
        let infos = atlas.queues().await.unwrap();
        let counts = infos.first().map_or((0, 0), |info| (info.depth as usize, info.dead as usize));
        assert_eq!(counts, (model.messages.len() - model.dead(), model.dead()), "after {op:?}");
    }
    atlas.close().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_queue_does_what_the_model_does(ops in proptest::collection::vec(op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(run(ops));
    }
}
