//! The text: a line for each thing that is said, in sections.
//!
//! ```text
//! pool app                              # servers that do the same
//!     server 10.0.0.11:8080
//!     server 10.0.0.12:8080 weight=2
//!     check /health every=5s timeout=2s rise=2 fall=3 expect=200-399 host=app.internal
//!     send-proxy v2
//!     connections 100                   # at once to each server
//!     queue 100                         # requests that wait for one
//!     tunnels 100                       # connections with another protocol, WebSocket say, at once to each server
//!     client-share 75%                  # of all these at most so much to one client
//! host example.org www.example.org      # names, of which one section may have several
//!     pool app
//!     certificate example.org           # the folder of chain.pem and key.pem; the first name, where it is not said
//! default app                           # requests for other hosts; without it they are refused
//! ```

use super::words::{self, Word};
use super::{Check, Config, ConfigError, Host, Pool};
use crate::balance;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// The most pools and hosts.
const MOST: usize = 1000;

/// A word that means a pool, which may stand further down.
type Named<'a> = Option<Word<'a>>;

/// What has been read so far.
#[derive(Default)]
struct Reading<'a> {
    pools: Vec<(Word<'a>, Pool)>,
    hosts: Vec<(Word<'a>, Host, Named<'a>)>,
    default: Named<'a>,
    /// Whether the section is a host.
    is_in_host: Option<bool>,
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let mut reading = Reading::default();
    for (n, line) in text.lines().enumerate() {
        let mut words = words::words(n + 1, line);
        if let Some(first) = words.next() {
            reading.line(first, &words.collect::<Vec<_>>())?;
        }
    }
    reading.finish()
}

impl<'a> Reading<'a> {
    fn line(&mut self, first: Word<'a>, rest: &[Word<'a>]) -> Result<(), ConfigError> {
        match (first.text, self.is_in_host) {
            ("pool", None | Some(false)) => self.begin_pool(first, rest),
            // In a host it names its pool, unless servers follow: those of a host have no name of their own.
            ("pool", Some(true)) => self.pool_of_host(first, rest),
            ("host", _) => self.begin_host(first, rest),
            ("default", _) => {
                let pool = one(first, rest, "the name of a pool")?;
                self.is_in_host = None;
                match self.default.replace(pool) {
                    None => Ok(()),
                    Some(_) => Err(first.wrong("there is a default already")),
                }
            }
            ("certificate", Some(true)) => {
                let folder = one(first, rest, "the name of a folder")?.read(words::own_name)?;
                match self.hosts.last_mut() {
                    Some((_, host, _)) => host.certificate = folder.to_owned(),
                    None => return Err(first.wrong("there is no host")),
                }
                Ok(())
            }
            (
                "server" | "check" | "send-proxy" | "connections" | "queue" | "tunnels" | "client-share",
                Some(false),
            ) => self.in_pool(first, rest),
            ("server" | "check" | "send-proxy" | "connections" | "queue" | "tunnels" | "client-share", _) => {
                Err(first.wrong(&format!("{} belongs into a section \"pool NAME\"", first.text)))
            }
            ("certificate", _) => Err(first.wrong("certificate belongs into a section \"host NAME\"")),
            (other, _) => {
                let known = "pool, server, check, send-proxy, connections, queue, tunnels, client-share, host, certificate, default";
                Err(first.wrong(&format!("\"{other}\" is unknown; known are {known}")))
            }
        }
    }

    fn begin_pool(&mut self, first: Word<'a>, rest: &[Word<'a>]) -> Result<(), ConfigError> {
        let word = one(first, rest, "a name")?;
        let name = word.read(words::own_name)?;
        if self.pools.iter().any(|(_, pool)| pool.name == name) {
            return Err(word.wrong(&format!("there is a pool {name} already")));
        }
        if self.pools.len() >= MOST {
            return Err(first.wrong(&format!("more than {MOST} pools")));
        }
        self.pools.push((first, Pool::new(name)));
        self.is_in_host = Some(false);
        Ok(())
    }

    /// The first `pool` of a host is its own; after that, and in any other place, one begins a section.
    fn pool_of_host(&mut self, first: Word<'a>, rest: &[Word<'a>]) -> Result<(), ConfigError> {
        match self.hosts.last_mut() {
            Some((_, _, pool @ None)) => {
                *pool = Some(one(first, rest, "the name of a pool")?);
                Ok(())
            }
            _ => self.begin_pool(first, rest),
        }
    }

    fn begin_host(&mut self, first: Word<'a>, rest: &[Word<'a>]) -> Result<(), ConfigError> {
        let mut names = Vec::new();
        for word in rest {
            let name = word.read(words::host)?;
            let is_known = self.hosts.iter().any(|(_, host, _)| host.names.contains(&name));
            if is_known || names.contains(&name) {
                return Err(word.wrong(&format!("the host {name} is there already")));
            }
            names.push(name);
        }
        let Some(main) = names.first() else {
            return Err(first.wrong("host wants at least one name behind it"));
        };
        if self.hosts.len() >= MOST {
            return Err(first.wrong(&format!("more than {MOST} hosts")));
        }
        let certificate = words::folder(main).to_string();
        self.hosts.push((first, Host { names, pool: 0, certificate }, None));
        self.is_in_host = Some(true);
        Ok(())
    }

    fn in_pool(&mut self, first: Word<'a>, rest: &[Word<'a>]) -> Result<(), ConfigError> {
        let Some((_, pool)) = self.pools.last_mut() else { return Err(first.wrong("there is no pool")) };
        match first.text {
            "server" => {
                if pool.servers.len() >= balance::MOST {
                    return Err(first.wrong(&format!("more than {} servers", balance::MOST)));
                }
                let (word, options) =
                    rest.split_first().ok_or_else(|| first.wrong("server wants an address behind it"))?;
                let mut server = word.read(words::server)?;
                if pool.servers.iter().any(|other| other.origin == server.origin) {
                    return Err(word.wrong("this server is there already"));
                }
                for option in options {
                    match option.option() {
                        Some(("weight", value)) => {
                            server.weight = value.read(|text| words::number(text, 0, 1000))?
                        }
                        _ => {
                            return Err(option
                                .wrong(&format!("\"{}\" is unknown; known is weight=NUMBER", option.text)));
                        }
                    }
                }
                pool.servers.push(server);
            }
            "check" => {
                if pool.check.is_some() {
                    return Err(first.wrong("there is a check already"));
                }
                let (word, options) =
                    rest.split_first().ok_or_else(|| first.wrong("check wants a path behind it"))?;
                let mut check = Check::of(word.read(words::path)?);
                for option in options {
                    option_of_check(&mut check, *option)?;
                }
                pool.check = Some(check);
            }
            "send-proxy" => pool.send_proxy = one(first, rest, "v1, v2 or off")?.read(words::version)?,
            "connections" => pool.connections = count(first, rest, 1)?,
            "tunnels" => pool.tunnels = count(first, rest, 0)?,
            "client-share" => {
                pool.client_share = one(first, rest, "a share, such as 75%")?.read(words::percent)?
            }
            _ => pool.queue = count(first, rest, 0)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Config, ConfigError> {
        let find = |word: Word<'a>| {
            let found = self.pools.iter().position(|(_, pool)| pool.name == word.text);
            found.ok_or_else(|| word.wrong(&format!("there is no pool {}", word.text)))
        };
        for (word, pool) in &self.pools {
            if pool.servers.is_empty() {
                return Err(word.wrong(&format!("the pool {} has no server", pool.name)));
            }
        }
        let mut hosts = Vec::new();
        for (word, host, pool) in &self.hosts {
            let pool = pool.ok_or_else(|| word.wrong("this host has no pool"))?;
            hosts.push(Host { pool: find(pool)?, ..host.clone() });
        }
        let default = self.default.map(find).transpose()?;
        if hosts.is_empty() && default.is_none() {
            return Err(ConfigError::at(1, 1, "there is no host, and no default"));
        }
        Ok(Config { pools: self.pools.into_iter().map(|(_, pool)| pool).collect(), hosts, default })
    }
}

fn option_of_check(check: &mut Check, word: Word<'_>) -> Result<(), ConfigError> {
    match word.option() {
        Some(("every", value)) => check.every = value.read(words::time)?,
        Some(("timeout", value)) => check.timeout = value.read(words::time)?,
        Some(("rise", value)) => check.rise = value.read(|text| words::number(text, 1, 1000))?,
        Some(("fall", value)) => check.fall = value.read(|text| words::number(text, 1, 1000))?,
        Some(("expect", value)) => check.expect = value.read(words::statuses)?,
        Some(("host", value)) => check.host = Some(value.read(words::host)?),
        _ => {
            let known = "every=TIME, timeout=TIME, rise=NUMBER, fall=NUMBER, expect=STATUS, host=NAME";
            return Err(word.wrong(&format!("\"{}\" is unknown; known are {known}", word.text)));
        }
    }
    Ok(())
}

/// The only word behind the first.
fn one<'a>(first: Word<'a>, rest: &[Word<'a>], what: &str) -> Result<Word<'a>, ConfigError> {
    match rest {
        [word] => Ok(*word),
        [] => Err(first.wrong(&format!("{} wants {what} behind it", first.text))),
        [_, more, ..] => Err(more.wrong(&format!("{} wants no more than {what} behind it", first.text))),
    }
}

fn count(first: Word<'_>, rest: &[Word<'_>], least: u32) -> Result<usize, ConfigError> {
    let number = one(first, rest, "a number")?.read(|text| words::number(text, least, 100_000))?;
    Ok(number as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::Version;
    use fata::time::Duration;

    const GOOD: &str = "
# Two hosts.
pool app
    server 10.0.0.11:8080
    server http://b.internal weight=2   # twice as much
    check /health every=500ms rise=1 fall=2 expect=204
    send-proxy v2
    connections 7
    queue 0
    tunnels 9
    client-share 100%

host Example.org www.example.org
    pool app
pool files
    server [2001:db8::1]:80
host *.example.com
\tcertificate wild
\tpool files
default app
";

    #[test]
    fn a_good_one() {
        let config = Config::parse(GOOD).unwrap();
        let [app, files] = &*config.pools else { panic!("{config:?}") };
        assert_eq!(
            (&*app.name, app.connections, app.queue, app.tunnels, app.client_share, app.send_proxy),
            ("app", 7, 0, 9, 100, Some(Version::Two))
        );
        assert_eq!(
            app.servers.iter().map(|s| (s.origin.authority(), s.weight)).collect::<Vec<_>>(),
            [("10.0.0.11:8080".to_string(), 1), ("b.internal".to_string(), 2)]
        );
        let check = app.check.as_ref().unwrap();
        assert_eq!(
            (&*check.path, check.every, check.rise, check.fall),
            ("/health", Duration::from_millis(500), 1, 2)
        );
        assert_eq!(check.expect, (204, 204));
        assert_eq!(files.servers[0].origin.authority(), "[2001:db8::1]");
        let [first, second] = &*config.hosts else { panic!("{config:?}") };
        assert_eq!(first.names, ["example.org", "www.example.org"]);
        assert_eq!((first.pool, &*first.certificate), (0, "example.org"));
        assert_eq!((second.pool, &*second.certificate), (1, "wild"));
        assert_eq!(config.default, Some(0));
    }

    #[test]
    fn where_and_what_is_wrong() {
        let pool = "pool a\n server 10.0.0.1:80\n";
        for (text, line, column, what) in [
            ("", 1, 1, "there is no host"),
            ("frontend x", 1, 1, "\"frontend\" is unknown"),
            ("pool", 1, 1, "pool wants a name"),
            ("pool a b", 1, 8, "no more than"),
            ("pool a/b", 1, 6, "other characters"),
            ("pool a", 1, 1, "has no server"),
            ("server 10.0.0.1:80", 1, 1, "belongs into a section"),
            ("\u{e9}\u{e9} x", 1, 1, "is unknown"),
            ("pool a\n\n  server  x:99999", 3, 11, "is no server"),
            ("pool a\n server h/path", 2, 9, "is no server"),
            ("pool a\n server u@h", 2, 9, "is no server"),
            ("pool a\n server h:80 weight=x", 2, 21, "is no number"),
            ("pool a\n server h:80 backup", 2, 14, "is unknown"),
            ("pool a\n server h:80\n server h", 3, 9, "there already"),
            ("pool a\n server h\n check health", 3, 8, "is no path"),
            ("pool a\n server h\n check / every=0s", 3, 16, "is no time"),
            ("pool a\n server h\n check / expect=99", 3, 17, "is no status"),
            ("pool a\n server h\n check / expect=300-200", 3, 17, "is no status"),
            ("pool a\n server h\n check /\n check /", 4, 2, "already"),
            ("pool a\n server h\n send-proxy v3", 3, 13, "neither v1 nor v2"),
            ("pool a\n server https://h", 2, 9, "server with TLS"),
            ("pool a\n server h\n connections 0", 3, 14, "is no number"),
            ("pool a\n server h\n client-share 75", 3, 15, "is no share"),
            ("pool a\n server h\n client-share 0%", 3, 15, "is no share"),
            ("tunnels 3", 1, 1, "belongs into a section"),
            ("pool a\n server h\npool a", 3, 6, "already"),
            ("host", 1, 1, "at least one name"),
            ("host a_b/", 1, 6, "is no name"),
            ("host a\nhost b A", 2, 8, "there already"),
            ("host a a", 1, 8, "there already"),
            ("host a", 1, 1, "has no pool"),
            ("host a\n pool b", 2, 7, "there is no pool b"),
            ("certificate x", 1, 1, "belongs into a section"),
            ("default b", 1, 9, "there is no pool b"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
            assert!(error.what.contains(what), "{text:?}: {error}");
        }
        let twice = format!("{pool}default a\ndefault a");
        let error = Config::parse(&twice).unwrap_err();
        assert_eq!(error.to_string(), "line 4, column 1: there is a default already");
    }
}
