//! What dispatch writes into the log about queues: records of kind `Queue`. Their key is the id of the message.

use bytes::Bytes;
use uuid::Uuid;

use super::codec::{Reader, Writer};
use super::record::FORMAT;
use crate::event::{Name, Scope};
use crate::log::Address;

/// A message, or what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueueRecord {
    /// A message enters its queue.
    Message { scope: Scope, queue: Name, event: Uuid, handler: Name, call: u32, data: Bytes },
    /// Somebody took it: nobody else gets it before a time, in microseconds since the Unix epoch.
    Leased { scope: Scope, queue: Name, message: Address, until: i64 },
    /// It was worked on and is gone.
    Acknowledged { scope: Scope, queue: Name, message: Address },
}

impl QueueRecord {
    pub(super) fn encode(&self) -> Bytes {
        let writer = |tag: u8, scope: &Scope, queue: &Name| {
            Writer::new(FORMAT, tag).bytes(scope.to_string().as_bytes()).bytes(queue.as_str().as_bytes())
        };
        match self {
            Self::Message { scope, queue, event, handler, call, data } => writer(1, scope, queue)
                .fixed(event.as_bytes())
                .bytes(handler.as_str().as_bytes())
                .u32(*call)
                .bytes(data),
            Self::Leased { scope, queue, message, until } => writer(2, scope, queue).u64(message.to_u64()).i64(*until),
            Self::Acknowledged { scope, queue, message } => writer(3, scope, queue).u64(message.to_u64()),
        }
        .finish()
    }

    /// The record from its body; `None` where it is none.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        if reader.u8()? != FORMAT {
            return None;
        }
        let tag = reader.u8()?;
        let scope = reader.text()?.parse().ok()?;
        let queue = Name::parse("queue", &reader.text()?).ok()?;
        let record = match tag {
            1 => Self::Message {
                scope,
                queue,
                event: Uuid::from_bytes(reader.fixed()?),
                handler: Name::parse("handler", &reader.text()?).ok()?,
                call: reader.u32()?,
                data: Bytes::copy_from_slice(reader.bytes()?),
            },
            2 => Self::Leased { scope, queue, message: Address::from_u64(reader.u64()?), until: reader.i64()? },
            3 => Self::Acknowledged { scope, queue, message: Address::from_u64(reader.u64()?) },
            _ => return None,
        };
        reader.end(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(data: Vec<u8>, number: u64) -> [QueueRecord; 3] {
        let scope = || "dutch-bank/loans".parse::<Scope>().unwrap();
        let queue = || Name::parse("queue", "mail").unwrap();
        let message = Address::from_u64(number);
        let event = Uuid::from_u128(u128::from(number) << 3);
        [
            QueueRecord::Message {
                scope: scope(),
                queue: queue(),
                event,
                handler: queue(),
                call: 2,
                data: data.into(),
            },
            QueueRecord::Leased { scope: scope(), queue: queue(), message, until: -5 },
            QueueRecord::Acknowledged { scope: scope(), queue: queue(), message },
        ]
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were_written(data in any::<Vec<u8>>(), number in any::<u64>()) {
            for record in records(data, number) {
                let body = record.encode();
                prop_assert_eq!(QueueRecord::decode(&body), Some(record));
                prop_assert_eq!(QueueRecord::decode(&body[..body.len() - 1]), None);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = QueueRecord::decode(&bytes);
        }
    }

    #[test]
    fn the_layout_stays() {
        let [.., acknowledged] = records(Vec::new(), 0x0201);
        let mut expected = vec![1, 3, 16, 0, 0, 0];
        expected.extend(b"dutch-bank/loans\x04\0\0\0mail\x01\x02\0\0\0\0\0\0");
        assert_eq!(&acknowledged.encode()[..], expected);
    }
}
