//! Clients of the key-value store that change strings, lists and hashes, one by one and in transactions, and know at each moment
//! what the store has to hold. They run on this machine, outside of the guest and of its host.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Keys of one kind are made anew after so many cycles.
const SLOTS: u64 = 16;
/// Different changes that follow each other.
const CYCLE: u64 = 8;
/// Octets of a value that lies in several sectors.
const LONG: usize = 3000;
/// A store that has just started may take a while to be reached.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    Text(String),
    Number(i64),
    Nothing,
    List(Vec<Reply>),
}

/// A command's words.
type Words = Vec<String>;

fn words(text: &str) -> Words {
    text.split(' ').map(str::to_owned).collect()
}

/// What a client has in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Data {
    strings: BTreeMap<String, String>,
    lists: BTreeMap<String, VecDeque<String>>,
    hashes: BTreeMap<String, BTreeMap<String, String>>,
}

impl Data {
    /// Does what a command says, as Redis documents it; the answer.
    fn apply(&mut self, command: &[String]) -> Reply {
        let rest = command.get(2..).unwrap_or_default();
        let [name, key] = [0, 1].map(|at| command.get(at).cloned().unwrap_or_default());
        match name.as_str() {
            "SET" | "MSET" => {
                for pair in command[1..].chunks_exact(2) {
                    self.strings.insert(pair[0].clone(), pair[1].clone());
                }
                Reply::Text("OK".to_owned())
            }
            "INCR" => {
                let value = self.strings.entry(key).or_insert_with(|| "0".to_owned());
                let next = value.parse::<i64>().unwrap_or_default() + 1;
                *value = next.to_string();
                Reply::Number(next)
            }
            "DEL" => {
                let mut is_there = |key: &String| {
                    let string = self.strings.remove(key).is_some();
                    string || self.lists.remove(key).is_some() || self.hashes.remove(key).is_some()
                };
                Reply::Number(command[1..].iter().filter(|key| is_there(key)).count() as i64)
            }
            "RPUSH" => {
                let list = self.lists.entry(key).or_default();
                list.extend(rest.iter().cloned());
                Reply::Number(list.len() as i64)
            }
            "LPOP" => {
                let Some(list) = self.lists.get_mut(&key) else { return Reply::Nothing };
                let first = list.pop_front();
                if list.is_empty() {
                    self.lists.remove(&key);
                }
                first.map_or(Reply::Nothing, Reply::Text)
            }
            "HSET" => {
                let hash = self.hashes.entry(key).or_default();
                let pairs = rest.chunks_exact(2);
                let new =
                    pairs.filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none()).count();
                Reply::Number(new as i64)
            }
            "HDEL" => {
                let Some(hash) = self.hashes.get_mut(&key) else { return Reply::Number(0) };
                let gone = rest.iter().filter(|field| hash.remove(*field).is_some()).count();
                if hash.is_empty() {
                    self.hashes.remove(&key);
                }
                Reply::Number(gone as i64)
            }
            other => panic!("the clients say no {other}"),
        }
    }

    fn keys(&self) -> usize {
        self.strings.len() + self.lists.len() + self.hashes.len()
    }
}

/// The commands of a step: one alone, or those of a transaction.
fn step(client: usize, n: u64) -> Vec<Words> {
    let (slot, old) = ((n / CYCLE) % SLOTS, (n / CYCLE + SLOTS / 2) % SLOTS);
    let line = match n % CYCLE {
        0 => {
            let long = format!("{n:0LONG$}");
            format!("MSET a{client}:{slot} v{n} b{client}:{slot} {long} c{client}:{slot} v{n}")
        }
        1 => format!("DEL a{client}:{old} b{client}:{old} c{client}:{old}"),
        2 => format!("RPUSH list{client} x{n} y{n}"),
        3 => format!("HSET hash{client} f{slot} v{n} g{slot} v{n}"),
        4 => format!("LPOP list{client}"),
        // Now and then all of a collection goes.
        5 if slot == SLOTS - 1 => format!("DEL list{client} hash{client}"),
        5 => format!("HDEL hash{client} f{slot} g{old}"),
        6 => format!("SET single{client} {n}"),
        _ => {
            let all = [
                format!("SET multi{client} {n}"),
                format!("HSET hash{client} multi {n}"),
                format!("RPUSH list{client} m{n}"),
                format!("INCR count{client}"),
                format!("DEL c{client}:{slot}"),
                format!("MSET d{client} {n:0LONG$} e{client} {n}"),
            ];
            return all.iter().map(|line| words(line)).collect();
        }
    };
    vec![words(&line)]
}

fn encode(out: &mut Vec<u8>, command: &[String]) {
    out.extend(format!("*{}\r\n", command.len()).bytes());
    for word in command {
        out.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
}

fn invalid(what: impl Into<String>) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, what.into())
}

fn read_reply(from: &mut impl BufRead) -> std::io::Result<Reply> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 || !line.ends_with("\r\n") {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or_else(|| invalid("an empty line"))?;
    let number = || rest.parse::<i64>().map_err(|_| invalid(line.clone()));
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        ":" => Reply::Number(number()?),
        "$" | "*" if rest == "-1" => Reply::Nothing,
        "$" => {
            let mut octets = vec![0; number()? as usize + 2];
            from.read_exact(&mut octets)?;
            octets.truncate(octets.len() - 2);
            Reply::Text(String::from_utf8(octets).map_err(|e| invalid(e.to_string()))?)
        }
        "*" => Reply::List((0..number()?).map(|_| read_reply(from)).collect::<Result<_, _>>()?),
        _ => return Err(invalid(line)),
    })
}

/// A connection to the store, by way of the port of this machine that leads there.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Waits until the store answers.
    pub fn open(port: u16) -> Result<Self> {
        let since = Instant::now();
        loop {
            match Self::try_open(port) {
                Ok(connection) => return Ok(connection),
                Err(error) if since.elapsed() > PATIENCE => {
                    return Err(error).context("the store does not answer");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn try_open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        let mut connection = Self { reader: BufReader::new(stream) };
        let answer = connection.ask(&words("PING"))?;
        if answer != Reply::Text("PONG".to_owned()) {
            return Err(invalid(format!("{answer:?}")));
        }
        connection.reader.get_ref().set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(connection)
    }

    fn ask(&mut self, command: &[String]) -> std::io::Result<Reply> {
        let mut octets = Vec::new();
        encode(&mut octets, command);
        self.reader.get_ref().write_all(&octets)?;
        read_reply(&mut self.reader)
    }

    /// What ends it from elsewhere: reads and writes fail from then on.
    pub fn end(&self) -> Result<TcpStream> {
        Ok(self.reader.get_ref().try_clone()?)
    }

    /// How many keys there are.
    pub fn keys(&mut self) -> Result<usize> {
        match self.ask(&words("DBSIZE"))? {
            Reply::Number(number) => Ok(usize::try_from(number)?),
            other => bail!("DBSIZE: {other:?}"),
        }
    }
}

/// One client, over many connections.
pub struct Client {
    number: usize,
    /// Steps that are sent before the first of them is answered.
    depth: u64,
    /// Steps that were acknowledged.
    pub acknowledged: u64,
    /// What they come to.
    data: Data,
}

impl Client {
    /// One that has nothing in the store.
    pub fn new(number: usize, depth: u64) -> Self {
        Self { number, depth, acknowledged: 0, data: Data::default() }
    }

    /// Makes changes until the connection ends. Only wrong answers are errors.
    pub fn work(&mut self, mut connection: Connection) -> Result<()> {
        loop {
            let mut octets = Vec::new();
            let first = self.acknowledged;
            for n in first..first + self.depth {
                let commands = step(self.number, n);
                let is_one = commands.len() == 1;
                let frame = |word: &str| if is_one { Vec::new() } else { vec![words(word)] };
                for command in [frame("MULTI"), commands, frame("EXEC")].concat() {
                    encode(&mut octets, &command);
                }
            }
            if connection.reader.get_ref().write_all(&octets).is_err() {
                return Ok(());
            }
            for n in first..first + self.depth {
                match self.take_answer(&mut connection, n) {
                    Ok(()) => {}
                    Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(is_end) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Reads the answers to a step, which counts as acknowledged from then on.
    fn take_answer(&mut self, connection: &mut Connection, n: u64) -> Result<()> {
        let commands = step(self.number, n);
        let mut next = self.data.clone();
        let mut expected: Vec<_> = commands.iter().map(|command| next.apply(command)).collect();
        if expected.len() > 1 {
            let queued = std::iter::repeat_n(Reply::Text("QUEUED".to_owned()), expected.len());
            let before = std::iter::once(Reply::Text("OK".to_owned())).chain(queued).collect::<Vec<_>>();
            expected = [before, vec![Reply::List(expected)]].concat();
        }
        for expected in expected {
            let answer = read_reply(&mut connection.reader)?;
            ensure!(answer == expected, "client {}, step {n}: {answer:?}, not {expected:?}", self.number);
        }
        (self.data, self.acknowledged) = (next, n + 1);
        Ok(())
    }

    /// Reads back all that it has in the store. That has to be what was acknowledged, and of what was under way the first steps, each
    /// wholly; how many those are. From now on they count as acknowledged.
    pub fn check(&mut self, connection: &mut Connection) -> Result<u64> {
        let found = self.found(connection)?;
        let mut expected = self.data.clone();
        for more in 0..=self.depth {
            if found == expected {
                (self.data, self.acknowledged) = (expected, self.acknowledged + more);
                return Ok(more);
            }
            for command in step(self.number, self.acknowledged + more) {
                expected.apply(&command);
            }
        }
        let seen = shortened(&differences(&found, &self.data));
        bail!(
            "client {}: after {} steps there is not what was acknowledged: {seen}",
            self.number,
            self.acknowledged
        )
    }

    /// All keys that it may have.
    fn found(&self, connection: &mut Connection) -> Result<Data> {
        let c = self.number;
        let of_slots = (0..SLOTS).flat_map(|slot| ["a", "b", "c"].map(|key| format!("{key}{c}:{slot}")));
        let others = ["d", "e", "single", "multi", "count"].map(|key| format!("{key}{c}"));
        let mut data = Data::default();
        let keys: Vec<_> = of_slots.chain(others).collect();
        let get = [words("MGET"), keys.clone()].concat();
        let Reply::List(values) = connection.ask(&get)? else { bail!("MGET is answered by no list") };
        ensure!(values.len() == keys.len(), "MGET of {} keys: {} values", keys.len(), values.len());
        for (key, value) in keys.into_iter().zip(values) {
            match value {
                Reply::Text(value) => drop(data.strings.insert(key, value)),
                Reply::Nothing => {}
                other => bail!("MGET {key}: {other:?}"),
            }
        }
        let list = texts(connection.ask(&words(&format!("LRANGE list{c} 0 -1")))?)?;
        if !list.is_empty() {
            data.lists.insert(format!("list{c}"), list.into());
        }
        let pairs = texts(connection.ask(&words(&format!("HGETALL hash{c}")))?)?;
        if !pairs.is_empty() {
            let pairs = pairs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            data.hashes.insert(format!("hash{c}"), pairs.collect());
        }
        Ok(data)
    }

    /// How many keys it has.
    pub fn keys(&self) -> usize {
        self.data.keys()
    }
}

/// That a connection has ended, and no more.
fn is_end(error: &std::io::Error) -> bool {
    error.kind() != ErrorKind::InvalidData
}

fn texts(reply: Reply) -> Result<Vec<String>> {
    let Reply::List(all) = reply else { bail!("{reply:?} is no list") };
    let text = |one| if let Reply::Text(text) = one { Ok(text) } else { bail!("{one:?} is no text") };
    all.into_iter().map(text).collect()
}

/// What is in one and not so in the other, as lines.
fn differences(found: &Data, expected: &Data) -> Vec<String> {
    let lines = |data: &Data| -> Vec<String> {
        let strings = data.strings.iter().map(|pair| format!("{pair:?}"));
        let lists = data.lists.iter().map(|pair| format!("{pair:?}"));
        strings.chain(lists).chain(data.hashes.iter().map(|pair| format!("{pair:?}"))).collect()
    };
    let (found, expected) = (lines(found), lines(expected));
    let only = |of: &[String], other: &[String], what: &str| -> Vec<String> {
        of.iter().filter(|line| !other.contains(line)).map(|line| format!("{what} {line}")).collect()
    };
    [only(&found, &expected, "found"), only(&expected, &found, "acknowledged")].concat()
}

fn shortened(lines: &[String]) -> String {
    lines
        .iter()
        .take(12)
        .map(|line| line.chars().take(200).collect::<String>())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each state can be told from the ones before and after it, and what a client has stays small.
    #[test]
    fn each_step_changes_something_and_the_data_is_bounded() {
        let mut data = Data::default();
        let mut states = VecDeque::from([data.clone()]);
        for n in 0..2000 {
            step(3, n).iter().for_each(|command| drop(data.apply(command)));
            // A pop of nothing, a delete of what is not there: only at the begin.
            assert!(n < 8 * SLOTS || !states.contains(&data), "step {n} cannot be seen");
            states.push_back(data.clone());
            if states.len() > 20 {
                states.pop_front();
            }
            assert!(data.keys() <= 60, "{} keys", data.keys());
            assert!(data.lists.values().all(|list| list.len() < 60), "a list grows");
        }
    }

    #[test]
    fn answers_are_read() {
        let mut octets = &b"*3\r\n+OK\r\n:-7\r\n$4\r\na\r\nb\r\n$-1\r\n*-1\r\n-ERR no\r\n"[..];
        let text = |text: &str| Reply::Text(text.to_owned());
        let list = Reply::List(vec![text("OK"), Reply::Number(-7), text("a\r\nb")]);
        for expected in [list, Reply::Nothing, Reply::Nothing] {
            assert_eq!(read_reply(&mut octets).unwrap(), expected);
        }
        let error = read_reply(&mut octets).unwrap_err();
        assert!(!is_end(&error) && error.to_string().contains("ERR no"), "{error}");
        assert!(is_end(&read_reply(&mut octets).unwrap_err()));
    }
}
