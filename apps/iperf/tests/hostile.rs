//! Clients that break the rules cost the server their own test, and nothing else.

use fata::testing::{Process, free_port};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const COOKIE: &[u8; 37] = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0";
const PARAM_EXCHANGE: u8 = 9;
const CREATE_STREAMS: u8 = 10;
const TEST_RUNNING: [u8; 2] = [1, 2];
const EXCHANGE_RESULTS: u8 = 13;
const ACCESS_DENIED: u8 = 0xff;
const SERVER_ERROR: u8 = 0xfe;

fn server(params: &[&str]) -> (Process, u16) {
    let port = free_port();
    let own = format!("port={port}");
    let server = Process::start(env!("CARGO_BIN_EXE_iperf"), [&[&*own], params].concat());
    server.wait_for(&format!("server on port {port}"));
    (server, port)
}

fn connect(port: u16, cookie: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a time");
    stream.write_all(cookie).expect("it takes the cookie");
    stream
}

fn octet(stream: &mut TcpStream) -> u8 {
    let mut octet = [0];
    stream.read_exact(&mut octet).expect("a message");
    octet[0]
}

/// Connects and says what it wants.
fn ask(port: u16, json: &[u8]) -> TcpStream {
    let mut control = connect(port, COOKIE);
    assert_eq!(octet(&mut control), PARAM_EXCHANGE);
    send_json(&mut control, json);
    control
}

fn send_json(stream: &mut TcpStream, json: &[u8]) {
    stream.write_all(&(json.len() as u32).to_be_bytes()).expect("it reads");
    stream.write_all(json).expect("it reads");
}

/// The number of the error that the server reports.
fn error(mut control: TcpStream) -> i32 {
    assert_eq!(octet(&mut control), SERVER_ERROR);
    let mut numbers = [0; 8];
    control.read_exact(&mut numbers).expect("two numbers");
    let mut rest = Vec::new();
    let _ = control.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    i32::from_be_bytes(*numbers.first_chunk().expect("eight"))
}

/// A test as it should be, to see that there is still one to be had.
fn measure(port: u16) {
    let own = format!("client=127.0.0.1 port={port} octets=300K");
    let mut client = Process::start(env!("CARGO_BIN_EXE_iperf"), own.split_whitespace());
    assert!(client.wait().success(), "{}", client.said());
}

#[test]
fn bad_parameters_are_an_error_to_their_sender() {
    let (server, port) = server(&[]);
    let deep = [b"[".repeat(5000), b"]".repeat(5000)].concat();
    for (json, number) in [
        (&b"not JSON"[..], 114),
        (b"", 114),
        (b"[]", 114),
        (b"{\"tcp\":\"yes\"}", 114),
        (b"{\"tcp\":true,\"tcp\":true}", 114),
        (&deep[..8000], 114),
        (b"{\"tcp\":true,\"parallel\":1e9}", 6),
        (b"{\"tcp\":true,\"len\":1e9}", 7),
        (b"{\"sctp\":true}", 18),
    ] {
        assert_eq!(
            error(ask(port, json)),
            number,
            "{}",
            String::from_utf8_lossy(&json[..json.len().min(80)])
        );
    }
    // A length beyond all bounds is not waited for.
    let mut control = connect(port, COOKIE);
    assert_eq!(octet(&mut control), PARAM_EXCHANGE);
    control.write_all(&u32::MAX.to_be_bytes()).expect("it reads");
    assert_eq!(error(control), 114);
    measure(port);
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn strangers_do_not_hold_the_server() {
    let (server, port) = server(&[]);
    // Many that say nothing, or half a cookie.
    let silent: Vec<TcpStream> = (0..100).map(|n| connect(port, &COOKIE[..n % 37])).collect();
    measure(port);
    drop(silent);
    // More than it meets at once: the oldest of them go, and who has something to say is heard.
    let mut many: Vec<TcpStream> = (0..200).map(|_| connect(port, &[])).collect();
    measure(port);
    assert!(matches!(many[0].read(&mut [0]), Ok(0) | Err(_)), "the first one is still there");
    many[199].set_nonblocking(true).expect("a socket");
    let waits = many[199].read(&mut [0]).expect_err("nothing to read");
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn while_a_test_runs_others_are_denied() {
    let (server, port) = server(&[]);
    let mut control = ask(port, b"{\"tcp\":true,\"time\":5,\"parallel\":1}");
    assert_eq!(octet(&mut control), CREATE_STREAMS);
    let mut other = connect(port, &[b'b'; 37]);
    assert_eq!(octet(&mut other), ACCESS_DENIED);
    let mut stream = connect(port, COOKIE);
    let mut states = [0; 2];
    control.read_exact(&mut states).expect("two messages");
    assert_eq!(states, TEST_RUNNING);
    // One stream more than was asked for is closed.
    let mut more = connect(port, COOKIE);
    stream.write_all(&[0; 1000]).expect("it reads");
    assert!(matches!(more.read(&mut [0]), Ok(0) | Err(_)));
    // What makes no sense now ends the test.
    control.write_all(&[PARAM_EXCHANGE]).expect("it reads");
    assert_eq!(error(control), 110);
    measure(port);
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn a_test_that_stands_still_is_ended() {
    let (server, port) = server(&["idle=2s"]);
    let mut control = ask(port, b"{\"tcp\":true,\"time\":0}");
    assert_eq!(octet(&mut control), CREATE_STREAMS);
    let stream = connect(port, COOKIE);
    let mut states = [0; 2];
    control.read_exact(&mut states).expect("two messages");
    assert_eq!(error(control), 120);
    drop(stream);
    // Streams that never come.
    let mut control = ask(port, b"{\"udp\":true,\"time\":1,\"parallel\":2}");
    assert_eq!(octet(&mut control), CREATE_STREAMS);
    assert_eq!(error(control), 200);
    measure(port);
    assert_eq!(server.leave().code(), Some(0));
}

#[test]
fn bad_results_are_an_error_to_their_sender() {
    let (server, port) = server(&[]);
    for results in [&b"{}"[..], b"[1,2,3]", b"{\"streams\":7}"] {
        let mut control = ask(port, b"{\"tcp\":true,\"time\":1}");
        assert_eq!(octet(&mut control), CREATE_STREAMS);
        let _stream = connect(port, COOKIE);
        let mut states = [0; 2];
        control.read_exact(&mut states).expect("two messages");
        control.write_all(&[4]).expect("it reads");
        assert_eq!(octet(&mut control), EXCHANGE_RESULTS);
        send_json(&mut control, results);
        assert_eq!(error(control), 117);
    }
    measure(port);
    assert_eq!(server.leave().code(), Some(0));
}
