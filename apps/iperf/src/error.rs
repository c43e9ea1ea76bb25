//! What ends a test before its time.

use alloc::string::String;
use fata::net;

/// Why the server does not do what a client asks: the numbers are iperf3's (`iperf_api.h`), so that its client says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(i32)]
pub enum Refusal {
    /// The test would last too long.
    #[error("the test is too long")]
    Duration = 5,
    /// Too many streams, or none.
    #[error("too many streams")]
    Streams = 6,
    /// Blocks that are too large, or none at all.
    #[error("a block of no possible size")]
    BlockSize = 7,
    /// The window is too large.
    #[error("the window is too large")]
    Window = 8,
    /// The time that does not count makes no sense.
    #[error("an impossible time to omit")]
    Omit = 12,
    /// Something that there is not.
    #[error("not implemented")]
    Unimplemented = 13,
    /// No such protocol here.
    #[error("there is no SCTP")]
    Sctp = 18,
    /// The port is taken.
    #[error("cannot listen")]
    Listen = 102,
    /// A message at a time when it makes no sense.
    #[error("an unexpected message")]
    Message = 110,
    /// Parameters that cannot be read.
    #[error("unreadable parameters")]
    Params = 114,
    /// Results that cannot be read.
    #[error("unreadable results")]
    Results = 117,
    /// Nothing moves, or the client took longer than it said.
    #[error("the test has stopped moving")]
    Stalled = 120,
    /// The streams did not come, or could not be made.
    #[error("the streams did not come")]
    StreamsMissing = 200,
}

/// What ends a test before its time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The network says so.
    #[error("{0}")]
    Net(#[from] net::Error),
    /// The other side did not say what it has to, in time.
    #[error("no answer within {0} s")]
    Silent(u64),
    /// The other side has closed the control connection.
    #[error("the other side has closed the connection")]
    Closed,
    /// A message of no known kind.
    #[error("message {0} is of no known kind")]
    Unknown(i8),
    /// A message at a time when it makes no sense.
    #[error("message {got} came where {expected} was to come")]
    Unexpected {
        /// The number of the message that came.
        got: i8,
        /// What should have come.
        expected: &'static str,
    },
    /// JSON that is longer than it may be.
    #[error("{len} octets of JSON, of at most {max}")]
    TooLong {
        /// What it says.
        len: u32,
        /// The limit.
        max: u32,
    },
    /// JSON that is none, or has not what must be in it.
    #[error("bad JSON: {0}")]
    Json(String),
    /// No memory for it.
    #[error("out of memory")]
    OutOfMemory,
    /// This side refuses.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The server is busy with another test.
    #[error("the server is busy with another test")]
    Denied,
    /// The other side ended the test.
    #[error("the other side ended the test")]
    Terminated,
    /// The other side has failed, with iperf3's numbers.
    #[error("the server reports error {code} (errno {errno})")]
    Server {
        /// iperf3's own number.
        code: i32,
        /// The system's.
        errno: i32,
    },
    /// Results of a stream that there is not.
    #[error("results of stream {0}, which is none of this test's")]
    Stream(u32),
}
