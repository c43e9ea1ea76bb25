use super::*;
use crate::{Problem, Request, Response};
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use fata_libos::entropy::EntropyError;
use fata_libos::testing::{VirtualPlatform, run, run_on};
use fata_libos::time::timeout;
use fata_tls::issue::self_signed;

const DAY: Duration = Duration::from_secs(86_400);

/// Whatever it is.
pub(super) fn is_shown(_: &Issued) -> Result<(), &'static str> {
    Ok(())
}

/// An authority that answers each request alike; when it was asked.
#[derive(Clone)]
struct Asked {
    answer: Result<Response, &'static str>,
    when: Rc<RefCell<Vec<SystemTime>>>,
}

impl Transport for Asked {
    type Error = &'static str;
    async fn send(&mut self, _: &Request) -> Result<Response, &'static str> {
        self.when.borrow_mut().push(SystemTime::now());
        self.answer.clone()
    }
}

/// A storage that has this, or is broken.
struct Kept(Result<Option<Vec<u8>>, &'static str>);

impl Storage for Kept {
    type Error = &'static str;
    async fn load(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        self.0.clone()
    }
    async fn save(&mut self, octets: &[u8]) -> Result<(), &'static str> {
        let (state, errors) = State::from_octets(octets);
        assert!(state.account.is_some() && state.certificate.is_none() && errors.is_empty());
        Ok(())
    }
}

fn authority() -> Url {
    Url::new("https://a.test/dir").unwrap()
}

/// A state with a certificate from now on for so long.
fn kept(lasts: Duration) -> Kept {
    let now = SystemTime::now();
    let end = SystemTime::from_unix(now.since_unix() + lasts);
    let issued = self_signed(&["host.test"], now, end).unwrap();
    let names = Names::parse(&["host.test"]).unwrap();
    let certificate = Some(Certificate { authority: authority(), names, issued });
    let state = State { account: Some((authority(), Account::generate().unwrap())), certificate };
    Kept(Ok(Some(state.to_octets().unwrap().to_vec())))
}

/// Keeps for so long: how many certificates were shown, and after what times the authority was asked.
async fn keep(
    storage: Kept,
    answer: Result<Response, &'static str>,
    names: &str,
    for_how_long: Duration,
) -> (usize, Vec<Duration>, Option<Failure<&'static str>>) {
    let (asked, mut shown) = (Asked { answer, when: Rc::default() }, 0);
    let keeper = Keeper {
        authority: authority(),
        settings: Settings::default(),
        names: Names::parse(&[names]).unwrap(),
        ways: alloc::vec![Way::Http],
        responder: Responder::default(),
        transport: asked.clone(),
        storage,
    };
    let began = SystemTime::now().since_unix();
    let end = timeout(
        for_how_long,
        keeper.run(|issued| {
            shown += 1;
            is_shown(issued)
        }),
    )
    .await;
    let when = asked.when.take().iter().map(|when| when.since_unix() - began).collect();
    (shown, when, end.ok().map(|end| end.unwrap_err()))
}

#[test]
fn two_thirds_of_a_certificate_are_waited_for() {
    run(async {
        let lost = Err("no route");
        let (shown, when, _) = keep(kept(90 * DAY), lost.clone(), "host.test", 61 * DAY).await;
        assert_eq!(shown, 1);
        // It begins an hour before it was made.
        let due = 60 * DAY - Duration::from_secs(1200);
        assert!(when[0].abs_diff(due) < Duration::from_secs(2), "{:?}", when[0]);
        // Other names want one at once, and what has ended is not shown.
        let (shown, when, _) = keep(kept(90 * DAY), lost.clone(), "other.test", DAY).await;
        assert_eq!((shown, when[0]), (1, Duration::ZERO));
        let storage = kept(DAY);
        fata_libos::time::sleep(2 * DAY).await;
        let (shown, when, _) = keep(storage, lost, "host.test", DAY).await;
        assert_eq!((shown, when[0]), (0, Duration::ZERO));
    });
}

#[test]
fn who_is_refused_asks_again_later_each_time() {
    run(async {
        let refusal = Response { status: 403, ..Response::default() };
        let (_, when, end) = keep(Kept(Ok(None)), Ok(refusal), "host.test", 3 * DAY).await;
        assert_eq!(end, None);
        let pauses: Vec<_> = when.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (n, pause) in pauses.iter().enumerate() {
            let own = Duration::from_secs(1200 << n.min(16)).min(MAX_PAUSE);
            assert!(*pause >= own && *pause <= own + own / 8, "{n}: {pause:?}");
        }
        assert_eq!(*pauses.iter().map(|pause| pause.as_secs() / 43_200).max().as_ref().unwrap(), 1);
        // When it said when.
        let later = alloc::vec![("Retry-After".into(), "200000".into())];
        let limited = Response { status: 429, fields: later, ..Response::default() };
        let (_, when, _) = keep(Kept(Ok(None)), Ok(limited), "host.test", 3 * DAY).await;
        assert!(when[1] - when[0] >= Duration::from_secs(200_000), "{when:?}");
        // Who is not there is asked sooner: six times within a minute, and again after one.
        let (_, when, _) = keep(Kept(Ok(None)), Err("no route"), "host.test", DAY).await;
        assert_eq!(when[5], Duration::from_secs(2 + 4 + 8 + 16 + 32));
        assert!((60..68).contains(&(when[6] - when[5]).as_secs()), "{when:?}");
    });
}

/// An authority that has forgotten its accounts, and says so as caddy 2.6 does; the URLs that it was asked with.
struct Forgetful(Rc<RefCell<Vec<String>>>);

impl Transport for Forgetful {
    type Error = &'static str;
    async fn send(&mut self, request: &Request) -> Result<Response, &'static str> {
        let path = request.url.as_str().rsplit('/').next().unwrap();
        self.0.borrow_mut().push(path.into());
        let fields = alloc::vec![("Replay-Nonce".into(), "nonce".into())];
        let directory = r#"{"newNonce":"https://a.test/nonce","newAccount":"https://a.test/account",
            "newOrder":"https://a.test/order"}"#;
        let status = if matches!(path, "order" | "account") { 500 } else { 200 };
        Ok(Response { status, fields, body: directory.into() })
    }
}

#[test]
fn an_authority_that_refuses_is_asked_for_the_account_the_next_time() {
    run(async {
        let asked = Rc::default();
        let (mut state, _) = State::from_octets(&kept(DAY).0.unwrap().unwrap());
        state.account.as_mut().unwrap().1.url = Some(Url::new("https://a.test/acct/1").unwrap());
        let keeper = Keeper {
            authority: authority(),
            settings: Settings::default(),
            names: Names::parse(&["other.test"]).unwrap(),
            ways: alloc::vec![Way::Http],
            responder: Responder::default(),
            transport: Forgetful(Rc::clone(&asked)),
            storage: Silent(state.to_octets().unwrap().to_vec()),
        };
        let _ = timeout(Duration::from_secs(1500), keeper.run(is_shown)).await;
        let mut asked: Vec<String> = asked.take();
        asked.dedup();
        assert_eq!(asked, ["dir", "order", "dir", "account"]);
    });
}

/// As [`Kept`], and takes what it is given.
struct Silent(Vec<u8>);

impl Storage for Silent {
    type Error = &'static str;
    async fn load(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        Ok(Some(self.0.clone()))
    }
    async fn save(&mut self, _: &[u8]) -> Result<(), &'static str> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_had_or_changed_ends_it() {
    run(async {
        let lost = || Err("no route");
        let (_, when, end) = keep(Kept(Err("broken")), lost(), "host.test", DAY).await;
        assert_eq!((when.len(), end), (0, Some(Failure::Storage("broken"))));
        let (_, when, end) = keep(Kept(Ok(None)), lost(), "*.host.test", DAY).await;
        assert_eq!((when.len(), end), (0, Some(Failure::Authority(Error::Wildcard("*.host.test".into())))));
        // What cannot be read is as what is not there.
        let (_, when, end) = keep(Kept(Ok(Some(b"rubbish".into()))), lost(), "host.test", DAY).await;
        assert_eq!((when[0], end), (Duration::ZERO, None));
    });
}

fn keeper<T: Transport, S: Storage>(transport: T, storage: S) -> Keeper<T, S> {
    Keeper {
        authority: authority(),
        settings: Settings::default(),
        names: Names::parse(&["host.test"]).unwrap(),
        ways: alloc::vec![Way::Http, Way::TlsAlpn],
        responder: Responder::default(),
        transport,
        storage,
    }
}

#[test]
fn a_damaged_part_leaves_the_other() {
    run(async {
        let octets = kept(90 * DAY).0.unwrap().unwrap();
        let (state, _) = State::from_octets(&octets);
        let key = state.account.unwrap().1.key.public();
        // The certificate: it is asked for another one at once, by the same account.
        let mut damaged = octets.clone();
        let at = damaged.windows(17).position(|w| w == b"part certificate ").unwrap();
        damaged[at + 200] ^= 1;
        let keeping = keeper(Silence, Silent(damaged)).open().await.unwrap();
        assert!(keeping.certificate().is_none());
        assert_eq!(keeping.state.account.as_ref().unwrap().1.key.public(), key);
        // The account: the certificate is shown, and another account made when it is due.
        let mut damaged = octets;
        damaged[100] ^= 1;
        let mut keeping = keeper(Silence, Silent(damaged)).open().await.unwrap();
        assert!(keeping.certificate().is_some() && keeping.state.account.is_none());
        assert_ne!(keeping.account().await.unwrap().key.public(), key);
    });
}

#[test]
fn another_authority_has_another_account_and_the_certificate_stays_until_its_own_comes() {
    run(async {
        let octets = kept(90 * DAY).0.unwrap().unwrap();
        let mut keeper = keeper(Silence, Silent(octets));
        keeper.authority = Url::new("https://b.test/dir").unwrap();
        let keeping = keeper.open().await.unwrap();
        assert!(keeping.certificate().is_some() && keeping.state.account.is_none());
        assert_eq!(keeping.due(), SystemTime::UNIX_EPOCH);
    });
}

/// Nobody answers.
struct Silence;

impl Transport for Silence {
    type Error = &'static str;
    async fn send(&mut self, _: &Request) -> Result<Response, &'static str> {
        Err("no route")
    }
}

#[test]
fn how_it_goes_is_told() {
    run(async {
        let keeping = keeper(Silence, kept(90 * DAY)).open().await.unwrap();
        let status = keeping.status();
        let until = Validity::of(&keeping.certificate().unwrap().chain_pem).unwrap();
        assert_eq!((status.until(), status.next()), (Some(until.not_after), None));
        let _ = timeout(DAY, keeping.run(is_shown)).await;
        assert_eq!((status.next(), status.failures()), (Some(until.two_thirds()), 0));
        // Where there is none.
        let keeping = keeper(Silence, Kept(Ok(None))).open().await.unwrap();
        let status = keeping.status();
        let began = SystemTime::now().since_unix();
        let _ = timeout(Duration::from_secs(100), keeping.run(is_shown)).await;
        let failed = status.last_failure().unwrap();
        assert_eq!((status.until(), status.failures(), status.unsaved()), (None, 1, 0));
        assert_eq!((failed.kind, &*failed.text), ("unreachable", "the authority is not reached: no route"));
        let next = status.next().unwrap().since_unix() - began;
        assert!((122..130).contains(&next.as_secs()), "{next:?}");
        // What no later try would change.
        let mut wildcard = keeper(Silence, Kept(Ok(None)));
        wildcard.names = Names::parse(&["*.host.test"]).unwrap();
        let keeping = wildcard.open().await.unwrap();
        let status = keeping.status();
        assert!(matches!(keeping.run(is_shown).await, Error::Wildcard(_)));
        assert_eq!((status.next(), status.last_failure().unwrap().kind), (None, "settings"));
    });
}

/// A storage that takes nothing.
struct Full;

impl Storage for Full {
    type Error = &'static str;
    async fn load(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        Ok(None)
    }
    async fn save(&mut self, _: &[u8]) -> Result<(), &'static str> {
        Err("no room")
    }
}

#[test]
fn what_cannot_be_kept_is_counted() {
    run(async {
        let keeping = keeper(Silence, Full).open().await.unwrap();
        let status = keeping.status();
        let _ = timeout(Duration::from_secs(100), keeping.run(is_shown)).await;
        assert_eq!((status.unsaved(), status.failures()), (1, 1));
    });
}

/// No random octets is what may pass, and a certificate that is valid for hours alone is not slept over.
#[test]
fn pauses_are_as_long_as_the_reason_wants() {
    run(async {
        let minutes = |error: &Error, failures, left| pause(error, failures, left).as_secs() / 60;
        let refused = Error::OrderEnded(Problem { kind: String::new(), detail: String::new() });
        let no_entropy = Error::Issue(IssueError::NoEntropy(EntropyError::Missing));
        assert!(!is_final(&no_entropy, false) && !is_final(&refused, false));
        assert_eq!(minutes(&no_entropy, 0, None), 1);
        assert!((20..=22).contains(&minutes(&refused, 0, None)));
        assert!((720..=810).contains(&minutes(&refused, 10, None)));
        assert!((60..=68).contains(&minutes(&refused, 10, Some(Duration::from_secs(4 * 3600)))));
        assert!((20..=22).contains(&minutes(&refused, 10, Some(Duration::ZERO))));
    });
}

/// An authority that does not find what is shown by any challenge; which ones it was told of.
struct Blind(Rc<RefCell<Vec<String>>>);

impl Transport for Blind {
    type Error = &'static str;
    async fn send(&mut self, request: &Request) -> Result<Response, &'static str> {
        let path = request.url.as_str().rsplit('/').next().unwrap();
        let is_told = self.0.borrow().last().is_none_or(|last| last != "asked");
        let body = match path {
            "dir" => {
                self.0.borrow_mut().push("asked".into());
                r#"{"newNonce":"https://a.test/nonce","newAccount":"https://a.test/account",
                    "newOrder":"https://a.test/order"}"#
            }
            "order" => {
                r#"{"status":"pending","authorizations":["https://a.test/authz"],"finalize":"https://a.test/f"}"#
            }
            "authz" if is_told => {
                r#"{"status":"invalid","identifier":{"type":"dns","value":"host.test"},"challenges":[]}"#
            }
            "authz" => {
                r#"{"status":"pending","identifier":{"type":"dns","value":"host.test"},"challenges":[
                    {"type":"http-01","url":"https://a.test/http","token":"a"},
                    {"type":"tls-alpn-01","url":"https://a.test/alpn","token":"b"}]}"#
            }
            "http" | "alpn" => {
                self.0.borrow_mut().push(path.into());
                "{}"
            }
            _ => "{}",
        };
        let fields = [("Replay-Nonce", "nonce"), ("Location", "https://a.test/place")];
        let fields = fields.map(|(name, value)| (name.into(), value.into())).into();
        Ok(Response { status: 200, fields, body: body.into() })
    }
}

#[test]
fn where_one_way_does_not_lead_the_next_one_is_tried() {
    run(async {
        let told = Rc::default();
        let keeping = keeper(Blind(Rc::clone(&told)), Kept(Ok(None))).open().await.unwrap();
        let _ = timeout(Duration::from_secs(6 * 3600), keeping.run(is_shown)).await;
        let told: Vec<String> = told.take().into_iter().filter(|path| path != "asked").collect();
        assert_eq!(told[..4], ["http", "alpn", "http", "alpn"]);
    });
}

/// A machine whose clock is a hundred days ahead when it starts, and is put right two days later.
#[test]
fn a_certificate_that_is_valid_by_a_clock_put_right_is_shown() {
    let platform = VirtualPlatform::new();
    let right = platform.wall_start.get();
    run_on(platform, async {
        let storage = kept(90 * DAY);
        platform.wall_start.set(right + 100 * DAY);
        let keeping = keeper(Silence, storage).open().await.unwrap();
        let status = keeping.status();
        assert!(keeping.certificate().is_none() && status.until().is_none());
        let (shown, before) = (Rc::new(RefCell::new(0)), Rc::new(RefCell::new(None)));
        let (count, noted) = (Rc::clone(&shown), (Rc::clone(&shown), Rc::clone(&before)));
        fata_libos::spawn(async move {
            fata_libos::time::sleep(2 * DAY).await;
            *noted.1.borrow_mut() = Some(*noted.0.borrow());
            platform.wall_start.set(right);
        })
        .detach();
        timeout(
            4 * DAY,
            keeping.run(|issued| {
                *count.borrow_mut() += 1;
                is_shown(issued)
            }),
        )
        .await
        .unwrap_err();
        assert_eq!((*before.borrow(), *shown.borrow()), (Some(0), 1));
        let until = status.until().unwrap().since_unix() - right;
        assert_eq!(until.as_secs() / 86_400, 90);
    });
}

/// An authority that has lost its accounts, and makes none without a binding.
struct Bound;

impl Transport for Bound {
    type Error = &'static str;
    async fn send(&mut self, request: &Request) -> Result<Response, &'static str> {
        let path = request.url.as_str().rsplit('/').next().unwrap();
        let (status, body) = match path {
            "order" | "account" => (400, r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#),
            _ => {
                let directory = r#"{"newNonce":"https://a.test/nonce","newAccount":"https://a.test/account",
                    "newOrder":"https://a.test/order","meta":{"externalAccountRequired":true}}"#;
                (200, directory)
            }
        };
        let fields = alloc::vec![("Replay-Nonce".into(), "nonce".into())];
        Ok(Response { status, fields, body: body.into() })
    }
}

#[test]
fn an_authority_that_had_an_account_of_ours_ends_nothing_by_wanting_a_binding() {
    run(async {
        let (state, _) = State::from_octets(&kept(DAY).0.unwrap().unwrap());
        let (_, account) = state.account.clone().unwrap();
        let known = Account { url: Some(Url::new("https://a.test/acct/1").unwrap()), ..account.clone() };
        let of = |authority: &str| {
            let certificate = state.certificate.clone().unwrap();
            Some(Certificate { authority: Url::new(authority).unwrap(), ..certificate })
        };
        for (account, certificate, is_final) in [
            (account.clone(), None, true),
            (account.clone(), of("https://b.test/dir"), true),
            (account, of("https://a.test/dir"), false),
            (known, None, false),
        ] {
            let state = State { account: Some((authority(), account)), certificate };
            let storage = Silent(state.to_octets().unwrap().to_vec());
            let end = timeout(7 * DAY, keeper(Bound, storage).run(is_shown)).await;
            let expected = is_final.then_some(Failure::Authority(Error::NoExternalAccount));
            assert_eq!(end.ok().map(|end| end.unwrap_err()), expected);
        }
    });
}
