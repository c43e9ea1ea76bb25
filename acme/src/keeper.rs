//! A certificate for ever: the one that was kept, then another when two thirds of its time are over, each kept in its turn.

use crate::account::Settings;
use crate::{Account, Acquisition, Error, Issued, Names, Responder, State, Transport, Url, Way, obtain};
use alloc::vec::Vec;
use core::fmt;
use fata_libos::entropy;
use fata_libos::time::{Duration, SystemTime, sleep};
use fata_tls::issue::Validity;

/// The time until the next try, the first time, and each time twice as long until the last: where the authority was not reached, and
/// where it said no. Let's Encrypt, for one, counts five refusals an hour.
const UNREACHED: Duration = Duration::from_secs(60);
const REFUSED: Duration = Duration::from_secs(20 * 60);
const MAX_PAUSE: Duration = Duration::from_secs(12 * 3600);
/// How old a certificate gets at least.
const MIN_AGE: Duration = Duration::from_secs(20 * 60);
/// How long is slept at most before the wall clock is looked at again: it may have been set.
const NAP: Duration = Duration::from_secs(3600);

/// Where a [`State`] is kept.
pub trait Storage {
    /// Why it is not.
    type Error: fmt::Display;

    /// What was kept last, and perhaps octets behind it; `None` where nothing was.
    fn load(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, Self::Error>>;

    /// Keeps these octets in the place of those before, durably. [`State::MAX_LEN`] is the most, a few kB the rule.
    fn save(&mut self, octets: &[u8]) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Keeps a certificate for some names.
#[derive(Debug)]
pub struct Keeper<T, S> {
    /// The directory of the authority.
    pub authority: Url,
    /// The account's.
    pub settings: Settings,
    /// What the certificate is for. Wildcards cannot be.
    pub names: Names,
    /// How they are shown to be ours, the dearest first.
    pub ways: Vec<Way>,
    /// By what.
    pub responder: Responder,
    /// To the authority.
    pub transport: T,
    /// Of what has to outlive a restart.
    pub storage: S,
}

impl<T: Transport, S: Storage> Keeper<T, S> {
    /// Gives `show` the certificate that was kept, if it has not ended, and each one that comes. It ends with an error that nothing
    /// would change, such as terms that are not agreed to, or where what was kept cannot be had: an account anew at each start is what
    /// authorities refuse. What the authority refuses is logged, and asked again later, each time after twice as long.
    pub async fn run(
        mut self,
        mut show: impl FnMut(&Issued),
    ) -> Result<core::convert::Infallible, Failure<S::Error>> {
        let mut state = self.load().await?;
        if let Some((_, issued)) = &state.certificate
            && Validity::of(&issued.chain_pem).is_ok_and(|validity| validity.not_after > SystemTime::now())
        {
            show(issued);
        }
        let mut failures = 0;
        loop {
            sleep_until(self.due(&state)).await;
            match self.renew(&mut state).await {
                Ok(issued) => {
                    failures = 0;
                    show(&issued);
                    // Not at once again, whatever its dates are.
                    sleep(MIN_AGE).await;
                }
                Err(error) if is_final(&error) => return Err(Failure::Authority(error)),
                Err(error) => {
                    let pause = pause(&error, failures);
                    log::warn!("no certificate: {error}; the next try is in {} s", pause.as_secs());
                    failures += 1;
                    sleep(pause).await;
                }
            }
        }
    }

    async fn load(&mut self) -> Result<State, Failure<S::Error>> {
        if let Some(octets) = self.storage.load().await.map_err(Failure::Storage)? {
            match State::from_octets(&octets) {
                Ok(state) if state.authority == self.authority => return Ok(state),
                Ok(state) => {
                    log::info!("what was kept is of another authority, {}", state.authority.as_str())
                }
                Err(error) => log::warn!("{error}: begun anew"),
            }
        }
        let account = Account::generate().map_err(Failure::Authority)?;
        let state = State { authority: self.authority.clone(), account, certificate: None };
        // Before anybody hears of it: whoever restarts meanwhile is to be the same account.
        self.save(&state).await.map_err(Failure::Authority)?;
        Ok(state)
    }

    async fn save(&mut self, state: &State) -> Result<(), Error> {
        // What is not kept is there until the next restart, and is worth as much until then.
        if let Err(error) = self.storage.save(&state.to_octets()?).await {
            log::error!("account and certificate are not kept: {error}");
        }
        Ok(())
    }

    /// When the next certificate is to be had: at once where there is none for these names.
    fn due(&self, state: &State) -> SystemTime {
        let kept = state.certificate.as_ref().filter(|(names, _)| *names == self.names);
        let validity = kept.and_then(|(_, issued)| Validity::of(&issued.chain_pem).ok());
        validity.map_or(SystemTime::UNIX_EPOCH, |validity| validity.two_thirds())
    }

    async fn renew(&mut self, state: &mut State) -> Result<Issued, Error> {
        let (authority, settings) = (self.authority.clone(), self.settings.clone());
        let names = self.names.clone();
        let mut acquisition =
            Acquisition::new(authority, settings, state.account.clone(), names.clone(), &self.ways)?;
        let result = obtain(&mut acquisition, &mut self.transport, &self.responder).await;
        let is_new = state.account.url != acquisition.account().url;
        state.account = acquisition.account().clone();
        if let Err(Error::Refused { .. }) = &result {
            // Perhaps it does not know the account any more: some say that in words of their own. It is asked for it the next time.
            state.account.url = None;
        }
        if let Ok(issued) = &result {
            state.certificate = Some((names, issued.clone()));
        }
        if is_new || result.is_ok() {
            self.save(state).await?;
        }
        result
    }
}

/// Why a [`Keeper`] ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure<E: fmt::Display> {
    /// What was kept cannot be had.
    #[error("what was kept cannot be had: {0}")]
    Storage(E),
    /// What no later try would change.
    #[error(transparent)]
    Authority(#[from] Error),
}

/// Whether it will be the same however often it is tried.
fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::Wildcard(_)
            | Error::TermsNotAgreed(_)
            | Error::NoExternalAccount
            | Error::BadExternalAccount
            | Error::BadContact(_)
    )
}

/// The time until the next try: an eighth of it by chance, so that many guests do not ask at once.
fn pause(error: &Error, failures: u32) -> Duration {
    let first = if matches!(error, Error::Unreachable(_)) { UNREACHED } else { REFUSED };
    let own = first.saturating_mul(1 << failures.min(16)).min(MAX_PAUSE);
    let told = error.until().map(|until| until.since_unix().saturating_sub(SystemTime::now().since_unix()));
    let pause = own.max(told.unwrap_or_default());
    let mut octet = [0];
    // Without any there is no chance in it.
    let _ = entropy::try_fill(&mut octet);
    pause + pause / 8 * u32::from(octet[0]) / 256
}

/// By the wall clock.
async fn sleep_until(due: SystemTime) {
    loop {
        let left = due.since_unix().saturating_sub(SystemTime::now().since_unix());
        if left.is_zero() {
            return;
        }
        sleep(left.min(NAP)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, Response};
    use alloc::rc::Rc;
    use alloc::string::String;
    use core::cell::RefCell;
    use fata_libos::testing::run;
    use fata_libos::time::timeout;
    use fata_tls::issue::self_signed;

    const DAY: Duration = Duration::from_secs(86_400);

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
            assert!(State::from_octets(octets).is_ok_and(|state| state.certificate.is_none()));
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
        let certificate = Some((Names::parse(&["host.test"]).unwrap(), issued));
        let state = State { authority: authority(), account: Account::generate().unwrap(), certificate };
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
        let end = timeout(for_how_long, keeper.run(|_| shown += 1)).await;
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
            let mut state = State::from_octets(&kept(DAY).0.unwrap().unwrap()).unwrap();
            state.account.url = Some(Url::new("https://a.test/acct/1").unwrap());
            let keeper = Keeper {
                authority: authority(),
                settings: Settings::default(),
                names: Names::parse(&["other.test"]).unwrap(),
                ways: alloc::vec![Way::Http],
                responder: Responder::default(),
                transport: Forgetful(Rc::clone(&asked)),
                storage: Silent(state.to_octets().unwrap().to_vec()),
            };
            let _ = timeout(Duration::from_secs(1500), keeper.run(|_| ())).await;
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
            assert_eq!(
                (when.len(), end),
                (0, Some(Failure::Authority(Error::Wildcard("*.host.test".into()))))
            );
            // What cannot be read is as what is not there.
            let (_, when, end) = keep(Kept(Ok(Some(b"rubbish".into()))), lost(), "host.test", DAY).await;
            assert_eq!((when[0], end), (Duration::ZERO, None));
        });
    }
}
