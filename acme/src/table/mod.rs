//! Each rule of the protocol as a line of what is asked and what is answered, without a network, by a clock that the test sets.

use crate::*;
use base64ct::{Base64UrlUnpadded, Encoding};
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, SystemTime};
use fata_tls::issue::self_signed_with;

mod accounts;
mod answers;
mod challenges;
mod tries;
mod way;

const DIRECTORY: &str = r#"{"newNonce":"https://a.test/nonce","newAccount":"https://a.test/account",
    "newOrder":"https://a.test/order"}"#;
const PENDING: &str =
    r#"{"status":"pending","authorizations":["https://a.test/authz/1"],"finalize":"https://a.test/final"}"#;
const PROCESSING: &str = r#"{"status":"processing","authorizations":["https://a.test/authz/1"],"finalize":"https://a.test/final"}"#;
const READY: &str =
    r#"{"status":"ready","authorizations":["https://a.test/authz/1"],"finalize":"https://a.test/final"}"#;
const VALID: &str = r#"{"status":"valid","authorizations":["https://a.test/authz/1"],"finalize":"https://a.test/final",
    "certificate":"https://a.test/cert"}"#;
const TO_SHOW: &str = r#"{"status":"pending","identifier":{"type":"dns","value":"host.test"},"challenges":[
    {"type":"dns-01","url":"https://a.test/chall/0","token":"dns"},
    {"type":"unheard-of-01","status":"pending"},
    {"type":"http-01","url":"https://a.test/chall/1","token":"token_1","status":"pending"},
    {"type":"tls-alpn-01","url":"https://a.test/chall/2","token":"token_2","status":"pending"}]}"#;
const SHOWN: &str = r#"{"status":"valid","identifier":{"type":"dns","value":"host.test"},"challenges":[]}"#;
const LOOKING: &str =
    r#"{"type":"http-01","url":"https://a.test/chall/1","token":"token_1","status":"processing"}"#;

/// One acquisition, its clock, and how often each thing was done.
struct Table {
    acquisition: Acquisition,
    now: Duration,
    nonces: u32,
}

/// What was done, in short.
#[derive(Debug, PartialEq)]
enum Did {
    Get(String),
    Head(String),
    Post { url: String, payload: String, kid: Option<String> },
    Waited(u64),
    Present(Challenge),
    Done,
}

fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Result<Response, String> {
    let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Ok(Response { status, fields, body: body.into() })
}

fn problem(status: u16, kind: &str) -> Result<Response, String> {
    let body = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"because"}}"#);
    answer(status, &[("Replay-Nonce", "again")], &body)
}

fn refused(doing: &'static str, status: u16, kind: &str) -> Error {
    Error::Refused { doing, status, problem: Problem { kind: kind.into(), detail: "because".into() } }
}

impl Table {
    fn new(ways: &[Way]) -> Self {
        Self::with(Account::generate().unwrap(), Settings::default(), ways)
    }

    fn with(account: Account, settings: Settings, ways: &[Way]) -> Self {
        let names = Names::parse(&["host.test", "192.0.2.1"]).unwrap();
        let entry = Url::new("https://a.test/dir").unwrap();
        let acquisition = Acquisition::new(entry, settings, account, names, ways).unwrap();
        Self { acquisition, now: Duration::from_secs(1000), nonces: 0 }
    }

    fn now(&self) -> Now {
        Now {
            instant: Instant::from_nanos(self.now.as_nanos() as u64),
            wall: SystemTime::from_unix(self.now),
        }
    }

    /// What is done next; waiting is done at once.
    fn next(&mut self) -> Result<Did, Error> {
        Ok(match self.acquisition.next(self.now())? {
            Action::Wait(until) => {
                let wait = until.duration_since(self.now().instant);
                self.now += wait;
                Did::Waited(wait.as_secs())
            }
            Action::Present(challenge) => {
                self.acquisition.presented();
                Did::Present(challenge)
            }
            Action::Done(_) => Did::Done,
            Action::Send(Request { method: Method::Get, url, .. }) => Did::Get(url.as_str().into()),
            Action::Send(Request { method: Method::Head, url, .. }) => Did::Head(url.as_str().into()),
            Action::Send(Request { method: Method::Post, url, body }) => {
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let part = |name: &str| {
                    String::from_utf8(Base64UrlUnpadded::decode_vec(body[name].as_str().unwrap()).unwrap())
                        .unwrap()
                };
                let protected: serde_json::Value = serde_json::from_str(&part("protected")).unwrap();
                assert_eq!(protected["url"], url.as_str());
                assert!(protected["nonce"].is_string());
                let kid = protected["kid"].as_str().map(ToString::to_string);
                assert_eq!(kid.is_none(), protected["jwk"].is_object());
                Did::Post { url: url.as_str().into(), payload: part("payload"), kid }
            }
        })
    }

    /// Asks once, with nonces and waiting in between.
    fn ask(&mut self) -> Result<Did, Error> {
        loop {
            match self.next()? {
                Did::Head(url) => {
                    assert_eq!(url, "https://a.test/nonce");
                    self.nonces += 1;
                    let nonce = format!("nonce_{}", self.nonces);
                    self.tell(answer(200, &[("replay-nonce", &nonce)], ""))?;
                }
                Did::Waited(_) => {}
                did => return Ok(did),
            }
        }
    }

    fn tell(&mut self, result: Result<Response, String>) -> Result<(), Error> {
        self.acquisition.received(self.now(), result)
    }

    /// Expects a request to `url`, and answers it.
    fn turn(&mut self, url: &str, result: Result<Response, String>) -> Result<(), Error> {
        match self.ask()? {
            Did::Get(asked) | Did::Post { url: asked, .. } => assert_eq!(asked, url),
            did => panic!("{did:?}, and not {url}"),
        }
        self.tell(result)
    }

    fn certificate(&self) -> String {
        self.certificate_for(&["host.test", "192.0.2.1"])
    }

    fn certificate_for(&self, names: &[&str]) -> String {
        let to = SystemTime::from_unix(Duration::from_secs(4_000_000_000));
        let from = SystemTime::from_unix(Duration::from_secs(1_000_000));
        self_signed_with(&self.acquisition.key, names, from, to).unwrap().chain_pem
    }

    /// The way to an order that waits for its challenge.
    fn reach_challenge(&mut self) -> Challenge {
        self.reach_order();
        self.turn("https://a.test/authz/1", answer(200, &[], TO_SHOW)).unwrap();
        match self.next().unwrap() {
            Did::Present(challenge) => challenge,
            did => panic!("{did:?}"),
        }
    }

    fn reach_order(&mut self) {
        self.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        self.turn("https://a.test/account", answer(201, &[("Location", "https://a.test/acct/1")], "{}"))
            .unwrap();
        self.turn("https://a.test/order", answer(201, &[("Location", "https://a.test/order/1")], PENDING))
            .unwrap();
    }

    /// The way to an order that is to be finalised.
    fn reach_final(&mut self) {
        self.reach_challenge();
        self.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
        self.turn("https://a.test/authz/1", answer(200, &[], SHOWN)).unwrap();
    }
}
