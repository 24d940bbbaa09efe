//! What operators do with a delivery: release it, or give it up. Every act is a record of the log.

use super::DispatchError;
use super::dispatcher::Dispatcher;
use super::driver::{Filter, Message};
use super::hold::Hold;
use super::prepare::{cut, with_stopped};
use super::record::{DeliveryRecord, delivery_key};
use super::status::{DeliveryId, DeliveryStatus, Phase};
use crate::event::{Name, Scope};
use crate::log::{Append, RecordKind, RecordedEvent};

/// How many deliveries are released in one append.
const RELEASED_AT_ONCE: usize = 1_000;

impl Dispatcher {
    /// Has a parked delivery tried again, with attempts from nought; `reason` is kept on record. Durable when this returns.
    ///
    /// # Errors
    /// [`DispatchError::NotParked`], [`DispatchError::NoSuchDelivery`], [`DispatchError::NoSuchEvent`],
    /// [`DispatchError::Append`].
    pub async fn release(
        &self,
        scope: Option<&Scope>,
        id: &DeliveryId,
        reason: Option<&str>,
    ) -> Result<(), DispatchError> {
        let (event, deliveries) = self.deliveries_of(scope, id).await?;
        let delivery = pick(&deliveries, id)?;
        if !delivery.parked {
            let found = delivery.phase.to_string();
            return Err(DispatchError::NotParked { delivery: id.to_string(), found });
        }
        let append = append_of(&event, id, &self.released(reason));
        self.context().store.append_async(append).await?;
        Ok(())
    }

    /// Has all deliveries tried again that are parked now: of one scope, of one handler, or all. Says how many. They are
    /// released a thousand at a time; where an error ends this, those before it are released.
    ///
    /// # Errors
    /// What made dispatch stop; [`DispatchError::Append`].
    pub async fn release_all(
        &self,
        scope: Option<&Scope>,
        handler: Option<&Name>,
        reason: Option<&str>,
    ) -> Result<u64, DispatchError> {
        let record = self.released(reason);
        let (mut after, mut released) = (None, 0);
        loop {
            let (scope, handler) = (scope.cloned(), handler.cloned());
            let page = self.open_page(Filter { scope, handler, parked: true, limit: RELEASED_AT_ONCE, after }).await?;
            if !page.entries.is_empty() {
                let append = page.entries.iter().fold(Append::of_records(), |append, entry| {
                    let key = delivery_key(&entry.scope, entry.event, entry.handler.as_str());
                    append.record(RecordKind::Delivery, key, record.encode(entry.position))
                });
                self.context().store.append_async(append).await?;
                released += page.entries.len() as u64;
            }
            // Those that are parked again meanwhile are behind.
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(released),
            }
        }
    }

    fn released(&self, reason: Option<&str>) -> DeliveryRecord {
        DeliveryRecord::Released { actor: self.acting(), reason: reason.map(|reason| self.said(reason)) }
    }

    pub(super) fn acting(&self) -> Option<String> {
        self.actor.as_deref().map(|actor| self.said(actor))
    }

    /// What an operator says, as long as it may be.
    pub(super) fn said(&self, text: &str) -> String {
        cut(text.to_owned(), self.context().options.max_error)
    }

    /// Gives a delivery that isn't complete up: Complete, Failure, with `reason` as its error. What it stops on failure is
    /// stopped. Durable when this returns.
    ///
    /// # Errors
    /// [`DispatchError::NotDroppable`] where it is complete or runs, [`DispatchError::NoSuchDelivery`],
    /// [`DispatchError::NoSuchEvent`], [`DispatchError::Append`].
    pub async fn drop_delivery(
        &self,
        scope: Option<&Scope>,
        id: &DeliveryId,
        reason: &str,
    ) -> Result<(), DispatchError> {
        let (event, deliveries) = self.deliveries_of(scope, id).await?;
        let delivery = pick(&deliveries, id)?;
        let refused = |found: Phase| DispatchError::NotDroppable { delivery: id.to_string(), found: found.to_string() };
        if delivery.phase != Phase::Pending {
            return Err(refused(delivery.phase));
        }
        let position = event.position();
        let hold = match self.is_serving() {
            true => {
                let (scope, handler) = (event.scope().clone(), id.handler.clone());
                let hold = self.ask(|reply| Message::HoldDelivery { scope, position, handler, reply }).await?;
                hold.ok_or_else(|| refused(Phase::InProcess))?
            }
            false => Hold::of_nothing(self.context()),
        };
        let dropped = DeliveryRecord::Dropped { actor: self.acting(), reason: self.said(reason) };
        let mut append = append_of(&event, id, &dropped);
        let stopped = self.stopped_by(&event, &deliveries, &id.handler).await?;
        append = with_stopped(append, &event, id.handler.as_str(), stopped.iter().map(Name::as_str));
        self.append_held(hold, append).await
    }

    /// The handlers of an event that are stopped when `handler` fails.
    async fn stopped_by(
        &self,
        event: &RecordedEvent,
        deliveries: &[DeliveryStatus],
        handler: &Name,
    ) -> Result<Vec<Name>, DispatchError> {
        let (of, name) = (event.clone(), handler.clone());
        let plan = self.read(move |reader| reader.plan(&of)).await?;
        let stops = plan.is_some_and(|plan| plan.handlers.iter().any(|of| of.name == name && of.stop_on_failure));
        let later = deliveries.iter().skip_while(|delivery| delivery.handler != *handler).skip(1);
        let open = later.filter(|delivery| stops && delivery.phase != Phase::Complete);
        Ok(open.map(|delivery| delivery.handler.clone()).collect())
    }

    async fn deliveries_of(
        &self,
        scope: Option<&Scope>,
        id: &DeliveryId,
    ) -> Result<(RecordedEvent, Vec<DeliveryStatus>), DispatchError> {
        let event = self.find_event(scope, id.event).await?;
        let of = event.clone();
        let deliveries = self.read(move |reader| reader.deliveries(&of)).await?;
        Ok((event, deliveries))
    }
}

fn append_of(event: &RecordedEvent, id: &DeliveryId, record: &DeliveryRecord) -> Append {
    let key = delivery_key(event.scope(), event.id(), id.handler.as_str());
    Append::of_records().record(RecordKind::Delivery, key, record.encode(event.position()))
}

fn pick<'d>(deliveries: &'d [DeliveryStatus], id: &DeliveryId) -> Result<&'d DeliveryStatus, DispatchError> {
    deliveries.iter().find(|delivery| delivery.handler == id.handler).ok_or_else(|| DispatchError::NoSuchDelivery {
        event: id.event,
        handler: id.handler.to_string(),
        deliveries: deliveries.iter().map(|delivery| delivery.handler.to_string()).collect(),
    })
}
