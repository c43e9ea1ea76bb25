//! Messages: a header of four numbers, then a payload of NUL-terminated strings (`io/xs_wire.h`, `docs/misc/xenstore.txt` of
//! Xen). Pure: octets in, values out.

use super::error::StoreError;
use crate::abi::xs_wire::{ABS_PATH_MAX, PAYLOAD_MAX, REL_PATH_MAX, XsdSockmsg};
use crate::text;
use alloc::vec::Vec;

/// Octets of a header.
pub const HEADER_SIZE: usize = 16;

/// A message that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// The header promises more than a message may have.
    #[error("message of type {kind} with {len} octets")]
    TooLong {
        /// The message's type, `XS_*`.
        kind: u32,
        /// Octets it would have.
        len: u32,
    },
    /// The payload does not have the form that its type has.
    #[error("malformed message of type {kind} with {len} octets")]
    Malformed {
        /// The message's type, `XS_*`.
        kind: u32,
        /// Octets of its payload.
        len: usize,
    },
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Type, number, transaction, length.
    pub header: XsdSockmsg,
    /// What follows the header.
    pub payload: Vec<u8>,
}

impl Message {
    /// Its fault where the payload has not the form of its type.
    pub fn malformed(&self) -> WireFault {
        WireFault::Malformed { kind: self.header.r#type, len: self.payload.len() }
    }
}

/// The header's octets.
pub fn encode_header(header: &XsdSockmsg) -> [u8; HEADER_SIZE] {
    let mut bytes = [0; HEADER_SIZE];
    let fields = [header.r#type, header.req_id, header.tx_id, header.len];
    for (to, field) in bytes.chunks_exact_mut(4).zip(fields) {
        to.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

fn decode_header(bytes: &[u8; HEADER_SIZE]) -> XsdSockmsg {
    let field = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    XsdSockmsg { r#type: field(0), req_id: field(4), tx_id: field(8), len: field(12) }
}

/// Takes the first message off `stream`, if all of it is there.
pub fn take_message(stream: &mut Vec<u8>) -> Result<Option<Message>, WireFault> {
    let Some(head) = stream.first_chunk::<HEADER_SIZE>() else { return Ok(None) };
    let header = decode_header(head);
    let len = header.len as usize;
    if len > PAYLOAD_MAX {
        return Err(WireFault::TooLong { kind: header.r#type, len: header.len });
    }
    let Some(payload) = stream.get(HEADER_SIZE..HEADER_SIZE + len) else { return Ok(None) };
    let payload = payload.to_vec();
    stream.drain(..HEADER_SIZE + len);
    Ok(Some(Message { header, payload }))
}

/// Appends a message whose payload is `parts` one after the other.
pub fn append_message(stream: &mut Vec<u8>, mut header: XsdSockmsg, parts: &[&[u8]]) {
    header.len = parts.iter().map(|p| p.len()).sum::<usize>() as u32;
    stream.extend_from_slice(&encode_header(&header));
    for part in parts {
        stream.extend_from_slice(part);
    }
}

/// The payload without the NUL that ends it; older daemons leave it out.
pub fn strip_nul(payload: &[u8]) -> &[u8] {
    payload.strip_suffix(b"\0").unwrap_or(payload)
}

/// Path and token of a watch event.
pub fn parse_watch_event(payload: &[u8]) -> Option<(&str, u32)> {
    let mut strings = payload.split(|b| *b == 0);
    let path = core::str::from_utf8(strings.next()?).ok()?;
    Some((path, parse_number(strings.next()?)?))
}

/// A decimal number, and nothing else.
pub fn parse_number(digits: &[u8]) -> Option<u32> {
    text::number(digits)?.try_into().ok()
}

/// Checks what the daemon would cut the connection for, or what would turn one string into two.
pub fn check_path(path: &str) -> Result<(), StoreError> {
    let limit = if path.starts_with('/') { ABS_PATH_MAX } else { REL_PATH_MAX };
    let good = !path.is_empty() && path.len() < limit && path.bytes().all(|octet| octet != 0);
    if good { Ok(()) } else { Err(StoreError::BadPath { len: path.len() }) }
}

/// Checks that the parts fit a message.
pub fn check_payload(parts: &[&[u8]]) -> Result<(), StoreError> {
    let len = parts.iter().map(|p| p.len()).sum();
    if len > PAYLOAD_MAX { Err(StoreError::TooLong { len, limit: PAYLOAD_MAX }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_four_little_endian_numbers() {
        let header = XsdSockmsg { r#type: 2, req_id: 0x0102_0304, tx_id: 9, len: 5 };
        let bytes = encode_header(&header);
        assert_eq!(bytes, [2, 0, 0, 0, 4, 3, 2, 1, 9, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(decode_header(&bytes), header);
    }

    #[test]
    fn a_message_longer_than_allowed_is_a_fault_before_it_has_come() {
        let mut stream = Vec::new();
        stream.extend(encode_header(&XsdSockmsg { r#type: 2, req_id: 1, tx_id: 0, len: 4097 }));
        assert_eq!(take_message(&mut stream), Err(WireFault::TooLong { kind: 2, len: 4097 }));
    }

    #[test]
    fn watch_events_need_a_path_and_a_number() {
        assert_eq!(parse_watch_event(b"device/vif\x0017\0"), Some(("device/vif", 17)));
        for bad in
            [&b""[..], b"path", b"path\0", b"path\0\0", b"path\0x\0", b"\xff\x001\0", b"p\0+1\0", b"p\0-1\0"]
        {
            assert_eq!(parse_watch_event(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn paths_that_the_daemon_would_not_take() {
        assert!(check_path("a/b").is_ok() && check_path("/").is_ok());
        assert!(check_path(&"a".repeat(2047)).is_ok());
        assert!(check_path(&format!("/{}", "a".repeat(3070))).is_ok());
        for bad in ["", "a\0b", &"a".repeat(2048), &format!("/{}", "a".repeat(3071))] {
            assert_eq!(check_path(bad), Err(StoreError::BadPath { len: bad.len() }));
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10),
            cut in 1usize..50,
        ) {
            let mut bytes = Vec::new();
            for (i, p) in payloads.iter().enumerate() {
                let header = XsdSockmsg { r#type: 2, req_id: i as u32, tx_id: 0, len: 0 };
                append_message(&mut bytes, header, &[p]);
            }
            let (mut stream, mut seen) = (Vec::new(), Vec::new());
            for chunk in bytes.chunks(cut) {
                stream.extend_from_slice(chunk);
                while let Some(m) = take_message(&mut stream).unwrap() {
                    prop_assert_eq!(m.header.req_id as usize, seen.len());
                    seen.push(m.payload);
                }
            }
            prop_assert_eq!(seen, payloads);
        }

        #[test]
        fn no_octets_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_watch_event(&bytes);
            let _ = parse_number(&bytes);
            let _ = take_message(&mut bytes.clone());
        }
    }
}
