//! Alerts: how one side tells the other what went wrong (RFC 8446 section 6).

use core::fmt;

/// An alert's description, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alert(pub u8);

impl Alert {
    /// A message at a moment when it may not come.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// A record that does not decrypt.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// A record that is longer than records may be.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// Nothing that both sides have.
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    /// The certificate is broken, or for somebody else.
    pub const BAD_CERTIFICATE: Self = Self(42);
    /// The certificate was revoked.
    pub const CERTIFICATE_REVOKED: Self = Self(44);
    /// The certificate has expired, or is not valid yet.
    pub const CERTIFICATE_EXPIRED: Self = Self(45);
    /// A value that contradicts itself or others.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// Nobody that we trust has signed the certificate.
    pub const UNKNOWN_CA: Self = Self(48);
    /// What came is no such message.
    pub const DECODE_ERROR: Self = Self(50);
    /// A signature or a Finished that is wrong.
    pub const DECRYPT_ERROR: Self = Self(51);
    /// No version that both sides have.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// A fault on the sender's side.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// No renegotiation in TLS 1.2; a warning.
    pub const NO_RENEGOTIATION: Self = Self(100);
    /// An extension is missing without which there is no handshake.
    pub const MISSING_EXTENSION: Self = Self(109);
    /// A certificate must be shown.
    pub const CERTIFICATE_REQUIRED: Self = Self(116);
    /// No application protocol that both sides have.
    pub const NO_APPLICATION_PROTOCOL: Self = Self(120);

    /// Its name in RFC 8446, if it has one there.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => return None,
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "number {}", self.0),
        }
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alert({self})")
    }
}
