//! The examples as processes, with real peers.

use fata::testing::{Process, Signal, example, free_port};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

fn echo(port: u16) -> Process {
    let echo = Process::start(example("echo"), [format!("port={port}")]);
    echo.wait_for(&format!("echo on port {port}"));
    echo
}

#[test]
fn hello_greets_and_ends() {
    let mut hello = Process::start(example("hello"), [""; 0]);
    hello.wait_for("hello from Fata");
    assert_eq!(hello.wait().code(), Some(0));
}

#[test]
fn echo_answers_nc() {
    let port = free_port();
    let echo = echo(port);
    // -N: the end of the input is the end of the connection's one direction.
    let mut nc = Command::new("nc");
    nc.args(["-N", "127.0.0.1", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut nc = nc.spawn().unwrap_or_else(|error| panic!("this test needs the program nc: {error}"));
    nc.stdin.take().unwrap().write_all(b"is anybody there?\n").unwrap();
    let output = nc.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "is anybody there?\n");
    assert_eq!(echo.leave().code(), Some(0));
}

#[test]
fn echo_serves_many_who_send_much() {
    let port = free_port();
    let echo = echo(port);
    let clients: Vec<_> = (0..20u8)
        .map(|n| {
            thread::spawn(move || {
                let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (mut read, mut write) = (stream.try_clone().unwrap(), stream);
                let sent = vec![n; 2_000_000];
                let writing = thread::spawn(move || {
                    write.write_all(&sent).unwrap();
                    write.shutdown(Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                read.read_to_end(&mut got).unwrap();
                writing.join().unwrap();
                assert!(got.len() == 2_000_000 && got.iter().all(|b| *b == n));
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(echo.leave().code(), Some(0));
}

#[test]
fn the_clock_ticks_and_leaves_in_order() {
    let mut clock = Process::start(example("clock"), [""; 0]);
    clock.wait_for("Z");
    clock.signal(Signal::TERM);
    clock.wait_for("asked to leave after ");
    assert_eq!(clock.wait().code(), Some(0));
}

#[test]
fn what_makes_no_sense_is_one_line_and_a_status() {
    for (arguments, said) in [
        (
            &["prot=80"][..],
            r#"fata: boot parameter "prot" is unknown: did you mean "port"?; known are: log, port, main.ipv4, main.gateway, main.ipv6, main.gateway6, main.dns, main.hostname, main.mtu, main.queues, main.ecn, main.tap"#,
        ),
        (&["port=0"], r#"fata: boot parameter port: "0" is not a port from 1 to 65535"#),
        (&["port"], r#"fata: boot parameter "port" has no value: write port=VALUE"#),
        (&["port=7777", "port=7778"], "fata: boot parameter port is given twice"),
        (
            &["ipv4=10.0.0.2"],
            r#"fata: boot parameter ipv4: "10.0.0.2" is not dhcp, none or an IPv4 address with its prefix length, such as 10.0.0.2/24"#,
        ),
        (
            &["gateway=10.0.0.1"],
            "fata: boot parameter main.gateway: 10.0.0.1 has no use with ipv4=dhcp, which brings its own; give the address too",
        ),
        (
            &["side.tap=tap0"],
            r#"fata: boot parameter "side.tap" is unknown; known are: log, port, main.ipv4, main.gateway, main.ipv6, main.gateway6, main.dns, main.hostname, main.mtu, main.queues, main.ecn, main.tap"#,
        ),
        (&["tap=a/b"], r#"fata: boot parameter tap: "a/b" is not the name of a tap device, such as tap0"#),
        (
            &["log=very loud"],
            r#"fata: boot parameter log: "very loud" is not a log filter, such as info or warn,fata_xen=debug"#,
        ),
    ] {
        let mut echo = Process::start(example("echo"), arguments);
        echo.wait_for(said);
        assert_eq!(echo.wait().code(), Some(64), "{arguments:?}");
        assert_eq!(echo.said().lines().count(), 1, "{}", echo.said());
    }
}

#[test]
fn help_names_all_parameters() {
    let mut echo = Process::start(example("echo"), ["port=7777", "help"]);
    echo.wait_for("  main.tap=");
    assert_eq!(echo.wait().code(), Some(0));
    let said = echo.said();
    assert!(said.contains("  port=7\n      the TCP port to listen on: a port from 1 to 65535\n"), "{said}");
}

#[test]
fn what_has_no_effect_is_said_once() {
    let port = free_port();
    let echo = Process::start(
        example("echo"),
        [format!("port={port}"), "ipv4=10.0.0.2/24".into(), "gateway=10.0.0.1".into()],
    );
    echo.wait_for(&format!("echo on port {port}"));
    echo.wait_for("main: ipv4, gateway has no effect on the host's own sockets");
    assert_eq!(echo.leave().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_said() {
    let port = free_port();
    let _first = echo(port);
    let mut second = Process::start(example("echo"), [format!("port={port}")]);
    second.wait_for("fata: address already in use");
    assert_eq!(second.wait().code(), Some(1));
}

/// A file of a test's own, which is removed at its end.
struct DiskFile(std::path::PathBuf);

impl DiskFile {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fata-{}-{name}.img", std::process::id()));
        std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
        Self(path)
    }

    fn param(&self) -> String {
        format!("data.file={}", self.0.display())
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn disk_counts_in_its_file() {
    let file = DiskFile::new("counter");
    for boots in 1..=3 {
        let mut disk = Process::start(example("disk"), [file.param()]);
        disk.wait_for(&format!("boot {boots} with this disk of 1048576 octets"));
        assert_eq!(disk.wait().code(), Some(0));
    }
    let bytes = std::fs::read(&file.0).unwrap();
    assert_eq!((bytes[0], bytes.len()), (3, 1 << 20));
    assert!(bytes[1..].iter().all(|b| *b == 0));
}

#[test]
fn disk_says_what_is_wrong_with_its_file() {
    let file = DiskFile::new("wrong");
    for (params, line, status) in [
        (vec![], "fata: block device data has no file: give data.file=PATH", 64),
        (
            vec!["file=/no/file".to_owned()],
            "fata: block device data: cannot open /no/file: No such file or directory (os error 2)",
            1,
        ),
        (
            vec![file.param(), "read-only=on".to_owned()],
            "fata: sector 0 cannot be written: the device is read-only",
            1,
        ),
        (
            vec!["data.disk=sda".to_owned()],
            "fata: boot parameter data.disk: \"sda\" is not a disk, such as xvdb, or its place from 0",
            64,
        ),
    ] {
        let mut disk = Process::start(example("disk"), params);
        assert_eq!(disk.wait_for("fata: "), line);
        assert_eq!(disk.wait().code(), Some(status));
    }
}
