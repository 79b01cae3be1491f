//! The records of traced requests until somebody fetches them: so many, and not one more.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Record;

/// The store. Calls are safe from any thread, and none of them waits.
#[derive(Debug)]
pub struct Spans {
    kept: Mutex<VecDeque<Record>>,
    most: usize,
    dropped: AtomicU64,
}

impl Spans {
    /// A store of at most `most` records.
    pub fn new(most: usize) -> Spans {
        Spans {
            kept: Mutex::default(),
            most,
            dropped: AtomicU64::new(0),
        }
    }

    /// Keeps a record, or counts its spans as dropped where there is no room: what is there is older and belongs to traces
    /// of which others may have reported already.
    pub fn push(&self, record: Record) {
        let mut kept = self.lock();
        if kept.len() < self.most {
            kept.push_back(record);
        } else {
            drop(kept);
            self.dropped.fetch_add(record.spans(), Ordering::Relaxed);
        }
    }

    /// Takes out at most `max`, the oldest first.
    pub fn drain(&self, max: usize) -> Vec<Record> {
        let mut kept = self.lock();
        let some = max.min(kept.len());
        kept.drain(..some).collect()
    }

    /// How many spans were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Record>> {
        // A panic of another thread while it held the lock leaves whole records.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Instant};

    use http::{Method, Uri, Version};

    use super::*;
    use crate::{fields::Fields, message::RequestHead, trace::Tracing};

    fn record() -> Record {
        let head = RequestHead {
            method: Method::GET,
            uri: Uri::from_static("/"),
            version: Version::HTTP_11,
            protocol: None,
            fields: Fields::default(),
        };
        let mut trace = Tracing::new(1.0, false).begin(&head, false);
        let mut recording = trace.recording.take().unwrap();
        recording.calls();
        Record::of(
            &trace,
            &recording,
            Instant::now(),
            Ipv4Addr::LOCALHOST.into(),
        )
    }

    #[test]
    fn what_has_no_room_is_counted_in_spans() {
        let spans = Spans::new(2);
        let records: Vec<Record> = (0..4).map(|_| record()).collect();
        for record in &records {
            spans.push(record.clone());
        }
        assert_eq!(spans.dropped(), 4);
        let kept = spans.drain(10);
        let ids = |records: &[Record]| -> Vec<String> {
            records.iter().map(|record| record.trace.clone()).collect()
        };
        assert_eq!(ids(&kept), ids(&records[..2]));
        assert!(spans.drain(10).is_empty());
        spans.push(record());
        assert_eq!(
            (spans.drain(0).len(), spans.drain(1).len(), spans.dropped()),
            (0, 1, 4)
        );
    }
}
