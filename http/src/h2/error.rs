//! Error codes, and what an error ends (RFC 9113 sections 5.4 and 7).

/// Why a stream or a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Code {
    NoError = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    SettingsTimeout = 4,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Cancel = 8,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// What ends because of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The connection, after a GOAWAY.
    #[error("the connection ends: {0:?}")]
    Connection(Code),
    /// One stream, by RST_STREAM.
    #[error("the stream ends: {0:?}")]
    Stream(Code),
}
