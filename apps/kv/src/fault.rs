//! What goes wrong in a command, in Redis's words.

use alloc::vec::Vec;

/// Why a command is refused. What a client is told begins with a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// These words.
    Said(&'static str),
    /// Words that name something.
    Built(Vec<u8>),
}

/// The result of a command: its answer is written already.
pub type Reply = Result<(), Fault>;

macro_rules! faults {
    ($($name:ident = $text:expr;)*) => {
        impl Fault { $(pub(crate) const $name: Self = Self::Said($text);)* }
    };
}

faults! {
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    SYNTAX = "ERR syntax error";
    NOT_INTEGER = "ERR value is not an integer or out of range";
    NOT_FLOAT = "ERR value is not a valid float";
    NO_KEY = "ERR no such key";
    OUT_OF_RANGE = "ERR value is out of range";
    INDEX = "ERR index out of range";
    NOT_POSITIVE = "ERR value is out of range, must be positive";
    OVERFLOW = "ERR increment or decrement would overflow";
    DB_INDEX = "ERR DB index is out of range";
    TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
    SAME = "ERR source and destination objects are the same";
    TIMEOUT = "ERR timeout is not a float or out of range";
    TIMEOUT_NEGATIVE = "ERR timeout is negative";
    CURSOR = "ERR invalid cursor";
    RANGE_FLOAT = "ERR min or max is not a float";
    RANGE_TEXT = "ERR min or max not valid string range item";
    NAN = "ERR resulting score is not a number (NaN)";
    NAN_SUM = "ERR increment would produce NaN or Infinity";
}

impl Fault {
    /// What the client is told, without the `-` before it.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Said(text) => text.as_bytes(),
            Self::Built(text) => text,
        }
    }

    /// Words, something that is named, and more words.
    #[inline(never)]
    pub(crate) fn naming(before: &str, named: &[u8], after: &str) -> Self {
        Self::Built([before.as_bytes(), named, after.as_bytes()].concat())
    }

    /// That a command has too few or too many arguments.
    #[inline(never)]
    pub(crate) fn arity(name: &str) -> Self {
        Self::naming("ERR wrong number of arguments for '", name.as_bytes(), "' command")
    }
}
