//! The appliance as a process, with a client.

use fata::testing::{Process, free_port};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

#[test]
fn it_answers_and_leaves() {
    let port = free_port();
    let {{crate}} = Process::start(env!("CARGO_BIN_EXE_{{name}}"), [format!("port={port}")]);
    {{crate}}.wait_for(&format!("on port {port}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"hello\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "6 octets\n");
    // SIGTERM is what `xl shutdown` is on Xen.
    assert_eq!({{crate}}.leave().code(), Some(0));
}
