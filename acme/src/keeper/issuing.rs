//! Keeping certificates of an authority that gives some: when the next one is asked for.

use super::tests::is_shown;
use super::*;
use crate::{Method, Request, Response};
use alloc::string::String;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use core::cell::RefCell;
use fata_libos::testing::run;
use fata_libos::time::timeout;
use fata_tls::issue::{PrivateKey, self_signed_with};

const DAY: Duration = Duration::from_secs(86_400);
const NAMES: [&str; 2] = ["host.test", "192.0.2.1"];
/// A certificate that says whose key has signed it, from 2025 to 2045, its names, and the name that it has with its authority.
const SIGNED: &str = include_str!("../../tests/renewal.pem");
const NAMES_OF_SIGNED: [&str; 2] = ["server.test", "127.0.0.1"];
const ID: &str = "UBt5QLoqIfmnEpcBB_kT1plImMU.Ag";

/// An authority that finds all names to be ours, with certificates that are valid from and to so long from now on; when it has given
/// them out, and what was asked for.
#[derive(Clone, Default)]
struct Willing {
    from: i64,
    to: i64,
    certificate: String,
    given: Rc<RefCell<Vec<(SystemTime, String)>>>,
    order: String,
    /// What it says of a certificate's time, and how often it was asked.
    suggested: Option<String>,
    /// The status of its answers to that, the first of them, if it is not 200.
    refusals: Rc<RefCell<Vec<u16>>>,
    questions: Rc<RefCell<Vec<SystemTime>>>,
}

impl Willing {
    fn new(from: i64, to: i64) -> Self {
        Self { from, to, ..Self::default() }
    }

    /// A certificate with the key of a request. Nobody here looks who has signed it.
    fn sign(&mut self, request: &[u8]) {
        let now = SystemTime::now().since_unix().as_secs();
        let moment =
            |after: i64| SystemTime::from_unix(Duration::from_secs(now.saturating_add_signed(after)));
        let key = PrivateKey::generate().unwrap();
        let own = match self.suggested {
            None => self_signed_with(&key, &NAMES, moment(self.from), moment(self.to)).unwrap().chain_pem,
            Some(_) => SIGNED.into(),
        };
        let text: String = own.lines().filter(|line| !line.starts_with('-')).collect();
        let mut der = Base64::decode_vec(&text).unwrap();
        // A bit string with a point that is not compressed.
        let point = |der: &[u8]| der.windows(4).position(|window| window == [3, 0x42, 0, 4]).unwrap() + 4;
        let (to, from) = (point(&der), point(request));
        der[to..to + 64].copy_from_slice(&request[from..from + 64]);
        let text = Base64::encode_string(&der);
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| core::str::from_utf8(line).unwrap()).collect();
        self.certificate =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    }
}

impl Transport for Willing {
    type Error = &'static str;
    async fn send(&mut self, request: &Request) -> Result<Response, &'static str> {
        let path = request.url.as_str().rsplit('/').next().unwrap();
        let payload = match request.method {
            Method::Post => {
                let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                Base64UrlUnpadded::decode_vec(body["payload"].as_str().unwrap()).unwrap()
            }
            _ => Vec::new(),
        };
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap_or_default();
        let mut status = 200;
        let body = match path {
            "dir" if self.suggested.is_some() => {
                r#"{"renewalInfo":"https://a.test/info","newNonce":"https://a.test/nonce",
                    "newAccount":"https://a.test/account","newOrder":"https://a.test/order"}"#
                    .into()
            }
            ID => {
                assert_eq!(
                    (request.method, request.url.as_str()),
                    (Method::Get, &*format!("https://a.test/info/{ID}"))
                );
                self.questions.borrow_mut().push(SystemTime::now());
                status = self.refusals.borrow_mut().pop().unwrap_or(200);
                self.suggested.clone().unwrap()
            }
            "dir" => r#"{"newNonce":"https://a.test/nonce","newAccount":"https://a.test/account",
                    "newOrder":"https://a.test/order"}"#
                .into(),
            "order" => {
                self.order = payload.to_string();
                r#"{"status":"ready","authorizations":["https://a.test/authz"],"finalize":"https://a.test/final"}"#.into()
            }
            "final" => {
                self.sign(&Base64UrlUnpadded::decode_vec(payload["csr"].as_str().unwrap()).unwrap());
                r#"{"status":"valid","authorizations":["https://a.test/authz"],"finalize":"https://a.test/final",
                    "certificate":"https://a.test/cert"}"#
                    .into()
            }
            "cert" => {
                self.given.borrow_mut().push((SystemTime::now(), self.order.clone()));
                self.certificate.clone()
            }
            _ => "{}".into(),
        };
        let fields = [("Replay-Nonce", "nonce"), ("Location", "https://a.test/place")];
        let fields = fields.map(|(name, value)| (name.into(), value.into())).into();
        Ok(Response { status, fields, body: body.into() })
    }
}

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Option<Vec<u8>>>>);

impl Storage for Memory {
    type Error = &'static str;
    async fn load(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        Ok(self.0.borrow().clone())
    }
    async fn save(&mut self, octets: &[u8]) -> Result<(), &'static str> {
        *self.0.borrow_mut() = Some(octets.into());
        Ok(())
    }
}

/// Keeps for so long; after what times certificates were given out.
async fn keep(willing: &Willing, names: &[&str], memory: &Memory, for_how_long: Duration) -> Vec<Duration> {
    let keeper = Keeper {
        authority: Url::new("https://a.test/dir").unwrap(),
        settings: Settings::default(),
        names: Names::parse(names).unwrap(),
        ways: alloc::vec![Way::Http],
        responder: Responder::default(),
        transport: willing.clone(),
        storage: memory.clone(),
    };
    let began = SystemTime::now().since_unix();
    let _ = timeout(for_how_long, keeper.run(is_shown)).await;
    willing.given.borrow().iter().map(|(when, _)| when.since_unix().saturating_sub(began)).collect()
}

#[test]
fn the_next_one_is_asked_for_when_two_thirds_are_over() {
    run(async {
        let willing = Willing::new(0, 90 * 86_400);
        let when = keep(&willing, &NAMES, &Memory::default(), 130 * DAY).await;
        let days: Vec<_> = when.iter().map(|when| when.as_secs() / 3600).collect();
        // Each begins an hour before it is asked for.
        assert_eq!(days, [0, 60 * 24 - 1, 120 * 24 - 1], "{when:?}");
    });
}

#[test]
fn the_order_of_the_names_makes_no_other_certificate() {
    run(async {
        let (willing, memory) = (Willing::new(0, 90 * 86_400), Memory::default());
        assert_eq!(keep(&willing, &NAMES, &memory, DAY).await.len(), 1);
        assert_eq!(keep(&willing, &["192.0.2.1", "HOST.test"], &memory, DAY).await.len(), 1);
        // One name less is another one.
        assert_eq!(keep(&willing, &NAMES[..1], &memory, DAY).await.len(), 2);
    });
}

/// One of the clocks is wrong: authorities count certificates, so that it is not asked all the time for another one that is over too.
#[test]
fn what_is_over_when_it_comes_is_not_replaced_at_once() {
    run(async {
        for (from, to) in [(-90, -1), (-90, 10)] {
            let willing = Willing::new(from * 86_400, to * 86_400);
            let when = keep(&willing, &NAMES, &Memory::default(), 2 * DAY).await;
            let pauses: Vec<_> = when.windows(2).map(|pair| (pair[1] - pair[0]).as_secs() / 60).collect();
            assert_eq!(pauses[..7], [20, 40, 80, 160, 320, 640, 720], "{when:?}");
        }
        // One that begins tomorrow waits for its time.
        let willing = Willing::new(86_400, 91 * 86_400);
        let when = keep(&willing, &NAMES, &Memory::default(), 60 * DAY).await;
        assert_eq!(when.len(), 1, "{when:?}");
    });
}

/// From the 1st to the 2nd of March, two months after the clock of tests begins.
const WINDOW: &str = r#"{"suggestedWindow":{"start":"2026-03-01T00:00:00Z","end":"2026-03-02T00:00:00Z"}}"#;

#[test]
fn an_authority_may_want_it_earlier_than_its_dates_say() {
    run(async {
        let willing = Willing { suggested: Some(WINDOW.into()), ..Willing::default() };
        let memory = Memory::default();
        let when = keep(&willing, &NAMES_OF_SIGNED, &memory, 61 * DAY).await;
        assert!(when[1] >= 59 * DAY && when[1] <= 60 * DAY, "{when:?}");
        let orders: Vec<_> = willing.given.borrow().iter().map(|(_, order)| order.clone()).collect();
        assert!(
            !orders[0].contains("replaces") && orders[1].contains(&format!(r#""replaces":"{ID}""#)),
            "{orders:?}"
        );
        // It is asked four times a day, and as often where it wants each one to be replaced at once.
        let pause = when[2] - when[1];
        assert!(pause >= Duration::from_secs(6 * 3600) && pause < Duration::from_secs(7 * 3600), "{pause:?}");
        let questions = willing.questions.borrow().len();
        assert!((4 * 58..=4 * 62).contains(&questions), "{questions}");
        // Who starts in the window or after it asks at once.
        assert_eq!(keep(&willing, &NAMES_OF_SIGNED, &memory, DAY / 8).await.len(), when.len() + 1);
    });
}

/// Minutes between questions for what is suggested.
fn pauses(willing: &Willing) -> Vec<u64> {
    let when = willing.questions.take();
    when.windows(2).map(|pair| (pair[1].since_unix() - pair[0].since_unix()).as_secs() / 60).collect()
}

/// An error that lasts: it is asked again after six hours (RFC 9773 section 4.3.3).
#[test]
fn what_makes_no_sense_is_asked_for_again_as_usual() {
    run(async {
        for (suggested, status) in [
            (r#"{"suggestedWindow":{"start":"2026-01-02T00:00:00Z","end":"2026-01-01T00:00:00Z"}}"#, 200),
            (r#"{"suggestedWindow":{"start":"soon","end":"later"}}"#, 200),
            ("{}", 200),
            ("", 200),
            (WINDOW, 404),
        ] {
            let willing = Willing { suggested: Some(suggested.into()), ..Willing::default() };
            willing.refusals.replace(vec![status; 100]);
            // None comes but the first.
            assert_eq!(keep(&willing, &NAMES_OF_SIGNED, &Memory::default(), 3 * DAY).await.len(), 1);
            assert_eq!(pauses(&willing)[..10], [360; 10], "{suggested} {status}");
        }
    });
}

/// An error that may pass: it is asked again soon, some times, and then as after one that lasts. An answer ends that.
#[test]
fn an_authority_without_an_answer_is_asked_again_some_times() {
    run(async {
        let willing = Willing { suggested: Some(WINDOW.into()), ..Willing::default() };
        willing.refusals.replace([vec![503; 2], vec![200], vec![503; 7]].concat());
        keep(&willing, &NAMES_OF_SIGNED, &Memory::default(), 3 * DAY).await;
        assert_eq!(pauses(&willing)[..11], [1, 2, 4, 8, 16, 360, 360, 360, 1, 2, 360]);
    });
}

/// Takes nothing so many times, then as [`Memory`].
struct Late(u64, Memory);

impl Storage for Late {
    type Error = &'static str;
    async fn load(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        self.1.load().await
    }
    async fn save(&mut self, octets: &[u8]) -> Result<(), &'static str> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Err("no room")
            }
            None => self.1.save(octets).await,
        }
    }
}

#[test]
fn what_could_not_be_kept_is_kept_later() {
    run(async {
        // The account, the certificate, and both again some times.
        for failures in [1, 2, 6] {
            let (willing, memory) = (Willing::new(0, 90 * 86_400), Memory::default());
            let keeper = Keeper {
                authority: Url::new("https://a.test/dir").unwrap(),
                settings: Settings::default(),
                names: Names::parse(&NAMES).unwrap(),
                ways: alloc::vec![Way::Http],
                responder: Responder::default(),
                transport: willing.clone(),
                storage: Late(failures, memory.clone()),
            };
            let keeping = keeper.open().await.unwrap();
            let status = keeping.status();
            let _ = timeout(DAY, keeping.run(is_shown)).await;
            assert_eq!((status.certificates(), status.unsaved()), (1, failures));
            let (state, errors) = State::from_octets(memory.0.borrow().as_ref().unwrap());
            assert!(errors.is_empty() && state.certificate.is_some());
            assert!(state.account.unwrap().1.url.is_some());
        }
    });
}

/// It is no success, and no reason to ask the authority for another one.
#[test]
fn what_cannot_be_shown_is_shown_later() {
    run(async {
        for failures in [0, 1, 3] {
            let willing = Willing::new(0, 90 * 86_400);
            let keeper = Keeper {
                authority: Url::new("https://a.test/dir").unwrap(),
                settings: Settings::default(),
                names: Names::parse(&NAMES).unwrap(),
                ways: alloc::vec![Way::Http],
                responder: Responder::default(),
                transport: willing.clone(),
                storage: Memory::default(),
            };
            let keeping = keeper.open().await.unwrap();
            let status = keeping.status();
            let (began, mut minutes) = (Instant::now(), Vec::new());
            let show = |_: &Issued| {
                minutes.push(Instant::now().duration_since(began).as_secs() / 60);
                if minutes.len() <= failures { Err("no memory for it") } else { Ok(()) }
            };
            let _ = timeout(DAY, keeping.run(show)).await;
            assert_eq!(minutes, [0, 20, 80, 140][..=failures]);
            assert_eq!((status.certificates(), status.failures()), (1, failures as u64));
            assert_eq!(willing.given.borrow().len(), 1);
            let failed = status.last_failure();
            let said = failed.as_ref().map(|failed| (failed.kind, &*failed.text));
            let wanted = ("unshown", "the certificate cannot be shown: no memory for it");
            assert_eq!(said, (failures > 0).then_some(wanted));
        }
    });
}

/// Twenty minutes are nearly all that is left of it.
#[test]
fn a_certificate_for_minutes_is_replaced_at_half_of_them() {
    run(async {
        // It begins an hour before it is said to: it is due after two minutes of nearly twenty-two.
        let willing = Willing::new(1300, 1310);
        let when = keep(&willing, &NAMES, &Memory::default(), DAY / 24).await;
        let pauses: Vec<_> = when.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(pauses.len(), 5);
        assert!(pauses.iter().all(|pause| (650..=655).contains(pause)), "{pauses:?}");
    });
}
