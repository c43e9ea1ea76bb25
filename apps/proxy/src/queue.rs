//! Requests that wait for a server, in the order in which they came. What becomes free is given to who has waited longest and may have it; who
//! comes later finds nothing that somebody before him waits for.

use crate::balance::{Choice, Tried};
use crate::shares::Client;
use alloc::collections::VecDeque;
use core::task::{Context, Poll, Waker};

/// Names one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What one has had who waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Waiting,
    /// This server, which he has not taken.
    Given(usize),
}

/// As many wait as may, or there is no memory for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// For whom a server is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Servers that the request has been to.
    pub tried: Tried,
    /// Whose request it is; without one it is bound by no share.
    pub client: Option<Client>,
}

struct Waiter {
    ticket: Ticket,
    wanted: Wanted,
    /// Once there is an answer: a server's number, or that none is up.
    answer: Option<Option<usize>>,
    waker: Option<Waker>,
}

/// The queue of a pool.
#[derive(Default)]
pub struct Queue {
    waiters: VecDeque<Waiter>,
    next: u64,
    /// How many of them have no answer yet.
    unanswered: usize,
}

impl Queue {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.unanswered
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.unanswered == 0
    }

    /// One more waits, unless `most` do.
    pub fn enter(&mut self, wanted: Wanted, most: usize) -> Result<Ticket, Full> {
        if self.unanswered >= most || self.waiters.try_reserve(1).is_err() {
            return Err(Full);
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.unanswered += 1;
        self.waiters.push_back(Waiter { ticket, wanted, answer: None, waker: None });
        Ok(ticket)
    }

    fn find(&self, ticket: Ticket) -> Option<usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok()
    }

    /// The server that has been given to one who waits; `None` where none is up for him. He waits no longer then.
    pub fn poll(&mut self, ticket: Ticket, cx: &Context<'_>) -> Poll<Option<usize>> {
        let Some(at) = self.find(ticket) else { return Poll::Ready(None) };
        let waiter = &mut self.waiters[at];
        let Some(answer) = waiter.answer else {
            waiter.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.waiters.remove(at);
        Poll::Ready(answer)
    }

    /// One waits no longer, if he has not been answered.
    pub fn leave(&mut self, ticket: Ticket) -> Option<Left> {
        let waiter = self.waiters.remove(self.find(ticket)?)?;
        match waiter.answer {
            Some(answer) => answer.map(Left::Given),
            None => {
                self.unanswered -= 1;
                Some(Left::Waiting)
            }
        }
    }

    /// Gives out what there is: `take` chooses a server, which is taken then.
    pub fn serve(&mut self, mut take: impl FnMut(Wanted) -> Choice) {
        // Where one finds nothing, neither does another who may go to the same.
        let mut in_vain = None;
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.answer.is_none()) {
            if in_vain == Some(waiter.wanted.tried) {
                continue;
            }
            let answer = match take(waiter.wanted) {
                Choice::Full => {
                    in_vain = Some(waiter.wanted.tried);
                    continue;
                }
                Choice::Held => continue,
                Choice::Server(number) => Some(number),
                Choice::Down => None,
            };
            waiter.answer = Some(answer);
            self.unanswered -= 1;
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who waits with a server given, in order.
    fn given(queue: &mut Queue, tickets: &[Ticket]) -> Vec<Option<Option<usize>>> {
        let cx = Context::from_waker(Waker::noop());
        let answer = |ticket| match queue.poll(ticket, &cx) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        };
        tickets.iter().copied().map(answer).collect()
    }

    /// Gives out servers of these numbers, one each.
    fn stock(mut numbers: Vec<usize>) -> impl FnMut(Wanted) -> Choice {
        move |wanted| match numbers.iter().position(|&n| !wanted.tried.has(n)) {
            Some(at) => Choice::Server(numbers.remove(at)),
            None => Choice::Full,
        }
    }

    #[test]
    fn who_comes_first_goes_first() {
        let mut queue = Queue::default();
        let tickets: Vec<Ticket> = (0..4).map(|_| queue.enter(Wanted::default(), 4).unwrap()).collect();
        assert_eq!(queue.enter(Wanted::default(), 4), Err(Full));
        queue.serve(stock(vec![]));
        assert_eq!(given(&mut queue, &tickets), [None; 4]);
        queue.serve(stock(vec![7, 8]));
        assert_eq!(queue.len(), 2);
        assert_eq!(given(&mut queue, &tickets[..3]), [Some(Some(7)), Some(Some(8)), None]);
        // He who leaves gives back what he has been given.
        assert_eq!(queue.leave(tickets[2]), Some(Left::Waiting));
        queue.serve(stock(vec![9]));
        assert_eq!((queue.leave(tickets[3]), queue.leave(tickets[3])), (Some(Left::Given(9)), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn who_may_not_go_there_lets_others_pass() {
        let mut been = Tried::default();
        been.add(1);
        let mut queue = Queue::default();
        let (first, second, third) = (
            queue.enter(Wanted { tried: been, client: None }, 9).unwrap(),
            queue.enter(Wanted::default(), 9).unwrap(),
            queue.enter(Wanted::default(), 9).unwrap(),
        );
        queue.serve(stock(vec![1]));
        assert_eq!(given(&mut queue, &[first, second, third]), [None, Some(Some(1)), None]);
        queue.serve(stock(vec![1, 2]));
        assert_eq!(given(&mut queue, &[first, third]), [Some(Some(2)), Some(Some(1))]);
    }

    #[test]
    fn who_has_his_share_lets_others_pass() {
        let of = |address: &str| Wanted {
            client: Some(Client::of(address.parse().unwrap())),
            ..Wanted::default()
        };
        let (one, two) = (of("192.0.2.1"), of("192.0.2.2"));
        let mut queue = Queue::default();
        let tickets = [one, one, two].map(|wanted| queue.enter(wanted, 9).unwrap());
        queue.serve(|wanted| if wanted == one { Choice::Held } else { Choice::Server(5) });
        assert_eq!(given(&mut queue, &tickets), [None, None, Some(Some(5))]);
        queue.serve(|_| Choice::Server(6));
        assert_eq!(given(&mut queue, &tickets[..2]), [Some(Some(6)); 2]);
    }

    #[test]
    fn where_none_is_up_nobody_waits() {
        let mut queue = Queue::default();
        let ticket = queue.enter(Wanted::default(), 9).unwrap();
        queue.serve(|_| Choice::Down);
        assert_eq!(given(&mut queue, &[ticket]), [Some(None)]);
        assert_eq!(queue.enter(Wanted::default(), 0), Err(Full));
    }
}
