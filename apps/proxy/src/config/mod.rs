//! What is proxied: hosts, and the pools of servers that their requests go to. From a text ([`Config::parse`]), or from a few boot parameters
//! ([`Config::of_params`]).

mod parse;
mod words;

pub use words::ConfigError;

use crate::proxy_protocol::Version;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata::fetch::Origin;
use fata::time::Duration;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// In the order in which they stand.
    pub pools: Vec<Pool>,
    /// In the order in which they stand: who names none at TLS is shown the first one's certificate.
    pub hosts: Vec<Host>,
    /// The pool of requests for other hosts, by its number.
    pub default: Option<usize>,
}

/// Servers that do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What it is called.
    pub name: String,
    /// At least one, at most [`balance::MOST`](crate::balance::MOST).
    pub servers: Vec<Server>,
    /// How they are asked whether they are well.
    pub check: Option<Check>,
    /// What connections to them begin with.
    pub send_proxy: Option<Version>,
    /// The most requests at once to each of them.
    pub connections: usize,
    /// The most requests that wait for one.
    pub queue: usize,
    /// The most connections with another protocol to each of them, beside the requests.
    pub tunnels: usize,
    /// How much of all that one client may have, percent.
    pub client_share: u32,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub origin: Origin,
    /// How much more it takes than one of weight 1; 0: nothing.
    pub weight: u32,
}

/// How servers are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked for.
    pub path: String,
    /// `Host` of the request; without it the server's address.
    pub host: Option<String>,
    /// From one to the next.
    pub every: Duration,
    /// For an answer.
    pub timeout: Duration,
    /// Good ones in a row.
    pub rise: u32,
    /// Bad ones in a row.
    pub fall: u32,
    /// The statuses that are good: from, to.
    pub expect: (u16, u16),
}

/// Names that are served alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// In lower case; `*.` at the begin stands for one label.
    pub names: Vec<String>,
    /// The number of its pool.
    pub pool: usize,
    /// The folder of its certificate, beside the text; empty: the certificate is the one of an authority.
    pub certificate: String,
}

impl Check {
    /// A GET of a path, as it is done where nothing else is said.
    pub fn of(path: &str) -> Self {
        Self {
            path: path.into(),
            host: None,
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            expect: (200, 399),
        }
    }
}

impl Pool {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            servers: Vec::new(),
            check: None,
            send_proxy: None,
            connections: 100,
            queue: 100,
            tunnels: 100,
            client_share: 75,
        }
    }
}

/// What boot parameters say in place of a text.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// Servers, with commas between.
    pub backends: &'a str,
    /// Names, with commas between; none: any.
    pub hosts: Option<&'a str>,
    /// The path of checks.
    pub check: Option<&'a str>,
    /// `v1`, `v2`, `off`.
    pub send_proxy: &'a str,
}

impl Config {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        parse::parse(text)
    }

    /// One pool, for the hosts that are named, or for all: what these parameters would be as a text is read as one.
    pub fn of_params(params: Params<'_>) -> Result<Self, String> {
        let named = |parameter: &'static str| {
            move |e: ConfigError| alloc::format!("boot parameter {parameter}: {}", e.what)
        };
        let mut pool = Pool::new("backends");
        for server in params.backends.split(',') {
            pool.servers
                .push(words::server(server).map_err(|what| named("backends")(ConfigError::at(1, 1, &what)))?);
        }
        if pool.servers.len() > crate::balance::MOST {
            return Err(alloc::format!(
                "boot parameter backends: more than {} servers",
                crate::balance::MOST
            ));
        }
        pool.check = match params.check {
            None => None,
            Some(path) => {
                Some(Check::of(words::path(path).map_err(|w| named("check")(ConfigError::at(1, 1, &w)))?))
            }
        };
        pool.send_proxy =
            words::version(params.send_proxy).map_err(|w| named("send-proxy")(ConfigError::at(1, 1, &w)))?;
        let mut config = Self { pools: alloc::vec![pool], hosts: Vec::new(), default: None };
        let Some(hosts) = params.hosts else {
            config.default = Some(0);
            return Ok(config);
        };
        for name in hosts.split(',') {
            let name = words::host(name).map_err(|w| named("hosts")(ConfigError::at(1, 1, &w)))?;
            // All of them have one certificate.
            match config.hosts.first_mut() {
                None => {
                    let certificate = words::folder(&name).to_string();
                    config.hosts.push(Host { names: alloc::vec![name], pool: 0, certificate });
                }
                Some(host) if host.names.contains(&name) => {
                    return Err(alloc::format!("boot parameter hosts: {name} is there twice"));
                }
                Some(host) => host.names.push(name),
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let params = |backends, hosts, check, send_proxy| {
            Config::of_params(Params { backends, hosts, check, send_proxy })
        };
        let config = params("10.0.0.1:80,http://b.test", Some("A.test,b.test"), Some("/up"), "v2").unwrap();
        assert_eq!(config.pools[0].servers[1].origin.port(), 80);
        assert_eq!(config.pools[0].check.as_ref().map(|check| &*check.path), Some("/up"));
        assert_eq!((config.hosts.len(), config.default), (1, None));
        assert_eq!(config.hosts[0].names, ["a.test", "b.test"]);
        assert_eq!(params("10.0.0.1:80", None, None, "off").unwrap().default, Some(0));
        for (said, error) in [
            (params("", None, None, "off"), "boot parameter backends: "),
            (params("https://b.test", None, None, "off"), "boot parameter backends: "),
            (params("10.0.0.1:80,", None, None, "off"), "boot parameter backends: "),
            (params("10.0.0.1:80", Some("a,a"), None, "off"), "boot parameter hosts: a is there twice"),
            (params("10.0.0.1:80", Some("a b"), None, "off"), "boot parameter hosts: "),
            (params("10.0.0.1:80", None, Some("up"), "off"), "boot parameter check: "),
            (params("10.0.0.1:80", None, None, "v3"), "boot parameter send-proxy: "),
        ] {
            let said = said.unwrap_err();
            assert!(said.starts_with(error), "{said}");
        }
    }
}
