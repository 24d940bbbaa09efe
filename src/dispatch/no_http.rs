//! Deliveries to http endpoints in a build without the feature `http-client`: no such target is bound, so none is called.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::delivery::Function;
use super::{DispatchError, Options};
use crate::config::HttpTarget;
use crate::storage::Clock;

/// Calls nothing.
#[derive(Debug)]
pub(super) struct Http;

/// The turn of a call, which never comes.
#[derive(Clone, Debug)]
pub(super) enum Turn {}

impl Http {
    #[expect(clippy::unnecessary_wraps, reason = "as where options may be faulty")]
    pub(super) fn new(_: &Options, _: Arc<dyn Clock>) -> Result<Self, DispatchError> {
        Ok(Self)
    }

    #[expect(clippy::unused_async, reason = "as where there is something to wait for")]
    pub(super) async fn turn(&self, _: &HttpTarget) -> Option<Turn> {
        None
    }

    #[expect(clippy::unused_self, reason = "as where there is something to shut down")]
    pub(super) fn shut_down(&self) {}
}

impl Turn {
    pub(super) fn function(self, _: &HttpTarget, _: Duration, _: &Handle) -> Function {
        match self {}
    }
}
