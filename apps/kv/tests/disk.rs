//! The appliance as a process on the host's own sockets, with a file as its disk: what was acknowledged is there after a kill.

use fata::testing::{Process, Signal, free_port};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// A disk that is gone when the test has ended.
struct DiskFile(PathBuf);

impl DiskFile {
    fn new(name: &str, octets: u64) -> Self {
        let path = std::env::temp_dir().join(format!("fata-kv-{}-{name}", std::process::id()));
        File::create(&path).unwrap().set_len(octets).unwrap();
        Self(path)
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Kv {
    process: Process,
    port: u16,
}

impl Kv {
    fn start(more: &[String]) -> Self {
        let port = free_port();
        let params = [&[format!("port={port}")], more].concat();
        let process = Process::start(env!("CARGO_BIN_EXE_kv"), params);
        process.wait_for(&format!("kv: port {port}"));
        Self { process, port }
    }

    fn with(disk: &DiskFile, durability: &str) -> Self {
        Self::start(&[format!("data.file={}", disk.0.display()), format!("durability={durability}")])
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(stream)
    }

    fn kill(mut self) {
        self.process.signal(Signal::KILL);
        assert!(!self.process.wait().success());
    }
}

struct Client(TcpStream);

impl Client {
    /// Sends a command, and reads as much as the answer is to be.
    fn say(&mut self, command: &str, answer: &str) {
        self.0.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut said = vec![0; answer.len()];
        self.0.read_exact(&mut said).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(String::from_utf8_lossy(&said), answer, "{command}");
    }

    /// What `INFO` says of the disk.
    fn info(&mut self) -> String {
        self.0.write_all(b"INFO persistence\r\n").unwrap();
        let mut said = [0; 4000];
        let len = self.0.read(&mut said).unwrap();
        String::from_utf8_lossy(&said[..len]).into_owned()
    }
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let disk = DiskFile::new("kill", 32 << 20);
    for round in 0..3 {
        let kv = Kv::with(&disk, "every-command");
        let mut client = kv.client();
        client.say("INCR rounds", &format!(":{}\r\n", round + 1));
        for n in 0..200 {
            client.say(&format!("SET key:{round}:{n} value{n}"), "+OK\r\n");
        }
        client.say("RPUSH list a b c", &format!(":{}\r\n", 3 * (round + 1)));
        client.say("DEL key:0:7", if round == 0 { ":1\r\n" } else { ":0\r\n" });
        client.say("SELECT 3", "+OK\r\n");
        client.say(&format!("HSET hash field{round} {round}"), ":1\r\n");
        client.say("EXPIRE hash 1000", ":1\r\n");
        kv.kill();
    }
    let kv = Kv::with(&disk, "none");
    let mut client = kv.client();
    client.say("GET rounds", "$1\r\n3\r\n");
    client.say("DBSIZE", ":601\r\n");
    client.say("GET key:2:199", "$8\r\nvalue199\r\n");
    client.say("GET key:0:7", "$-1\r\n");
    client.say("LLEN list", ":9\r\n");
    client.say("SELECT 3", "+OK\r\n");
    client.say("HGET hash field1", "$1\r\n1\r\n");
    client.say("PERSIST hash", ":1\r\n");
}

#[test]
fn the_longest_value_that_is_accepted_is_kept() {
    let disk = DiskFile::new("long", 32 << 20);
    let kv = Kv::with(&disk, "every-command");
    let mut client = kv.client();
    client.say("SET before 1", "+OK\r\n");
    client.0.write_all(b"CONFIG GET proto-max-bulk-len\r\n").unwrap();
    let mut said = [0; 100];
    let len = client.0.read(&mut said).unwrap();
    let most: usize = std::str::from_utf8(&said[..len]).unwrap().lines().nth(4).unwrap().parse().unwrap();
    assert!((5 << 20..16 << 20).contains(&most), "{most}");
    let value = "v".repeat(most);
    client.say(&format!("*3\r\n$3\r\nSET\r\n$4\r\nlong\r\n${most}\r\n{value}"), "+OK\r\n");
    client.say("SET after 1", "+OK\r\n");
    kv.kill();
    let kv = Kv::with(&disk, "every-command");
    kv.client().say("STRLEN long", &format!(":{most}\r\n"));
    kv.client().say("MGET before after", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
}

#[test]
fn deletes_make_room_on_a_full_disk() {
    let disk = DiskFile::new("full", 8 << 20);
    let kv = Kv::with(&disk, "every-command");
    let (mut client, value) = (kv.client(), "v".repeat(100_000));
    client.say("RPUSH list a b c", ":3\r\n");
    client.say("HSET hash a 1 b 2", ":2\r\n");
    let set = |client: &mut Client, n: usize| {
        client
            .0
            .write_all(format!("*3\r\n$3\r\nSET\r\n$3\r\n{n:03}\r\n$100000\r\n{value}\r\n").as_bytes())
            .unwrap();
        let mut said = [0; 200];
        let len = client.0.read(&mut said).unwrap_or(0);
        String::from_utf8_lossy(&said[..len]).into_owned()
    };
    let kept = (0..200).take_while(|n| set(&mut client, *n) == "+OK\r\n").count();
    assert!((10..100).contains(&kept), "{kept}");
    // What could not be kept was not answered; nothing that needs room is taken until there is some, what makes room is.
    let mut client = kv.client();
    assert!(set(&mut client, kept).starts_with("-MISCONF "));
    client.say("EXPIRE hash 1000", "-MISCONF");
    let mut client = kv.client();
    client.say("LPOP list", "$1\r\na\r\n");
    client.say("HDEL hash a", ":1\r\n");
    client.say("DEL 000 001 002 003 004 005", ":6\r\n");
    for wait in 0.. {
        match &*set(&mut client, 999) {
            "+OK\r\n" => break,
            said => assert!(wait < 100 && said.starts_with("-MISCONF"), "{said}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    kv.kill();
    let kv = Kv::with(&disk, "every-command");
    let mut client = kv.client();
    client.say("LLEN list", ":2\r\n");
    client.say("HLEN hash", ":1\r\n");
    client.say("EXISTS 000 001 002 003 004 005", ":0\r\n");
    client.say("STRLEN 999", ":100000\r\n");
    for n in 6..kept {
        client.say(&format!("STRLEN {n:03}"), ":100000\r\n");
    }
}

#[test]
fn leaving_in_order_writes_everything() {
    let disk = DiskFile::new("leave", 32 << 20);
    let kv = Kv::with(&disk, "none");
    let mut client = kv.client();
    for n in 0..500 {
        client.say(&format!("SET {n} {n}"), "+OK\r\n");
    }
    client.say("FLUSHALL", "+OK\r\n");
    client.say("MSET a 1 b 2", "+OK\r\n");
    assert!(kv.process.leave().success());
    let kv = Kv::with(&disk, "every-100ms");
    let mut client = kv.client();
    client.say("MGET a b 7", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
}

#[test]
fn without_a_disk_it_is_in_memory() {
    let kv = Kv::start(&[]);
    kv.process.wait_for("without a disk");
    kv.client().say("SET a 1", "+OK\r\n");
    assert!(kv.process.leave().success());
    Kv::start(&[]).client().say("GET a", "$-1\r\n");
}

#[test]
fn a_disk_with_something_at_its_end_is_not_blank() {
    let disk = DiskFile::new("end", 32 << 20);
    let mut file = File::options().write(true).open(&disk.0).unwrap();
    file.seek(SeekFrom::End(-512)).unwrap();
    file.write_all(b"EFI PART").unwrap();
    let params = [format!("port={}", free_port()), format!("data.file={}", disk.0.display())];
    let mut refused = Process::start(env!("CARGO_BIN_EXE_kv"), params);
    refused.wait_for("the disk holds something that is no store");
    assert_eq!(refused.wait().code(), Some(1));
}

#[test]
fn a_strangers_disk_is_not_destroyed() {
    let disk = DiskFile::new("strange", 32 << 20);
    File::options().write(true).open(&disk.0).unwrap().write_all(b"somebody's letters").unwrap();
    let file = format!("data.file={}", disk.0.display());
    let mut refused =
        Process::start(env!("CARGO_BIN_EXE_kv"), [format!("port={}", free_port()), file.clone()]);
    refused.wait_for("the disk holds something that is no store: format=on destroys it and makes one");
    assert_eq!(refused.wait().code(), Some(1));
    let mut head = [0; 18];
    File::open(&disk.0).unwrap().read_exact(&mut head).unwrap();
    assert_eq!(&head, b"somebody's letters");
    Kv::start(&[file, "format=on".to_owned()]).client().say("SET a 1", "+OK\r\n");
}

/// What a client is told of the disk.
#[test]
fn a_disk_has_figures() {
    let disk = DiskFile::new("figures", 32 << 20);
    let kv = Kv::with(&disk, "every-command");
    let mut client = kv.client();
    client.say("SET a 1", "+OK\r\n");
    client.say("CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
    let info = client.info();
    for line in
        ["aof_enabled:1\r\n", "disk_stalls:0\r\n", "disk_longest_stall_ms:0\r\n", "disk_damaged_parts:0\r\n"]
    {
        assert!(info.contains(line), "no {line} in {info}");
    }
    let free = info.lines().find_map(|line| line.strip_prefix("disk_free_bytes:")).unwrap();
    let free: u64 = free.parse().unwrap();
    assert!((8 << 20..32 << 20).contains(&free), "{free}");
    // The counters begin anew, and what is on the disk is there still.
    client.0.write_all(b"LASTSAVE\r\n").unwrap();
    let mut saved = [0; 20];
    let len = client.0.read(&mut saved).unwrap();
    let saved = String::from_utf8_lossy(&saved[..len]).into_owned();
    assert!(saved.len() > 5, "{saved}");
    client.say("CONFIG RESETSTAT", "+OK\r\n");
    client.say("LASTSAVE", &saved);
    Kv::start(&[]).client().say("CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
}

/// Changes one octet in each place of a disk where `text` stands; how many there are.
fn damage(disk: &DiskFile, text: &str) -> usize {
    let mut octets = std::fs::read(&disk.0).unwrap();
    let places: Vec<usize> = octets
        .windows(text.len())
        .enumerate()
        .filter_map(|(at, found)| (found == text.as_bytes()).then_some(at))
        .collect();
    places.iter().for_each(|at| octets[*at] ^= 1);
    std::fs::write(&disk.0, octets).unwrap();
    places.len()
}

/// What a damaged disk has is served as far as it is whole, and nothing is written to it.
fn serves_the_rest(disk: &DiskFile, gone: &[&str], whole: &[&str]) {
    let before = std::fs::read(&disk.0).unwrap();
    let kv = Kv::with(disk, "every-command");
    kv.process.wait_for("what is whole is served");
    let mut client = kv.client();
    for key in gone {
        client.say(&format!("GET {key}"), "$-1\r\n");
    }
    for key in whole {
        client.say(&format!("GETRANGE {key} 0 3"), &format!("${}\r\n{key}\r\n", key.len()));
    }
    let refused = "-MISCONF The disk is damaged: commands that may modify the data set are disabled.\r\n";
    for line in ["SET a 1", "DEL 0001", "FLUSHALL", "SAVE", "EXPIRE 0001 10"] {
        client.say(line, refused);
    }
    let said = client.info();
    assert!(said.contains("\r\naof_last_write_status:err\r\n"), "{said}");
    let parts = said.lines().find_map(|line| line.strip_prefix("disk_damaged_parts:"));
    assert!(parts.is_some_and(|parts| parts != "0"), "{said}");
    assert!(kv.process.leave().success());
    assert!(std::fs::read(&disk.0).unwrap() == before, "it was written to");
}

/// A store with 1000 keys of four digits whose values begin with the key; every hundredth is too long for the index.
fn thousand(disk: &DiskFile) -> Kv {
    let kv = Kv::with(disk, "none");
    let mut client = kv.client();
    for n in 0..1000 {
        let len = if n % 100 == 0 { 5000 } else { 100 };
        client.say(&format!("SET {n:04} {n:04}{}", "v".repeat(len)), "+OK\r\n");
    }
    kv
}

#[test]
fn a_damaged_value_is_missing_and_the_rest_is_served() {
    let disk = DiskFile::new("value", 32 << 20);
    assert!(thousand(&disk).process.leave().success());
    assert!(damage(&disk, &format!("0300{}", "v".repeat(2000))) > 0);
    serves_the_rest(&disk, &["0300"], &["0000", "0299", "0301", "0400", "0999"]);
}

#[test]
fn damage_in_the_index_takes_what_is_near_and_the_rest_is_served() {
    let disk = DiskFile::new("leaf", 32 << 20);
    assert!(thousand(&disk).process.leave().success());
    assert!(damage(&disk, "0555vvvv") > 0);
    serves_the_rest(&disk, &["0555"], &["0000", "0300", "0999"]);
}

#[test]
fn damage_in_the_log_takes_a_batch_and_the_rest_is_served() {
    let disk = DiskFile::new("log", 32 << 20);
    let kv = Kv::with(&disk, "every-command");
    let mut client = kv.client();
    for n in 0..100 {
        client.say(&format!("SET {n:04} {n:04}vvvv"), "+OK\r\n");
    }
    kv.kill();
    assert!(damage(&disk, "0055vvvv") > 0);
    serves_the_rest(&disk, &["0055"], &["0000", "0054", "0056", "0099"]);
}
