//! The appliance as a process, with a client.

use fata::testing::{Process, free_port};
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn it_serves_and_leaves() {
    let port = free_port();
    let {{crate}} = Process::start(env!("CARGO_BIN_EXE_{{name}}"), [format!("port={port}")]);
    {{crate}}.wait_for(&format!("on port {port}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello from {{name}}\n"), "{answer}");
    // SIGTERM is what `xl shutdown` is on Xen.
    assert_eq!({{crate}}.leave().code(), Some(0));
}
