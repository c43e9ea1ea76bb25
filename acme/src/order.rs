//! Getting one certificate (RFC 8555 section 7): what is asked next, and what an answer changes. Nothing here waits or sends.

use crate::account::{EXISTING, Settings};
use crate::challenge::not_ours;
use crate::exchange::{Ask, Came, Exchange, How, MAX_WAIT, Now, retry_after};
use crate::wire::{self, Authorization, Directory, MAX_AUTHORIZATIONS, Status};
use crate::{Account, Challenge, Error, Problem, Request, Response, Url, Way};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_libos::time::{Duration, Instant};
use fata_tls::issue::{self, Issued, Names, PrivateKey};

/// How often an authority that has looked in vain is told to look again.
const MAX_RETRIES: u32 = 3;
/// How long an authority may take to look at a challenge, and to make a certificate.
const MAX_TIME: Duration = Duration::from_secs(600);
/// The time between two questions whether it is done, where the authority does not say: from and to.
const POLL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// What has to be done next.
#[derive(Debug)]
pub enum Action {
    /// Send this, and tell what came of it by [`Acquisition::received`].
    Send(Request),
    /// Do nothing until then.
    Wait(Instant),
    /// Show this, and say so by [`Acquisition::presented`].
    Present(Challenge),
    /// It is there.
    Done(Issued),
}

/// Where it stands.
#[derive(Debug)]
enum Step {
    Directory,
    Account,
    Order,
    /// Of this number, not looked at yet.
    Authorization(usize),
    Present(usize, Challenge),
    /// Tells the authority that it may look.
    Respond(usize, Challenge),
    /// Asks whether it has looked.
    Looked(usize, Challenge),
    Finalize,
    Made,
    Certificate(Url),
    Done(Issued),
}

impl Step {
    const fn doing(&self) -> &'static str {
        match self {
            Self::Directory => "say what it offers",
            Self::Account => "give an account",
            Self::Order => "take an order",
            Self::Authorization(_) => "say how a name is shown to be ours",
            Self::Present(..) | Self::Respond(..) | Self::Looked(..) => "look whether a name is ours",
            Self::Finalize | Self::Made => "make a certificate",
            Self::Certificate(_) | Self::Done(_) => "give the certificate out",
        }
    }
}

/// The URLs of an order.
#[derive(Debug)]
struct Order {
    url: Url,
    authorizations: Vec<Url>,
    finalize: Url,
}

/// The way to one certificate.
#[derive(Debug)]
pub struct Acquisition {
    entry: Url,
    settings: Settings,
    account: Account,
    names: Names,
    ways: Vec<Way>,
    pub(crate) key: PrivateKey,
    directory: Option<Directory>,
    order: Option<Order>,
    step: Step,
    exchange: Exchange,
    /// When what is waited for began, and how often it was asked for.
    since: Option<Instant>,
    polls: u32,
    /// How often the authority was told to look again.
    retries: u32,
    /// Whether an account that the authority did not know was replaced.
    is_reborn: bool,
    /// Whether it makes no account without a binding that there is not.
    is_unbound: bool,
    /// The certificate that this one is to replace, by its name (RFC 9773 section 5).
    replaces: Option<String>,
}

impl Acquisition {
    /// For these names, by the first of these ways that the authority offers, from the authority whose directory is at `entry`. The
    /// certificate gets a new key.
    pub fn new(
        entry: Url,
        settings: Settings,
        account: Account,
        names: Names,
        ways: &[Way],
    ) -> Result<Self, Error> {
        if let Some(name) = names.iter().find(|name| name.is_wildcard()) {
            return Err(Error::Wildcard(name.to_string()));
        }
        Ok(Self {
            entry,
            settings,
            account,
            names,
            ways: ways.to_vec(),
            key: PrivateKey::generate()?,
            directory: None,
            order: None,
            step: Step::Directory,
            exchange: Exchange::default(),
            since: None,
            polls: 0,
            retries: 0,
            is_reborn: false,
            is_unbound: false,
            replaces: None,
        })
    }

    /// Tells the authority, if it is one that wants to know (RFC 9773), which of its certificates this one is to replace: that at the
    /// beginning of this chain.
    pub fn replacing(mut self, chain_pem: &str) -> Self {
        self.replaces = crate::renewal::certificate_id(chain_pem);
        self
    }

    /// The account, with what the authority has said of it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What has to be done. Until it is done, the answer is the same, or another of the same worth.
    pub fn next(&mut self, now: Now) -> Result<Action, Error> {
        match (&self.step, self.exchange.not_before) {
            (Step::Done(issued), _) => return Ok(Action::Done(issued.clone())),
            (Step::Present(_, challenge), _) => return Ok(Action::Present(challenge.clone())),
            (_, Some(until)) if now.instant < until => return Ok(Action::Wait(until)),
            _ => self.exchange.not_before = None,
        }
        let ask = Ask { doing: self.step.doing(), how: self.how()? };
        let request = self.exchange.request(ask, self.directory.as_ref(), &self.account)?;
        Ok(Action::Send(request))
    }

    /// What [`Action::Present`] gave is shown.
    pub fn presented(&mut self) {
        if let Step::Present(n, challenge) = &self.step {
            self.step = Step::Respond(*n, challenge.clone());
        }
    }

    fn how(&self) -> Result<How, Error> {
        let directory = self.directory.as_ref();
        let missing =
            |what: &str| Error::BadAnswer { doing: self.step.doing(), why: format!("no {what} is known") };
        let as_get = |url: &Url| How::ByAccount(url.clone(), Vec::new());
        let order = || self.order.as_ref().ok_or_else(|| missing("order"));
        Ok(match &self.step {
            Step::Directory => How::Get(self.entry.clone()),
            Step::Account => {
                let url = &directory.ok_or_else(|| missing("directory"))?.new_account;
                let payload = match self.is_unbound {
                    true => EXISTING.into(),
                    false => self.settings.payload(&self.account.key, url.as_str())?,
                };
                How::ByKey(url.clone(), payload.into())
            }
            Step::Order => {
                let url = &directory.ok_or_else(|| missing("directory"))?.new_order;
                How::ByAccount(url.clone(), self.identifiers().into())
            }
            Step::Authorization(n) | Step::Looked(n, _) => {
                as_get(order()?.authorizations.get(*n).ok_or_else(|| missing("authorization"))?)
            }
            Step::Present(_, challenge) | Step::Respond(_, challenge) => {
                How::ByAccount(challenge.url.clone(), b"{}".into())
            }
            Step::Finalize => {
                let request = csr(&self.key, &self.names)?;
                How::ByAccount(order()?.finalize.clone(), request.into())
            }
            Step::Made | Step::Done(_) => as_get(&order()?.url),
            Step::Certificate(url) => as_get(url),
        })
    }

    /// Of an order (section 7.4): addresses are of a type of their own (RFC 8738).
    fn identifiers(&self) -> String {
        let identifier = |name: &issue::Name| {
            let kind = if name.address().is_some() { "ip" } else { "dns" };
            format!(r#"{{"type":"{kind}","value":"{name}"}}"#)
        };
        let identifiers: Vec<_> = self.names.iter().map(identifier).collect();
        let replaces = self.replaces.as_ref().map(|id| format!(r#","replaces":"{id}""#)).unwrap_or_default();
        format!(r#"{{"identifiers":[{}]{replaces}}}"#, identifiers.join(","))
    }

    /// What came of a request, or why nothing did. An error ends it: what follows is another acquisition, with the same
    /// [`account`](Self::account).
    pub fn received(&mut self, now: Now, result: Result<Response, String>) -> Result<(), Error> {
        let doing = self.step.doing();
        match self.exchange.came(doing, now, result)? {
            Came::Again => Ok(()),
            Came::Answer(response) => self.answered(doing, now, &response),
            Came::Refusal(status, problem) => self.refused(doing, now, status, problem),
        }
    }

    fn refused(&mut self, doing: &'static str, now: Now, status: u16, problem: Problem) -> Result<(), Error> {
        match (problem.kind.as_str(), &self.step) {
            // It knows better which one was replaced, or does not know it at all, or as another account's, and says so in words of its
            // own: whatever is wrong with the order, it is asked for without that, once.
            (kind, Step::Order) if kind != "accountDoesNotExist" && self.replaces.take().is_some() => Ok(()),
            // The account that was kept is not there any more.
            ("accountDoesNotExist", Step::Order) if !self.is_reborn => {
                self.is_reborn = true;
                self.account.url = None;
                // Which is the other account's.
                self.replaces = None;
                self.step = Step::Account;
                Ok(())
            }
            ("accountDoesNotExist", Step::Account) if self.is_unbound => Err(Error::NoExternalAccount),
            // It has looked, or does, after an answer that was lost.
            ("malformed", Step::Respond(n, challenge)) => {
                self.step = Step::Looked(*n, challenge.clone());
                self.since = None;
                self.wait(doing, now, None)
            }
            // It has more to do before (section 7.4).
            ("orderNotReady", Step::Finalize) => {
                self.step = Step::Made;
                self.wait(doing, now, None)
            }
            _ => Err(Error::Refused { doing, status, problem }),
        }
    }

    fn answered(&mut self, doing: &'static str, now: Now, response: &Response) -> Result<(), Error> {
        let bad = |why: &str| Error::BadAnswer { doing, why: why.into() };
        match &self.step {
            Step::Directory => {
                let directory: Directory = wire::read(doing, &response.body)?;
                self.settings.check(&directory.meta)?;
                self.replaces = self.replaces.take().filter(|_| directory.renewal_info.is_some());
                // Who has the key of an account needs no binding any more, which may be worth something only once.
                self.is_unbound = directory.meta.external_account_required && !self.settings.is_bound();
                self.directory = Some(directory);
                self.step = if self.account.url.is_some() { Step::Order } else { Step::Account };
            }
            Step::Account => {
                let url = response.field("Location").ok_or_else(|| bad("there is no Location"))?;
                self.account.url = Some(Url::new(url)?);
                self.step = Step::Order;
            }
            Step::Order => {
                let url = Url::new(response.field("Location").ok_or_else(|| bad("there is no Location"))?)?;
                let order: wire::Order = wire::read(doing, &response.body)?;
                if !(1..=MAX_AUTHORIZATIONS).contains(&order.authorizations.len()) {
                    return Err(bad("there are no authorizations, or too many"));
                }
                self.order = Some(Order {
                    url,
                    authorizations: order.authorizations.clone(),
                    finalize: order.finalize.clone(),
                });
                match order.status {
                    Status::Pending => self.step = Step::Authorization(0),
                    _ => self.ordered(doing, now, response, order)?,
                }
            }
            Step::Authorization(n) => {
                let n = *n;
                let authorization: Authorization = wire::read(doing, &response.body)?;
                match authorization.status {
                    Status::Valid => self.authorized(n),
                    Status::Pending => {
                        self.retries = 0;
                        let name = authorization
                            .name(&self.names)
                            .ok_or_else(|| bad("it wants to know of a name that the order does not have"))?;
                        let challenge = Challenge::choose(&authorization, name, &self.ways, &self.account)?;
                        self.step = Step::Present(n, challenge);
                    }
                    _ => return Err(not_ours(&authorization, None)),
                }
            }
            Step::Respond(n, challenge) => {
                self.step = Step::Looked(*n, challenge.clone());
                self.polls = 0;
                self.wait(doing, now, retry_after(response, now.wall))?;
            }
            Step::Looked(n, challenge) => {
                let (n, challenge) = (*n, challenge.clone());
                let authorization: Authorization = wire::read(doing, &response.body)?;
                match authorization.status {
                    Status::Valid => self.authorized(n),
                    Status::Pending | Status::Processing => {
                        self.wait(doing, now, retry_after(response, now.wall))?;
                        // It has looked in vain, and looks again if it is told to (section 8.2).
                        if let Some(known) = challenge.in_vain(&authorization, self.polls) {
                            if self.retries == MAX_RETRIES {
                                return Err(not_ours(&authorization, Some(&challenge)));
                            }
                            self.retries += 1;
                            self.step = Step::Respond(n, Challenge { known: Some(known), ..challenge });
                        }
                    }
                    _ => return Err(not_ours(&authorization, Some(&challenge))),
                }
            }
            Step::Finalize | Step::Made => {
                let order = wire::read(doing, &response.body)?;
                self.ordered(doing, now, response, order)?;
            }
            Step::Certificate(_) => {
                let chain_pem = core::str::from_utf8(&response.body).map_err(|_| bad("it is no text"))?;
                let key_pem = self.key.to_pem()?;
                let chain_pem = issue::received(chain_pem, &self.key, &self.names);
                let chain_pem = chain_pem.map_err(|e| bad(&crate::error::bounded(&e.to_string())))?;
                self.step = Step::Done(Issued { chain_pem, key_pem });
            }
            Step::Present(..) | Step::Done(_) => return Err(bad("nothing was asked")),
        }
        Ok(())
    }

    /// What becomes of the order whose names are all ours.
    fn ordered(
        &mut self,
        doing: &'static str,
        now: Now,
        response: &Response,
        order: wire::Order,
    ) -> Result<(), Error> {
        match (order.status, order.certificate) {
            // It was told so, and wants to be told again.
            (Status::Ready, _) if matches!(self.step, Step::Finalize) => {
                self.wait(doing, now, retry_after(response, now.wall))?;
            }
            (Status::Ready, _) => self.step = Step::Finalize,
            (Status::Valid, Some(url)) => self.step = Step::Certificate(url),
            (Status::Pending | Status::Processing, _) => {
                self.step = Step::Made;
                self.wait(doing, now, retry_after(response, now.wall))?;
            }
            (Status::Valid, None) => {
                return Err(Error::BadAnswer { doing, why: "the order has no certificate".into() });
            }
            (Status::Invalid | Status::Ended, _) => {
                let nothing = Problem { kind: String::new(), detail: String::new() };
                return Err(Error::OrderEnded(order.error.unwrap_or(nothing)));
            }
        }
        Ok(())
    }

    fn authorized(&mut self, n: usize) {
        let all = self.order.as_ref().map_or(0, |order| order.authorizations.len());
        self.step = if n + 1 < all { Step::Authorization(n + 1) } else { Step::Finalize };
        self.since = None;
    }

    /// Asks again in a while, unless that has gone on for too long.
    fn wait(&mut self, doing: &'static str, now: Now, told: Option<Duration>) -> Result<(), Error> {
        let since = match self.since {
            Some(since) => since,
            None => {
                self.polls = 0;
                *self.since.insert(now.instant)
            }
        };
        let after = now.instant.duration_since(since);
        if after >= MAX_TIME {
            return Err(Error::TooSlow { doing, after });
        }
        let own = POLL.0.saturating_mul(1 << self.polls.min(8)).min(POLL.1);
        self.polls = self.polls.saturating_add(1);
        self.exchange.not_before = Some(now.instant + told.unwrap_or(own).clamp(POLL.0, MAX_WAIT));
        Ok(())
    }
}

/// What finalises an order (section 7.4).
fn csr(key: &PrivateKey, names: &Names) -> Result<String, Error> {
    Ok(format!(r#"{{"csr":"{}"}}"#, crate::jws::base64(&issue::request(key, names)?)))
}
