//! Buffers that are used again: a request takes what another has given back, instead of asking the allocator.
//!
//! They belong to one thread, as all of a request does.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
};

/// How many are kept: more requests than these are seldom under way at the same moment.
const MAX_KEPT: usize = 64;

/// What a buffer may hold, in bytes, to be kept.
const MAX_BYTES: usize = 16 * 1024;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with some room; dropped, it is there for the next.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn new() -> Buffer {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        Buffer(kept.unwrap_or_else(|| Vec::with_capacity(2048)))
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.0.capacity() == 0 || self.0.capacity() > MAX_BYTES {
            return;
        }
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        // A thread that ends has no use for it.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < MAX_KEPT {
                kept.push(buffer);
            }
        });
    }
}
