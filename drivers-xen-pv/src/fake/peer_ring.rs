//! The daemons' end of a ring of octets, which may lie about its index.

use crate::byte_ring::Layout;
use crate::shared::SharedMemory;

/// Takes all that the guest has put.
pub(super) fn take(page: SharedMemory, ring: Layout) -> Vec<u8> {
    take_at_most(page, ring, usize::MAX)
}

/// Takes what the guest has put, at most `limit` octets.
pub(super) fn take_at_most(page: SharedMemory, ring: Layout, limit: usize) -> Vec<u8> {
    let (producer, consumer) = (page.load_u32(ring.producer), page.load_u32(ring.consumer));
    let used = producer.wrapping_sub(consumer);
    assert!(used <= ring.size, "the guest's index is {used} ahead");
    let count = used.min(u32::try_from(limit).unwrap_or(u32::MAX));
    let at = |n: u32| ring.data + (consumer.wrapping_add(n) % ring.size) as usize;
    let bytes = (0..count).map(|n| page.load_u8(at(n))).collect();
    page.store_u32(ring.consumer, consumer.wrapping_add(count));
    bytes
}

/// Puts what fits, and says how much that is.
pub(super) fn put(page: SharedMemory, ring: Layout, bytes: &[u8]) -> usize {
    let (producer, consumer) = (page.load_u32(ring.producer), page.load_u32(ring.consumer));
    let room = ring.size.saturating_sub(producer.wrapping_sub(consumer));
    let count = bytes.len().min(room as usize);
    for (n, byte) in bytes[..count].iter().enumerate() {
        page.write(ring.data + (producer.wrapping_add(n as u32) % ring.size) as usize, &[*byte]);
    }
    page.store_u32(ring.producer, producer.wrapping_add(count as u32));
    count
}
