//! The table `commands.txt` says what redis-server answers: it is asked.

mod table;

use kv_core::commands::table::COMMANDS;
use kv_core::resp::{Args, split};
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use table::{Act, Entry, table};

/// Debian's package `redis-tools` has the whole server under this name, and starts no service; under which name it was
/// called says what it is to be.
const PROGRAM: &str = "redis-check-rdb";
const NAME: &str = "redis-server";
/// The version whose answers the table has.
const VERSION: &str = "v=7.0.15 ";
/// How long an answer may take, and how long nothing comes where none is due.
const SLOW: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(40);

fn redis_server() -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", "exec -a \"$0\" \"$PROGRAM\" \"$@\"", NAME]).env("PROGRAM", PROGRAM);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
}

/// A server of its own, gone when the test has ended.
struct Redis {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let said = redis_server().arg("--version").output().expect("bash");
        let missing = format!("{PROGRAM} is needed: apt-get install --no-install-recommends redis-tools");
        assert!(said.status.success(), "{missing}: {}", String::from_utf8_lossy(&said.stderr));
        let version = String::from_utf8_lossy(&said.stdout);
        assert!(version.contains(VERSION), "the table has the answers of {VERSION}, this is {version}");
        let port = fata::testing::free_port();
        let folder = std::env::temp_dir().join(format!("fata-kv-redis-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let child = redis_server()
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        Self { child, folder, port }
    }

    fn client(&self) -> Client {
        let since = Instant::now();
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(stream) => return Client(stream),
                Err(error) => assert!(since.elapsed() < SLOW, "{NAME} does not listen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Client(TcpStream);

impl Client {
    fn say(&mut self, line: &str) {
        let (mut words, mut ranges) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut words, &mut ranges).expect("words");
        let args = Args::new(&words, &ranges);
        let mut octets = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args.from(0) {
            octets.extend(format!("${}\r\n", arg.len()).bytes());
            octets.extend_from_slice(arg);
            octets.extend_from_slice(b"\r\n");
        }
        self.0.write_all(&octets).expect("it is sent");
    }

    /// So many octets, or fewer where no more come.
    fn hear(&mut self, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        let mut heard = 0;
        self.0.set_read_timeout(Some(SLOW)).expect("a time");
        while heard < len {
            match self.0.read(&mut octets[heard..]) {
                Ok(0) => break,
                Ok(more) => heard += more,
                Err(error) => {
                    let is_over = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(is_over, "{error}");
                    break;
                }
            }
            // What is behind the first octets has come with them, or is on its way.
            self.0.set_read_timeout(Some(QUIET * 10)).expect("a time");
        }
        octets.truncate(heard);
        octets
    }

    /// What comes until nothing does.
    fn rest(&mut self) -> Vec<u8> {
        let (mut all, mut octets) = (Vec::new(), [0; 4096]);
        self.0.set_read_timeout(Some(QUIET)).expect("a time");
        while let Ok(len @ 1..) = self.0.read(&mut octets) {
            all.extend_from_slice(&octets[..len]);
        }
        all
    }

    /// Waits until this client waits. One whose time is short may have waited already.
    fn is_blocked(&self, control: &mut Self) {
        let address = format!(" addr={} ", self.0.local_addr().expect("an address"));
        for _ in 0..10 {
            control.say("client list");
            let list = String::from_utf8_lossy(&control.rest()).into_owned();
            let own = list.lines().find(|line| line.contains(&address));
            if own.is_some_and(|line| line.contains(" flags=b ")) {
                return;
            }
        }
    }
}

/// Whether an answer is another one because time has passed on a busy machine.
fn is_later(command: &str, said: &[u8], expected: &[u8]) -> bool {
    let tells_time = ["ttl ", "pttl ", "object idletime "].iter().any(|name| command.starts_with(name));
    let is_time = |answer: &[u8]| matches!(answer, [b':', b'0'..=b'9', ..]);
    tells_time && is_time(said) && is_time(expected)
}

/// Octets as a line of the table has them.
fn line_of(octets: &[u8]) -> String {
    octets.iter().fold(String::from("= "), |line, octet| match octet {
        b'\r' => line + "\\r",
        b'\n' => line + "\\n",
        b'\\' => line + "\\\\",
        b' '..=b'~' => line + &char::from(*octet).to_string(),
        _ => line + &format!("\\x{octet:02x}"),
    })
}

/// README names what is missing: each by itself, or by what its name begins with.
#[test]
fn what_is_missing_is_named() {
    let redis = Redis::start();
    let mut client = redis.client();
    client.say("command list");
    let list = String::from_utf8_lossy(&client.rest()).to_ascii_lowercase();
    let names: Vec<&str> =
        list.lines().filter(|line| !line.starts_with(['*', '$']) && !line.contains('|')).collect();
    assert!(names.len() > 200, "only {} commands", names.len());
    let readme = include_str!("../README.md");
    for name in &names {
        let is_named = readme.contains(&format!("`{}`", name.to_uppercase()));
        let is_of_kind = name.starts_with('x') || name.starts_with("geo");
        let is_there = COMMANDS.iter().any(|command| command.name == *name);
        assert!(is_there || is_named || is_of_kind, "{name} is neither there nor named as missing");
    }
    for command in COMMANDS {
        assert!(names.contains(&command.name), "{} is no command of Redis's", command.name);
    }
}

#[test]
fn the_table_is_what_redis_answers() {
    let redis = Redis::start();
    let (mut control, mut clients) = (redis.client(), BTreeMap::<u64, Client>::new());
    let (mut differing, mut compared) = (Vec::new(), 0);
    for Entry { line, client: id, act, command, answer } in table() {
        let client = clients.entry(id).or_insert_with(|| redis.client());
        if act != Act::Hear {
            client.say(command);
        }
        match answer {
            None if act == Act::Wait => client.is_blocked(&mut control),
            None => drop(client.rest()),
            Some(expected) => {
                let mut said = client.hear(expected.len());
                compared += 1;
                if said != expected && !is_later(command, &said, &expected) {
                    said.extend(client.rest());
                    differing.push(format!("{line}\n{}", line_of(&said)));
                }
            }
        }
    }
    for (id, client) in &mut clients {
        let more = client.rest();
        if !more.is_empty() {
            differing.push(format!("client {id} was sent more: {}", line_of(&more)));
        }
    }
    assert!(compared > 1000, "only {compared}");
    assert!(
        differing.is_empty(),
        "{} of {compared} differ; {NAME} says\n{}",
        differing.len(),
        differing.join("\n")
    );
}
