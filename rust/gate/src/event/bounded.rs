//! Events that wait, within bounds of number and size; the oldest are given up.

use std::collections::VecDeque;

use super::Event;

/// Most bytes of certificates that wait.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A queue.
#[derive(Debug)]
pub(super) struct Bounded {
    events: VecDeque<Event>,
    bytes: usize,
    max: usize,
}

impl Bounded {
    /// Room for `max` events, at least one.
    pub(super) fn new(max: usize) -> Bounded {
        Bounded {
            events: VecDeque::new(),
            bytes: 0,
            max: max.max(1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Adds an event; returns how many others were given up for it.
    pub(super) fn push(&mut self, event: Event) -> u64 {
        self.bytes += weight(&event);
        self.events.push_back(event);
        let mut lost = 0;
        while self.events.len() > 1 && (self.events.len() > self.max || self.bytes > MAX_BYTES) {
            self.take();
            lost += 1;
        }
        lost
    }

    /// Takes out the oldest.
    pub(super) fn take(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= weight(&event);
        Some(event)
    }
}

fn weight(event: &Event) -> usize {
    let certificate = event.certificate.as_ref().map_or(0, Vec::len);
    certificate + event.chain.iter().map(|der| der.len()).sum::<usize>()
}
