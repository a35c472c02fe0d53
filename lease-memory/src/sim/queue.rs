//! What is still to happen, in the order of true time; what is due at one moment keeps the order it was asked in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap of small entries beside the things themselves, which are large and need not be moved about.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    sequence: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    pub(super) fn push(&mut self, at_ns: u64, what: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("a run has less than four thousand million things under way")
        });
        self.slots[slot as usize] = Some(what);
        self.heap.push(Reverse((at_ns, self.sequence, slot)));
        self.sequence += 1;
    }

    pub(super) fn next_at(&self) -> u64 {
        self.heap.peek().map_or(u64::MAX, |Reverse((at_ns, ..))| *at_ns)
    }

    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((at_ns, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let what = self.slots[slot as usize].take().expect("every entry of the heap has its slot");
        Some((at_ns, what))
    }

    /// Everything under way, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.heap.iter().filter_map(|Reverse((at_ns, _, slot))| Some((*at_ns, self.slots[*slot as usize].as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_equals_keep_their_order() {
        let mut queue = Queue::new();
        for (at_ns, what) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(at_ns, what);
        }
        assert_eq!(queue.next_at(), 3);
        assert_eq!(queue.iter().count(), 4);
        let order: String = std::iter::from_fn(|| queue.pop()).map(|(_, what)| what).collect();
        assert_eq!(order, "abcd");
        queue.push(1, 'e');
        assert_eq!(queue.pop(), Some((1, 'e')));
        assert_eq!(queue.next_at(), u64::MAX);
    }
}
