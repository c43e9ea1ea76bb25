//! QEMU's monitor, in JSON lines (docs/interop/qmp-spec): commands without a look at their answers, and why the machine stopped.
//! What QEMU complains of comes between them, as lines of text.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Why a machine is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The guest ended its power.
    Shutdown,
    /// The guest reset the machine, on purpose or by a fault that nothing took.
    Reset,
    /// Somebody told QEMU to.
    Host,
}

/// The tool's end of the monitor.
pub struct Qmp {
    stream: UnixStream,
    received: Vec<u8>,
    cause: Option<Cause>,
    complaints: String,
}

impl Qmp {
    /// Over a connection that never makes its reader wait.
    pub fn new(stream: UnixStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        let mut qmp = Self { stream, received: Vec::new(), cause: None, complaints: String::new() };
        // QEMU reads it once it has greeted.
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Has QEMU do something.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<()> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.stream.write_all(line.as_bytes()).with_context(|| format!("QEMU does not take {command}"))
    }

    /// Why the machine stopped, if QEMU has said so by now.
    pub fn cause(&mut self) -> Option<Cause> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing more for now, or for ever.
                Ok(0) | Err(_) => break,
            }
        }
        while let Some(end) = self.received.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(said) => self.cause = cause_in(&said).or(self.cause),
                Err(_) => self.complaints += &String::from_utf8_lossy(&line),
            }
        }
        self.cause
    }

    /// What QEMU has complained of, as far as [`cause`](Self::cause) has read.
    pub fn complaints(&self) -> &str {
        &self.complaints
    }
}

fn cause_in(said: &Value) -> Option<Cause> {
    if said["event"] != "SHUTDOWN" {
        return None;
    }
    Some(match said["data"]["reason"].as_str()? {
        "guest-shutdown" => Cause::Shutdown,
        "guest-reset" => Cause::Reset,
        _ => Cause::Host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_in_one_of_the_lines() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut qmp = Qmp::new(ours).unwrap();
        theirs.write_all(b"{\"QMP\": {}}\r\n{\"return\": {}}\r\n{\"event\": \"RESUME\"}\r\n").unwrap();
        theirs.write_all(b"qemu-system-x86_64: something is odd\n").unwrap();
        assert_eq!(qmp.cause(), None);
        assert_eq!(qmp.complaints(), "qemu-system-x86_64: something is odd\n");
        let event = r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#;
        theirs.write_all(&event.as_bytes()[..30]).unwrap();
        assert_eq!(qmp.cause(), None);
        theirs.write_all(format!("{}\r\n", &event[30..]).as_bytes()).unwrap();
        drop(theirs);
        assert_eq!(qmp.cause(), Some(Cause::Reset));
        assert_eq!(qmp.cause(), Some(Cause::Reset));
    }
}
