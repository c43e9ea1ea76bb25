//! One connection: reads what has come, runs it, writes all answers in one go.

use super::{Client, Core, Link, Server, Session};
use crate::commands::{blocking, clients, execute, transaction};
use crate::resp::{Limits, Parser, Step};
use crate::server::run::now;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::Write;
use fata::net::{Shared, TcpStream};
use fata::task::yield_now;
use fata::time::{Duration, sleep};

/// Room for commands: at first, and the most that is read at once.
const LEAST_ROOM: usize = 1 << 10;
const MOST_ROOM: usize = 64 << 10;
/// Answers that are enough to be sent.
const BATCH: usize = 64 << 10;
/// What is kept of a buffer that was larger.
const KEPT: usize = 16 << 10;

/// What has come and is not used yet.
struct Input {
    octets: Vec<u8>,
    len: usize,
}

impl Input {
    fn filled(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// Room for more, `missing` of which are known to come; `None` where there is no memory.
    fn make_room(&mut self, missing: usize) -> Option<()> {
        let want = missing.clamp(LEAST_ROOM, MOST_ROOM);
        let room = self.octets.len() - self.len;
        if room >= want || room > 0 && missing == 0 && self.len < LEAST_ROOM {
            return Some(());
        }
        let total = self.len + want.max(missing.min(self.len));
        let more = total.saturating_sub(self.octets.len());
        if !super::hub::has_memory(more) {
            return None;
        }
        self.octets.try_reserve_exact(more).ok()?;
        self.octets.resize(total, 0);
        Some(())
    }

    fn used(&mut self, octets: usize) {
        self.octets.copy_within(octets..self.len, 0);
        self.len -= octets;
        if self.len == 0 && self.octets.len() > MOST_ROOM {
            self.octets = vec![0; LEAST_ROOM];
        }
    }
}

/// Serves a client until it goes, or has to.
pub(super) async fn serve(server: &Rc<Server>, mut stream: TcpStream, link: Rc<Link>) {
    let (is_trusted, limit) = {
        let hub = &server.core_ref().hub;
        (hub.config.password.is_none(), hub.config.output_buffer)
    };
    let mut client = Client::new(link.clone(), is_trusted, limit);
    let _gone = Gone { server, link: link.clone() };
    let _ = converse(server, &mut stream, &mut client).await;
    {
        let Core { store, hub } = &mut *server.core_mut();
        transaction::forget(store, &mut client.session);
        hub.channels.leave(&mut client.session);
    }
    if link.is_killed() || client.out.is_over() {
        stream.abort();
    }
}

/// Why a connection ends.
enum End {
    Closed,
    TooMuch,
}

async fn converse(server: &Server, stream: &mut TcpStream, client: &mut Client) -> Result<(), End> {
    let link = client.session.link.clone();
    let mut input = Input { octets: Vec::new(), len: 0 };
    let mut parser = Parser::default();
    loop {
        if link.is_killed() {
            return Err(End::Closed);
        }
        // What others have left comes before the answers to what is run now.
        link.take_inbox(&mut client.out.octets);
        let used = run(server, client, &mut parser, input.filled());
        let is_more = used.is_more;
        input.used(used.octets);
        let is_saving = core::mem::take(&mut client.session.is_saving);
        if is_saving && !server.saved().await || !server.settled(used.changes).await {
            // What is not safe is not answered.
            return Err(End::Closed);
        }
        write(server, stream, client).await?;
        if client.session.is_over || client.out.is_over() {
            return Ok(());
        }
        if is_more {
            yield_now().await;
            continue;
        }
        let limits = limits(server, client);
        let most = server.core_ref().hub.config.query_buffer;
        let missing = parser.missing(input.filled(), limits);
        if input.len + missing > most {
            return Err(End::TooMuch);
        }
        // Who waits in a blocking command, or for the end of a pause, is heard, but not without end.
        let is_waiting = link.is_blocked.get() || client.session.paused_until.is_some();
        if !is_waiting || input.len < MOST_ROOM {
            input.make_room(missing).ok_or(End::TooMuch)?;
        }
        let len = input.len;
        let room = input.octets.get_mut(len..).unwrap_or_default();
        let timeout = server.core_ref().hub.config.timeout;
        match wait(stream, room, &client.session, timeout).await {
            Event::Told if link.is_killed() => return Err(End::Closed),
            Event::Told => {}
            Event::Late if link.is_blocked.get() => {
                let Core { store, hub } = &mut *server.core_mut();
                blocking::unblock(store, hub, &link, None);
            }
            // Nothing has come for longer than may be.
            Event::Late if !is_waiting => return Err(End::Closed),
            Event::Late => {}
            Event::Read(0) | Event::Failed => return Err(End::Closed),
            Event::Read(read) => {
                input.len += read;
                server.core_mut().hub.figures.read += read as u64;
            }
        }
    }
}

/// What ended a wait.
enum Event {
    Read(usize),
    Failed,
    Told,
    Late,
}

/// Waits for octets, for word from others, for the end of a blocking command or of a pause, or until the client has said nothing
/// for `timeout` seconds, if it is one that should.
async fn wait(stream: &mut TcpStream, room: &mut [u8], session: &Session, timeout: u32) -> Event {
    let link = &session.link;
    let deadline = match session.paused_until {
        _ if link.is_blocked.get() => session.deadline,
        None if timeout > 0 && session.subscriptions() == 0 => {
            Some(link.seen.get() + i64::from(timeout) * 1000)
        }
        until => until,
    };
    let left = deadline.map(|deadline| deadline.saturating_sub(now()).max(0).cast_unsigned());
    let mut timer = left.map(|left| Box::pin(sleep(Duration::from_millis(left))));
    let has_room = !room.is_empty();
    let mut read = pin!(stream.read(room));
    poll_fn(|cx| {
        if link.poll_told(cx) {
            return Poll::Ready(Event::Told);
        }
        if let Some(timer) = &mut timer
            && timer.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Event::Late);
        }
        if !has_room {
            return Poll::Pending;
        }
        read.as_mut().poll(cx).map(|read| read.map_or(Event::Failed, Event::Read))
    })
    .await
}

fn limits(server: &Server, client: &Client) -> Limits {
    if client.session.is_trusted { server.core_ref().hub.config.limits } else { Limits::STRANGER }
}

/// What was done of the input.
struct Used {
    octets: usize,
    is_more: bool,
    changes: u64,
}

/// Runs the commands that have come, until there are answers enough.
fn run(server: &Server, client: &mut Client, parser: &mut Parser, input: &[u8]) -> Used {
    let core = &mut *server.core_mut();
    let before = core.store.counters.changes;
    let (octets, is_more) = run_in(core, client, parser, input);
    Used { octets, is_more, changes: core.store.counters.changes - before }
}

fn run_in(core: &mut Core, client: &mut Client, parser: &mut Parser, input: &[u8]) -> (usize, bool) {
    let mut used = 0;
    core.store.now = now();
    client.session.link.seen.set(core.store.now);
    client.session.paused_until = None;
    loop {
        let rest = input.get(used..).unwrap_or_default();
        if client.session.is_over || client.out.is_over() {
            return (input.len(), false);
        }
        if client.session.link.is_blocked.get() {
            return (used, false);
        }
        if client.out.octets.len() >= BATCH {
            return (used, true);
        }
        let limits = if client.session.is_trusted { core.hub.config.limits } else { Limits::STRANGER };
        match parser.step(rest, limits) {
            Ok(Step::Command(len)) => {
                let args = parser.args(rest);
                if core.hub.pause.is_some()
                    && let Some(until) = clients::paused_until(core, &client.session, args)
                {
                    client.session.paused_until = Some(until);
                    return (used, false);
                }
                if !args.is_empty() {
                    execute(core, client, args);
                }
                used += len;
            }
            Ok(Step::More) => return (used, false),
            Err(error) => {
                client.out.error(alloc::format!("ERR Protocol error: {error}").as_bytes());
                client.session.is_over = true;
            }
        }
    }
}

async fn write(server: &Server, stream: &mut TcpStream, client: &mut Client) -> Result<(), End> {
    if client.out.octets.is_empty() {
        return Ok(());
    }
    let len = client.out.octets.len();
    // What would not be kept is sent from where it is.
    let answers = (len > KEPT).then(|| Shared::from(core::mem::take(&mut client.out.octets)));
    let link = &client.session.link;
    let written = {
        let write = async {
            let Some(answers) = &answers else { return stream.write_all(&client.out.octets).await };
            let mut at = 0;
            while at < len {
                at += stream.write_shared(answers, at..len).await?;
            }
            Ok(())
        };
        let mut write = pin!(write);
        poll_fn(|cx| {
            if let Poll::Ready(done) = write.as_mut().poll(cx) {
                return Poll::Ready(done.is_ok());
            }
            if link.poll_killed(cx) { Poll::Ready(false) } else { Poll::Pending }
        })
        .await
    };
    // Who takes an answer is not idle.
    link.seen.set(now());
    server.core_mut().hub.figures.written += len as u64;
    client.out.octets.clear();
    client.out.octets.shrink_to(KEPT);
    if written { Ok(()) } else { Err(End::Closed) }
}

/// Takes a client from all lists when its connection ends.
struct Gone<'a> {
    server: &'a Server,
    link: Rc<Link>,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let Core { store, hub } = &mut *self.server.core_mut();
        hub.links.retain(|link| link.id != self.link.id);
        blocking::gone(store, hub, &self.link);
    }
}
