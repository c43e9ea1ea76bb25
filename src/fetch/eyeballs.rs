//! Happy Eyeballs (RFC 8305): which of a host's addresses is tried when, and the race itself.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::net::IpAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use fata_libos::time::{Duration, Instant, Sleep, sleep_until};

/// How long addresses of IPv4 wait for those of IPv6 (section 3, Resolution Delay).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// From one attempt to the next (section 5, Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses that are tried, at most.
const ATTEMPTS: usize = 12;

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Four,
    Six,
}

impl Family {
    fn other(self) -> Self {
        match self {
            Self::Four => Self::Six,
            Self::Six => Self::Four,
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin an attempt.
    Try(IpAddr),
    /// Nothing, until then or something happens.
    Wait(Option<Instant>),
    /// There is nothing more to try.
    Over,
}

/// What is known of a family's addresses.
#[derive(Debug, Default)]
struct Addresses {
    /// They were looked up, whatever came of it.
    is_known: bool,
    left: Vec<IpAddr>,
}

/// The order of attempts. Knows no sockets: it is told what happens, and asked what to do.
#[derive(Debug)]
pub(super) struct Plan {
    four: Addresses,
    six: Addresses,
    /// Until when addresses of IPv4 alone wait.
    resolved_by: Option<Instant>,
    /// Of the attempt that comes next.
    next: Family,
    not_before: Option<Instant>,
    begun: usize,
    under_way: usize,
}

impl Plan {
    pub(super) fn new() -> Self {
        let (four, six) = (Addresses::default(), Addresses::default());
        Self { four, six, resolved_by: None, next: Family::Six, not_before: None, begun: 0, under_way: 0 }
    }

    fn of(&mut self, family: Family) -> &mut Addresses {
        match family {
            Family::Four => &mut self.four,
            Family::Six => &mut self.six,
        }
    }

    /// A look-up has ended, with these addresses or none.
    pub(super) fn resolved(&mut self, family: Family, mut addresses: Vec<IpAddr>, now: Instant) {
        addresses.reverse();
        *self.of(family) = Addresses { is_known: true, left: addresses };
        if family == Family::Four {
            self.resolved_by = Some(now + RESOLUTION_DELAY);
        }
    }

    /// An attempt has failed: the next one need not wait.
    pub(super) fn failed(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.not_before = None;
    }

    pub(super) fn step(&mut self, now: Instant) -> Step {
        let has_any = !self.four.left.is_empty() || !self.six.left.is_empty();
        if !has_any || self.begun >= ATTEMPTS {
            let all_known = (self.four.is_known && self.six.is_known) || self.begun >= ATTEMPTS;
            return if all_known && self.under_way == 0 { Step::Over } else { Step::Wait(None) };
        }
        let waits_for_six = self.begun == 0 && !self.six.is_known;
        let until = if waits_for_six { self.resolved_by } else { self.not_before };
        if let Some(until) = until.filter(|until| now < *until) {
            return Step::Wait(Some(until));
        }
        let next = self.next;
        let family = if self.of(next).left.is_empty() { next.other() } else { next };
        match self.of(family).left.pop() {
            Some(address) => {
                self.next = family.other();
                self.begun += 1;
                self.under_way += 1;
                self.not_before = Some(now + ATTEMPT_DELAY);
                Step::Try(address)
            }
            None => Step::Wait(None),
        }
    }
}

/// A look-up that goes on.
type LookUp<'a, E> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, E>> + 'a>>;
/// An attempt that goes on.
type Attempt<'a, S, E> = Pin<Box<dyn Future<Output = Result<S, E>> + 'a>>;

/// Looks addresses up and tries them until one answers. Attempts that have not won are dropped. The error is the last
/// attempt's, or that of a look-up where there was no address.
pub(super) async fn race<'a, S, E>(
    four: impl Future<Output = Result<Vec<IpAddr>, E>> + 'a,
    six: impl Future<Output = Result<Vec<IpAddr>, E>> + 'a,
    dial: impl Fn(IpAddr) -> Attempt<'a, S, E>,
    nothing: E,
) -> Result<S, E> {
    let mut race = Race {
        plan: Plan::new(),
        look_ups: [(Family::Six, Some(Box::pin(six))), (Family::Four, Some(Box::pin(four)))],
        attempts: Vec::new(),
        error: nothing,
        has_tried: false,
        timer: None,
    };
    let won = poll_fn(|cx| race.poll(cx, &dial)).await;
    won.ok_or(race.error)
}

struct Race<'a, S, E> {
    plan: Plan,
    look_ups: [(Family, Option<LookUp<'a, E>>); 2],
    attempts: Vec<Attempt<'a, S, E>>,
    error: E,
    has_tried: bool,
    timer: Option<Sleep>,
}

impl<'a, S, E> Race<'a, S, E> {
    /// The winner, or `None` where there is none.
    fn poll(&mut self, cx: &mut Context<'_>, dial: &impl Fn(IpAddr) -> Attempt<'a, S, E>) -> Poll<Option<S>> {
        self.poll_look_ups(cx);
        loop {
            if let Some(winner) = self.poll_attempts(cx) {
                return Poll::Ready(Some(winner));
            }
            match self.plan.step(Instant::now()) {
                // Polled for the first time in the next round.
                Step::Try(address) => {
                    self.has_tried = true;
                    self.attempts.push(dial(address));
                }
                Step::Over => return Poll::Ready(None),
                Step::Wait(None) => return Poll::Pending,
                Step::Wait(Some(until)) => {
                    let timer = self.timer.insert(sleep_until(until));
                    if Pin::new(timer).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn poll_look_ups(&mut self, cx: &mut Context<'_>) {
        for (family, look_up) in &mut self.look_ups {
            let Some(Poll::Ready(found)) = look_up.as_mut().map(|look_up| look_up.as_mut().poll(cx)) else {
                continue;
            };
            *look_up = None;
            let addresses = found.unwrap_or_else(|error| {
                if !self.has_tried {
                    self.error = error;
                }
                Vec::new()
            });
            self.plan.resolved(*family, addresses, Instant::now());
        }
    }

    fn poll_attempts(&mut self, cx: &mut Context<'_>) -> Option<S> {
        let mut at = 0;
        while at < self.attempts.len() {
            match self.attempts[at].as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(stream)) => return Some(stream),
                Poll::Ready(Err(error)) => {
                    drop(self.attempts.remove(at));
                    self.error = error;
                    self.plan.failed();
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
