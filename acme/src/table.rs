//! Each rule of the protocol as a line of what is asked and what is answered, without a network, by a clock that the test sets.

use crate::*;
use base64ct::{Base64UrlUnpadded, Encoding};
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, SystemTime};
use fata_tls::issue::self_signed_with;

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
        let to = SystemTime::from_unix(Duration::from_secs(4_000_000_000));
        let from = SystemTime::from_unix(Duration::from_secs(1_000_000));
        self_signed_with(&self.acquisition.key, &["host.test"], from, to).unwrap().chain_pem
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

#[test]
fn the_whole_way() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
        table.tell(answer(200, &[], DIRECTORY)).unwrap();
        assert_eq!(table.next(), Ok(Did::Head("https://a.test/nonce".into())));
        table.tell(answer(204, &[("Replay-Nonce", "first")], "")).unwrap();
        let account = |payload: &str| Did::Post {
            url: "https://a.test/account".into(),
            payload: payload.into(),
            kid: None,
        };
        assert_eq!(table.next(), Ok(account("{}")));
        let fields = [("Replay-Nonce", "second"), ("Location", "https://a.test/acct/1")];
        table.tell(answer(201, &fields, "{}")).unwrap();
        let by_account = |url: &str, payload: &str| Did::Post {
            url: url.into(),
            payload: payload.into(),
            kid: Some("https://a.test/acct/1".into()),
        };
        // RFC 8738 section 3 has addresses as a type of their own.
        let identifiers =
            r#"{"identifiers":[{"type":"dns","value":"host.test"},{"type":"ip","value":"192.0.2.1"}]}"#;
        assert_eq!(table.next(), Ok(by_account("https://a.test/order", identifiers)));
        let fields = [("Replay-Nonce", "third"), ("Location", "https://a.test/order/1")];
        table.tell(answer(201, &fields, PENDING)).unwrap();
        assert_eq!(table.next(), Ok(by_account("https://a.test/authz/1", "")));
        table.tell(answer(200, &[], TO_SHOW)).unwrap();
        let Ok(Did::Present(challenge)) = table.next() else { panic!() };
        assert_eq!((challenge.way, &*challenge.token, &*challenge.name), (Way::Http, "token_1", "host.test"));
        let thumbprint = challenge.key_authorization.strip_prefix("token_1.").unwrap();
        assert_eq!(thumbprint.len(), 43);
        // There was no nonce with the last answer.
        assert_eq!(table.ask(), Ok(by_account("https://a.test/chall/1", "{}")));
        table.tell(answer(200, &[("Replay-Nonce", "fifth")], LOOKING)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(1)));
        assert_eq!(table.next(), Ok(by_account("https://a.test/authz/1", "")));
        table.tell(answer(200, &[("Replay-Nonce", "sixth")], SHOWN)).unwrap();
        let Ok(Did::Post { url, payload, .. }) = table.next() else { panic!() };
        assert_eq!(url, "https://a.test/final");
        assert!(payload.starts_with(r#"{"csr":"MII"#) || payload.starts_with(r#"{"csr":"MI"#), "{payload}");
        table.tell(answer(200, &[("Replay-Nonce", "seventh")], PROCESSING)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(1)));
        assert_eq!(table.next(), Ok(by_account("https://a.test/order/1", "")));
        table.tell(answer(200, &[("Replay-Nonce", "eighth")], VALID)).unwrap();
        assert_eq!(table.next(), Ok(by_account("https://a.test/cert", "")));
        let chain = table.certificate();
        table.tell(answer(200, &[], &chain)).unwrap();
        assert_eq!(table.next(), Ok(Did::Done));
        assert_eq!(table.next(), Ok(Did::Done));
        let Ok(Action::Done(issued)) = table.acquisition.next(table.now()) else { panic!() };
        assert_eq!(issued.chain_pem, chain);
        assert_eq!(table.acquisition.account().url.as_ref().unwrap().as_str(), "https://a.test/acct/1");
        assert_eq!(table.nonces, 1);
    });
}

#[test]
fn the_dearest_way_is_taken_that_is_offered() {
    run(async {
        for (ways, token) in [
            (&[Way::Http, Way::TlsAlpn][..], "token_1"),
            (&[Way::TlsAlpn, Way::Http], "token_2"),
            (&[Way::TlsAlpn], "token_2"),
        ] {
            assert_eq!(Table::new(ways).reach_challenge().token, token);
        }
        for (ways, offer) in [
            (&[][..], TO_SHOW.into()),
            (&[Way::Http], TO_SHOW.replace("http-01", "http-02")),
            // Tokens that would be something else in a path, or are none.
            (&[Way::Http], TO_SHOW.replace("token_1", "../token")),
            (&[Way::Http], TO_SHOW.replace("token_1", "a b")),
            (&[Way::Http], TO_SHOW.replace("token_1", "")),
            (&[Way::Http], TO_SHOW.replace("token_1", &"a".repeat(257))),
        ] {
            let mut table = Table::new(ways);
            table.reach_order();
            let result = table.turn("https://a.test/authz/1", answer(200, &[], &offer));
            assert_eq!(result, Err(Error::NoChallenge("host.test".into())), "{offer}");
        }
    });
}

#[test]
fn a_bad_nonce_is_another_try() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        for _ in 0..6 {
            // With the nonce that comes along: at once, and without asking for one.
            table.turn("https://a.test/account", problem(400, "badNonce")).unwrap();
            assert_eq!(table.nonces, 1);
        }
        let end = table.turn("https://a.test/account", problem(400, "badNonce"));
        assert_eq!(end, Err(refused("give an account", 400, "badNonce")));
        // A nonce that is none is as one that is not there.
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let fields = [("Replay-Nonce", "a\"b"), ("Location", "https://a.test/acct/1")];
        table.turn("https://a.test/account", answer(201, &fields, "{}")).unwrap();
        assert_eq!(table.next(), Ok(Did::Head("https://a.test/nonce".into())));
        let none = Error::BadAnswer { doing: "give a nonce", why: "there is none".into() };
        assert_eq!(table.tell(answer(200, &[], "")), Err(none));
    });
}

#[test]
fn what_fails_is_tried_again_later_each_time() {
    run(async {
        for (failure, end) in [
            (Err("no route".to_string()), Error::Unreachable("no route".into())),
            (problem(500, "serverInternal"), refused("say what it offers", 500, "serverInternal")),
            (problem(429, "rateLimited"), refused("say what it offers", 429, "rateLimited")),
            (
                answer(502, &[], "<html>"),
                Error::Refused {
                    doing: "say what it offers",
                    status: 502,
                    problem: Problem { kind: String::new(), detail: String::new() },
                },
            ),
        ] {
            let mut table = Table::new(&[Way::Http]);
            for wait in [2, 4, 8, 16, 32] {
                assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
                table.tell(failure.clone()).unwrap();
                assert_eq!(table.next(), Ok(Did::Waited(wait)));
            }
            assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
            assert_eq!(table.tell(failure), Err(end));
        }
        // An answer that is good lets all begin anew.
        let mut table = Table::new(&[Way::Http]);
        for _ in 0..5 {
            table.turn("https://a.test/dir", Err("lost".into())).unwrap();
        }
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        for _ in 0..5 {
            table.turn("https://a.test/account", Err("lost".into())).unwrap();
        }
    });
}

#[test]
fn retry_after_is_heeded() {
    run(async {
        // The clock stands at 1000 s after 1970-01-01T00:00:00Z.
        for (text, wait) in [
            ("7", 7),
            ("300", 300),
            ("Thu, 01 Jan 1970 00:17:00 GMT", 20),
            // What is over, or no time, is as the rule is.
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("soon", 2),
            ("-1", 2),
        ] {
            let mut table = Table::new(&[Way::Http]);
            assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into())));
            table.tell(answer(503, &[("Retry-After", text)], "")).unwrap();
            match wait {
                0 => assert_eq!(table.next(), Ok(Did::Get("https://a.test/dir".into()))),
                wait => assert_eq!(table.next(), Ok(Did::Waited(wait)), "{text}"),
            }
        }
        for (text, until) in [
            ("301", 1301),
            ("86400", 87_400),
            // Nobody is believed for more than a week.
            ("999999999999", 1000 + 7 * 86_400),
            ("Fri, 31 Dec 9999 00:00:00 GMT", 1000 + 7 * 86_400),
        ] {
            let mut table = Table::new(&[Way::Http]);
            table.next().unwrap();
            let mut limited = problem(429, "rateLimited").unwrap();
            limited.fields.push(("retry-after".into(), text.into()));
            let error = table.tell(Ok(limited)).unwrap_err();
            assert_eq!(error.until(), Some(SystemTime::from_unix(Duration::from_secs(until))), "{text}");
        }
        // While it looks, too.
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        table.turn("https://a.test/chall/1", answer(200, &[("Retry-After", "11")], LOOKING)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(11)));
        let waiting = TO_SHOW.replace("pending", "processing");
        table.turn("https://a.test/authz/1", answer(200, &[("Retry-After", "100000")], &waiting)).unwrap();
        assert_eq!(table.next(), Ok(Did::Waited(300)));
    });
}

#[test]
fn who_does_not_get_ready_is_not_waited_for_for_ever() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
        let (began, mut waits) = (table.now, Vec::new());
        let end = loop {
            match table.next() {
                Ok(Did::Waited(wait)) => waits.push(wait),
                Ok(Did::Head(_)) => table.tell(answer(200, &[("Replay-Nonce", "n")], "")).unwrap(),
                Ok(_) => {
                    if let Err(end) = table.tell(answer(200, &[], &TO_SHOW.replace("pending", "processing")))
                    {
                        break end;
                    }
                }
                Err(end) => break end,
            }
        };
        assert_eq!(waits[..6], [1, 2, 4, 8, 15, 15]);
        let after = table.now - began;
        assert_eq!(end, Error::TooSlow { doing: "look whether a name is ours", after });
        assert!((600..660).contains(&after.as_secs()), "{after:?}");
        // The order, in each state that says that there is more to wait for.
        for order in [PENDING, PROCESSING, READY] {
            let mut table = Table::new(&[Way::Http]);
            table.reach_final();
            let began = table.now;
            let end = loop {
                let result = match table.ask() {
                    Ok(Did::Post { url, .. }) if url.ends_with("/final") && order != READY => {
                        table.tell(problem(403, "orderNotReady"))
                    }
                    Ok(_) => table.tell(answer(200, &[], order)),
                    Err(end) => break end,
                };
                if let Err(end) = result {
                    break end;
                }
            };
            assert!(matches!(end, Error::TooSlow { doing: "make a certificate", .. }), "{end:?}");
            assert!((600..660).contains(&(table.now - began).as_secs()), "{order}");
        }
    });
}

#[test]
fn who_has_looked_in_vain_is_told_to_look_again() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        let error =
            r#""token_1","error":{"type":"urn:ietf:params:acme:error:connection","detail":"no host"}"#;
        let vain = TO_SHOW.replace(r#""token_1""#, error);
        for _ in 0..3 {
            table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
            table.turn("https://a.test/authz/1", answer(200, &[], &vain)).unwrap();
        }
        table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
        let end = table.turn("https://a.test/authz/1", answer(200, &[], &vain));
        let problem = Problem { kind: "connection".into(), detail: "no host".into() };
        assert_eq!(end, Err(Error::NotOurs { name: "host.test".into(), problem }));
    });
}

#[test]
fn what_has_ended_ends_it() {
    run(async {
        for status in ["invalid", "expired", "deactivated", "revoked", "unheard-of"] {
            let mut table = Table::new(&[Way::Http]);
            table.reach_challenge();
            table.turn("https://a.test/chall/1", answer(200, &[], LOOKING)).unwrap();
            let ended = SHOWN.replace("valid", status);
            let end = table.turn("https://a.test/authz/1", answer(200, &[], &ended)).unwrap_err();
            assert_eq!(
                end.to_string(),
                "the authority does not find host.test to be ours: no reason is given"
            );
        }
        let mut table = Table::new(&[Way::Http]);
        table.reach_final();
        let ended = r#"{"status":"invalid","authorizations":[],"finalize":"https://a.test/final",
            "error":{"type":"urn:ietf:params:acme:error:caa","detail":"CAA forbids it"}}"#;
        let end = table.turn("https://a.test/final", answer(200, &[], ended)).unwrap_err();
        assert_eq!(end.to_string(), "the authority has ended the order: caa: CAA forbids it");
    });
}

#[test]
fn refusals_say_why() {
    run(async {
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let end = table.turn("https://a.test/account", problem(403, "unauthorized"));
        assert_eq!(end, Err(refused("give an account", 403, "unauthorized")));
        let mut table = Table::new(&[Way::Http]);
        table.reach_final();
        let end = table.turn("https://a.test/final", problem(400, "badCSR"));
        assert_eq!(end, Err(refused("make a certificate", 400, "badCSR")));
        // A redirection is none of an authority's answers.
        let mut table = Table::new(&[Way::Http]);
        let elsewhere = answer(301, &[("Location", "https://b.test/")], "");
        let end = table.turn("https://a.test/dir", elsewhere).unwrap_err();
        assert!(matches!(end, Error::Refused { status: 301, .. }), "{end:?}");
    });
}

#[test]
fn an_account_that_is_known_is_used_and_one_that_is_gone_is_made_anew() {
    run(async {
        let url = Some(Url::new("https://a.test/acct/old").unwrap());
        let account = Account { url, ..Account::generate().unwrap() };
        let mut table = Table::with(account.clone(), Settings::default(), &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let Ok(Did::Post { url, kid, .. }) = table.ask() else { panic!() };
        assert_eq!((&*url, kid.as_deref()), ("https://a.test/order", Some("https://a.test/acct/old")));
        table.tell(problem(400, "accountDoesNotExist")).unwrap();
        table
            .turn("https://a.test/account", answer(201, &[("Location", "https://a.test/acct/new")], "{}"))
            .unwrap();
        let Ok(Did::Post { url, kid, .. }) = table.ask() else { panic!() };
        assert_eq!((&*url, kid.as_deref()), ("https://a.test/order", Some("https://a.test/acct/new")));
        let end = table.tell(problem(400, "accountDoesNotExist"));
        assert_eq!(end, Err(refused("take an order", 400, "accountDoesNotExist")));
        // Where it has to be there already.
        let settings = Settings::default().existence(Existence::Required);
        let mut table = Table::with(Account::generate().unwrap(), settings, &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
        assert_eq!(payload, r#"{"onlyReturnExisting":true}"#);
        let end = table.tell(problem(400, "accountDoesNotExist"));
        assert_eq!(end, Err(refused("give an account", 400, "accountDoesNotExist")));
    });
}

#[test]
fn terms_are_agreed_to_or_it_ends() {
    run(async {
        let directory = DIRECTORY.replace("{", r#"{"meta":{"termsOfService":"https://a.test/terms"},"#);
        let mut table = Table::new(&[Way::Http]);
        let end = table.turn("https://a.test/dir", answer(200, &[], &directory));
        assert_eq!(end, Err(Error::TermsNotAgreed("https://a.test/terms".into())));
        let settings = Settings::default().terms(Terms::Agreed);
        let mut table = Table::with(Account::generate().unwrap(), settings, &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], &directory)).unwrap();
        let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
        assert_eq!(payload, r#"{"termsOfServiceAgreed":true}"#);
    });
}

#[test]
fn orders_that_are_done_already_skip_what_is() {
    run(async {
        // All names were ours before.
        let mut table = Table::new(&[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        table
            .turn("https://a.test/account", answer(200, &[("Location", "https://a.test/acct/1")], "{}"))
            .unwrap();
        table
            .turn("https://a.test/order", answer(201, &[("Location", "https://a.test/order/1")], READY))
            .unwrap();
        table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
        let chain = table.certificate();
        table.turn("https://a.test/cert", answer(200, &[], &chain)).unwrap();
        assert_eq!(table.next(), Ok(Did::Done));
        // One of them was.
        let mut table = Table::new(&[Way::Http]);
        table.reach_order();
        table.turn("https://a.test/authz/1", answer(200, &[], SHOWN)).unwrap();
        table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
        // An answer was lost, and the authority has looked meanwhile.
        let mut table = Table::new(&[Way::Http]);
        table.reach_challenge();
        table.turn("https://a.test/chall/1", Err("lost".into())).unwrap();
        table.turn("https://a.test/chall/1", problem(400, "malformed")).unwrap();
        table.turn("https://a.test/authz/1", answer(200, &[], SHOWN)).unwrap();
        table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
    });
}

/// Whatever an authority says, there is an error or another question, and no panic.
#[test]
fn answers_that_cannot_be() {
    run(async {
        let many: Vec<_> = (0..101).map(|n| format!("\"https://a.test/{n}\"")).collect();
        let many = format!(
            r#"{{"status":"pending","authorizations":[{}],"finalize":"https://a.test/final"}}"#,
            many.join(",")
        );
        let deep = "[".repeat(10_000);
        let long = " ".repeat(MAX_BODY + 1);
        let bodies = ["", "{}", "[]", "null", "\"", "{\"status\":7}", &many, &deep, &long, "\u{0}"];
        let plain = bodies.map(|body| answer(200, &[("Location", "https://a.test/x")], body));
        let other = [
            answer(200, &[], PENDING),
            answer(200, &[("Location", "http://a.test/plain")], PENDING),
            answer(200, &[("Location", "https://a.test/\"")], PENDING),
            answer(200, &[("Location", "https://a.test/x")], &PENDING.replace("https", "http")),
            answer(
                200,
                &[("Location", "https://a.test/x")],
                &PENDING.replace(r#""https://a.test/authz/1""#, ""),
            ),
            answer(200, &[("Location", "https://a.test/x")], &VALID.replace("certificate", "other")),
        ];
        for said in plain.iter().chain(&other) {
            let mut table = Table::new(&[Way::Http]);
            table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
            table
                .turn("https://a.test/account", answer(201, &[("Location", "https://a.test/acct/1")], "{}"))
                .unwrap();
            let end = table.turn("https://a.test/order", said.clone()).unwrap_err();
            assert!(matches!(end, Error::BadAnswer { .. } | Error::BadUrl(_)), "{end:?}");
            assert!(end.to_string().len() < 3000);
        }
        for said in &plain {
            for reach in [
                Table::reach_order as fn(&mut Table),
                |table: &mut Table| drop(table.reach_challenge()),
                Table::reach_final,
            ] {
                let mut table = Table::new(&[Way::Http]);
                reach(&mut table);
                table.ask().unwrap();
                // What the answer to a challenge says is not looked at: the authorization says it.
                let _ = table.tell(said.clone());
                let _ = table.ask();
            }
        }
        // A certificate that is none, or another's.
        let stranger = Table::new(&[Way::Http]).certificate();
        for said in ["", "no certificate", &stranger] {
            let mut table = Table::new(&[Way::Http]);
            table.reach_final();
            table.turn("https://a.test/final", answer(200, &[], VALID)).unwrap();
            let end = table.turn("https://a.test/cert", answer(200, &[], said)).unwrap_err();
            assert!(matches!(end, Error::BadAnswer { doing: "give the certificate out", .. }), "{end:?}");
        }
        assert!(table_of_a_wildcard().is_err());
    });
}

fn table_of_a_wildcard() -> Result<Acquisition, Error> {
    let entry = Url::new("https://a.test/dir")?;
    let names = Names::parse(&["*.host.test"])?;
    Acquisition::new(entry, Settings::default(), Account::generate()?, names, &[Way::Http])
}
