//! What the thread of dispatch holds for somebody who acts on it: a message, a timer, a delivery, room in a queue. Nobody else
//! acts on it until the record of the act has been followed, or the hold is dropped: by whoever has it, or with an answer that
//! came too late for anybody to take it.

use std::sync::Arc;

use super::DispatchError;
use super::claims::Claim;
use super::context::Context;
use super::dispatcher::Dispatcher;
use super::driver::Message;
use crate::log::Append;

/// Tells the thread of dispatch when nothing will be recorded.
pub(super) struct Hold {
    context: Arc<Context>,
    give_back: Option<Message>,
}

impl Hold {
    /// What the thread holds until then; `give_back` tells it to hold it no more.
    pub(super) fn new(context: &Arc<Context>, give_back: Message) -> Self {
        Self { context: context.clone(), give_back: Some(give_back) }
    }

    /// Where nobody else could act.
    pub(super) fn of_nothing(context: &Arc<Context>) -> Self {
        Self { context: context.clone(), give_back: None }
    }

    /// A record is in the log, and ends what is held once it is followed.
    pub(super) fn end(mut self) {
        self.give_back = None;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(message) = self.give_back.take() {
            self.context.mailbox.send(message);
        }
    }
}

impl Dispatcher {
    /// Appends a record of each thing that is held: once it is followed, that is held no more.
    pub(super) async fn append_held(&self, hold: Hold, append: Append) -> Result<(), DispatchError> {
        let context = self.context().clone();
        let appended = async move {
            context.store.append_async(append).await?;
            hold.end();
            Ok(())
        };
        self.to_its_end(appended).await
    }

    /// As [`append_held`](Self::append_held), of ids that are claimed until then.
    pub(super) async fn append_claimed(
        &self,
        claim: Option<Claim>,
        hold: Hold,
        append: Append,
    ) -> Result<(), DispatchError> {
        let context = self.context().clone();
        let appended = async move {
            context.store.append_async(append).await?;
            hold.end();
            drop(claim);
            Ok(())
        };
        self.to_its_end(appended).await
    }

    /// Runs work in a task of its own: whoever stops waiting doesn't give back what is about to be recorded.
    async fn to_its_end(
        &self,
        work: impl Future<Output = Result<(), DispatchError>> + Send + 'static,
    ) -> Result<(), DispatchError> {
        self.runtime().spawn(work).await.map_err(|_| DispatchError::RuntimeGone)?
    }
}
