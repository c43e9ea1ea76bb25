//! A certificate for ever: the one that was kept, then another when two thirds of its time are over, each kept in its turn.

use crate::account::Settings;
use crate::error::bounded;
use crate::renewal::certificate_id;
use crate::state::Certificate;
use crate::{
    Account, Acquisition, Error, Issued, Names, Responder, State, Status, Transport, Url, Way, obtain,
};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use fata_libos::entropy;
use fata_libos::time::{Duration, Instant, SystemTime, sleep};
use fata_tls::issue::{IssueError, Validity};
use hint::Hint;
use zeroize::Zeroizing;

/// The time until the next try, the first time, and each time twice as long until the last: where the authority was not reached, and
/// where it said no. Let's Encrypt, for one, counts five refusals an hour.
const UNREACHED: Duration = Duration::from_secs(60);
const REFUSED: Duration = Duration::from_secs(20 * 60);
const MAX_PAUSE: Duration = Duration::from_secs(12 * 3600);
/// The part of what is left of the certificate's time that is waited for at most.
const PART_OF_LEFT: u32 = 4;
/// How old a certificate gets at least, unless it is so short-lived that half of its time is less, and then not less than
/// [`UNREACHED`].
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
    /// How they are shown to be ours, the dearest first. Where the authority does not find them, the next one is tried the next time.
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
    /// authorities refuse. What the authority refuses is logged, and asked again later, each time after twice as long. What cannot be
    /// shown is logged and counted, and shown again later.
    pub async fn run<E: fmt::Display>(
        self,
        mut show: impl FnMut(&Issued) -> Result<(), E>,
    ) -> Result<core::convert::Infallible, Failure<S::Error>> {
        let mut keeping = self.open().await.map_err(Failure::Storage)?;
        if let Some(issued) = keeping.certificate().cloned() {
            keeping.show(&issued, &mut |issued| show(issued).map_err(|error| error.to_string()));
        }
        Err(Failure::Authority(keeping.run(show).await))
    }

    /// Looks at what was kept: a server begins with that. What is damaged is logged, and counts as not there.
    pub async fn open(mut self) -> Result<Keeping<T, S>, S::Error> {
        let mut state = match self.storage.load().await?.map(Zeroizing::new) {
            None => State::default(),
            Some(octets) => {
                let (state, errors) = State::from_octets(&octets);
                errors.iter().for_each(|error| log::error!("{error}: begun anew"));
                state
            }
        };
        if let Some((authority, _)) =
            state.account.as_ref().filter(|(authority, _)| *authority != self.authority)
        {
            log::info!("the kept account is of another authority, {}", authority.as_str());
            state.account = None;
        }
        let is_known = state.account.as_ref().is_some_and(|(_, account)| account.url.is_some())
            || state.certificate.as_ref().is_some_and(|kept| kept.authority == self.authority);
        let status = Rc::new(Status::default());
        let keeping = Keeping { keeper: self, state, status, is_unsaved: false, is_unshown: false, is_known };
        keeping.note_dates();
        Ok(keeping)
    }
}

/// A [`Keeper`] that knows what was kept.
#[derive(Debug)]
pub struct Keeping<T, S> {
    keeper: Keeper<T, S>,
    state: State,
    status: Rc<Status>,
    /// Whether the storage has not taken the state of now.
    is_unsaved: bool,
    /// Whether the certificate of now could not be shown.
    is_unshown: bool,
    /// Whether the authority has had an account of ours at any time.
    is_known: bool,
}

impl<T: Transport, S: Storage> Keeping<T, S> {
    /// The certificate that was kept, if it has not ended.
    pub fn certificate(&self) -> Option<&Issued> {
        let issued = &self.state.certificate.as_ref()?.issued;
        let validity = Validity::of(&issued.chain_pem).ok()?;
        (validity.not_after > SystemTime::now()).then_some(issued)
    }

    /// How it goes, as long as it goes.
    pub fn status(&self) -> Rc<Status> {
        self.status.clone()
    }

    /// Gives `show` each certificate that comes, again after twenty minutes and then each hour where it cannot be shown, until an
    /// error that nothing would change.
    pub async fn run<E: fmt::Display>(mut self, mut show: impl FnMut(&Issued) -> Result<(), E>) -> Error {
        let mut show = |issued: &Issued| show(issued).map_err(|error| error.to_string());
        let mut failures: u32 = 0;
        // What an authority suggests is asked for at the start, as it may have been off for long.
        let mut hint = Hint::default();
        self.look(&mut show).await;
        loop {
            self.wait(&mut hint, &mut show).await;
            match self.renew().await {
                Ok(issued) => {
                    self.status.certificates.set(self.status.certificates.get().wrapping_add(1));
                    self.note_dates();
                    let due = self.due();
                    // Not at once again, whatever its dates are. Where they are over when it comes one of the clocks is wrong, and another one
                    // would be no better: authorities count them.
                    let pause = if due > SystemTime::now() {
                        self.left().map_or(MIN_AGE, |left| (left / 2).clamp(UNREACHED, MIN_AGE))
                    } else {
                        own_pause(REFUSED, failures, MAX_PAUSE)
                    };
                    failures = if due > SystemTime::now() { 0 } else { failures + 1 };
                    self.status.next.set(Some(due.max(after(pause))));
                    self.show(&issued, &mut show);
                    if failures > 0 {
                        log::warn!(
                            "the certificate that has come is to be replaced already: is the clock right?"
                        );
                    }
                    self.pause(pause, &mut show).await;
                    hint = Hint::after(crate::renewal::USUAL);
                }
                Err(error) if is_final(&error, self.is_known) => {
                    self.status.failed(&error, None);
                    return error;
                }
                Err(error) => {
                    let pause = pause(&error, failures, self.left());
                    log::warn!("no certificate: {error}; the next try is in {} s", pause.as_secs());
                    self.status.failed(&error, Some(after(pause)));
                    failures += 1;
                    if let Error::NotOurs { .. } = error
                        && !self.keeper.ways.is_empty()
                    {
                        self.keeper.ways.rotate_left(1);
                    }
                    self.pause(pause, &mut show).await;
                }
            }
        }
    }

    fn note_dates(&self) {
        self.status
            .until
            .set(self.certificate().and_then(|issued| Some(Validity::of(&issued.chain_pem).ok()?.not_after)));
    }

    /// How long the certificate of now is valid yet.
    fn left(&self) -> Option<Duration> {
        let until = self.status.until.get()?.since_unix();
        until.checked_sub(SystemTime::now().since_unix())
    }

    /// The certificate for these names by this authority.
    fn kept(&self) -> Option<&Certificate> {
        let Keeper { authority, names, .. } = &self.keeper;
        let kept = self.state.certificate.as_ref();
        kept.filter(|kept| is_same(&kept.names, names) && kept.authority == *authority)
    }

    /// When the next certificate is to be had: at once where there is none for these names.
    fn due(&self) -> SystemTime {
        let validity = self.kept().and_then(|kept| Validity::of(&kept.issued.chain_pem).ok());
        validity.map_or(SystemTime::UNIX_EPOCH, |validity| validity.two_thirds())
    }

    /// Waits until the next certificate is to be had, by its dates or by what the authority suggests.
    async fn wait(&mut self, hint: &mut Hint, show: &mut impl FnMut(&Issued) -> Result<(), String>) {
        loop {
            let due =
                hint.due(self.due(), self.kept().and_then(|kept| Validity::of(&kept.issued.chain_pem).ok()));
            let now = SystemTime::now();
            self.status.next.set(Some(due.max(now)));
            if due <= now {
                return;
            }
            let id = self.kept().and_then(|kept| certificate_id(&kept.issued.chain_pem));
            if let Some(id) = id.filter(|_| hint.is_to_be_asked_for()) {
                let Keeper { authority, transport, .. } = &mut self.keeper;
                hint.came(crate::renewal::ask(transport, authority, &id, now).await);
                continue;
            }
            // The wall clock may be set meanwhile.
            sleep(due.since_unix().saturating_sub(now.since_unix()).min(NAP).min(hint.pause())).await;
            self.look(show).await;
        }
    }

    /// Sleeps for so long, and looks in between.
    async fn pause(&mut self, pause: Duration, show: &mut impl FnMut(&Issued) -> Result<(), String>) {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            sleep(end.duration_since(Instant::now()).min(NAP)).await;
            self.look(show).await;
        }
    }

    /// Makes good what could not be done before it was slept.
    async fn look(&mut self, show: &mut impl FnMut(&Issued) -> Result<(), String>) {
        // A clock that was ahead has been put right: what seemed to be over is valid.
        if self.status.until.get().is_none()
            && let Some(issued) = self.certificate()
        {
            log::info!("the certificate that was kept is valid, as the clock is now");
            let issued = issued.clone();
            self.note_dates();
            self.show(&issued, show);
        } else if self.is_unshown
            && let Some(issued) = self.certificate().cloned()
        {
            self.show(&issued, show);
        }
        if self.is_unsaved {
            match self.save().await {
                Ok(()) if !self.is_unsaved => log::info!("account and certificate are kept now"),
                Ok(()) => {}
                Err(error) => log::error!("account and certificate are not kept: {error}"),
            }
        }
    }

    /// Has it shown. Where it cannot be, another one of the authority's would hardly be better; what stands in its way, such as too little
    /// memory, may pass.
    fn show(&mut self, issued: &Issued, show: &mut impl FnMut(&Issued) -> Result<(), String>) {
        let shown = show(issued);
        self.is_unshown = shown.is_err();
        if let Err(why) = shown {
            let error = Error::Unshown(bounded(&why));
            log::error!("{error}; it is tried again");
            self.status.failed(&error, self.status.next());
        }
    }

    async fn save(&mut self) -> Result<(), Error> {
        self.is_unsaved = true;
        match self.keeper.storage.save(&self.state.to_octets()?).await {
            Ok(()) => self.is_unsaved = false,
            // What is not kept is there until the next restart, and is worth as much until then.
            Err(error) => {
                log::error!("account and certificate are not kept: {error}");
                self.status.unsaved.set(self.status.unsaved.get().wrapping_add(1));
            }
        }
        Ok(())
    }

    /// The account, which is made where there is none.
    async fn account(&mut self) -> Result<Account, Error> {
        if let Some((_, account)) = &self.state.account {
            return Ok(account.clone());
        }
        let account = Account::generate()?;
        self.state.account = Some((self.keeper.authority.clone(), account.clone()));
        // Before anybody hears of it: whoever restarts meanwhile is to be the same account.
        self.save().await?;
        Ok(account)
    }

    async fn renew(&mut self) -> Result<Issued, Error> {
        let account = self.account().await?;
        let before = self.kept().map(|kept| kept.issued.chain_pem.clone());
        let Keeper { authority, settings, names, ways, responder, transport, .. } = &mut self.keeper;
        let url = account.url.clone();
        let mut acquisition =
            Acquisition::new(authority.clone(), settings.clone(), account, names.clone(), ways)?;
        if let Some(before) = before {
            acquisition = acquisition.replacing(&before);
        }
        let result = obtain(&mut acquisition, transport, responder).await;
        let mut account = acquisition.account().clone();
        let is_new = url != account.url;
        self.is_known |= account.url.is_some();
        if let Err(Error::Refused { .. }) = &result {
            // Perhaps it does not know the account any more: some say that in words of their own. It is asked for it the next time.
            account.url = None;
        }
        self.state.account = Some((authority.clone(), account));
        if let Ok(issued) = &result {
            let (authority, names) = (authority.clone(), names.clone());
            self.state.certificate = Some(Certificate { authority, names, issued: issued.clone() });
        }
        if is_new || result.is_ok() {
            self.save().await?;
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

/// Whether it will be the same however often it is tried. That an account is to be bound is the authority's word alone: from one that
/// had an account of ours, which `is_known` says, it may be a passing fault of its.
fn is_final(error: &Error, is_known: bool) -> bool {
    match error {
        Error::Wildcard(_) | Error::TermsNotAgreed(_) | Error::BadExternalAccount | Error::BadContact(_) => {
            true
        }
        Error::NoExternalAccount => !is_known,
        _ => false,
    }
}

/// The time until the next try: an eighth of it by chance, so that many guests do not ask at once. `left` is what the certificate of now
/// has: one that is valid for hours alone is not slept over.
fn pause(error: &Error, failures: u32, left: Option<Duration>) -> Duration {
    let is_near =
        matches!(error, Error::Unreachable(_) | Error::Issue(IssueError::NoEntropy(_) | IssueError::Failed));
    let first = if is_near { UNREACHED } else { REFUSED };
    let most = left.map_or(MAX_PAUSE, |left| (left / PART_OF_LEFT).clamp(first, MAX_PAUSE));
    let own = own_pause(first, failures, most);
    let told = error.until().map(|until| until.since_unix().saturating_sub(SystemTime::now().since_unix()));
    let pause = own.max(told.unwrap_or_default());
    let mut octet = [0];
    // Without any there is no chance in it.
    let _ = entropy::try_fill(&mut octet);
    pause + pause / 8 * u32::from(octet[0]) / 256
}

/// Each time twice as long.
fn own_pause(first: Duration, failures: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << failures.min(16)).min(most)
}

/// Whether they are the same names, in whatever order.
fn is_same(one: &Names, other: &Names) -> bool {
    // None is in it twice.
    one.iter().count() == other.iter().count() && one.iter().all(|name| other.iter().any(|o| o == name))
}

/// From now on.
fn after(pause: Duration) -> SystemTime {
    SystemTime::from_unix(SystemTime::now().since_unix().saturating_add(pause))
}

mod hint;
#[cfg(test)]
mod issuing;
#[cfg(test)]
mod tests;
