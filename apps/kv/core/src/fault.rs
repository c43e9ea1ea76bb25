//! What goes wrong in a command, in Redis's words.

/// Why a command is refused: the words that a client is told, which begin with a code. `%` in them is the command's name.
///
/// It is no larger than a pointer: every function that may fail gives one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static &'static str);

/// The result of a command: its answer is written already.
pub type Reply = Result<(), Fault>;

macro_rules! faults {
    ($($name:ident = $text:expr;)*) => {
        impl Fault { $(pub(crate) const $name: Self = Self(&$text);)* }
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
    MISCONF = "MISCONF Errors writing to the disk: commands that may modify the data set are disabled. \
        Please check the server's console for details about the error.";
    DISK_READ_ONLY = "MISCONF The disk is read-only: commands that may modify the data set are disabled.";
    DISK_DAMAGED = "MISCONF The disk is damaged: commands that may modify the data set are disabled.";
    NAME_TOO_LONG = "ERR key, field or member exceeds maximum allowed size";
    OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
    SAME = "ERR source and destination objects are the same";
    TIMEOUT = "ERR timeout is not a float or out of range";
    TIMEOUT_NEGATIVE = "ERR timeout is negative";
    CURSOR = "ERR invalid cursor";
    RANGE_FLOAT = "ERR min or max is not a float";
    RANGE_TEXT = "ERR min or max not valid string range item";
    NAN = "ERR resulting score is not a number (NaN)";
    ARITY = "ERR wrong number of arguments for '%' command";
    EXPIRE = "ERR invalid expire time in '%' command";
    NO_INPUT = "ERR at least 1 input key is needed for '%' command";
    BUILT = "ERR see what was built";
    NAN_SUM = "ERR increment would produce NaN or Infinity";
}

impl Fault {
    /// What the client is told, without the `-` before it.
    pub fn text(self) -> &'static str {
        self.0
    }
}
