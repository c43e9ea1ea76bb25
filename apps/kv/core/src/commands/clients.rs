//! `CLIENT`: who is there.

use super::pubsub::KINDS;
use super::table::Flags;
use super::{Cx, part, unknown_part, wordy_part};
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::number::parse_int;
use crate::resp::Args;
use crate::server::client::Silence;
use crate::server::{Core, Link, Session};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Gives the client a name.
pub fn rename(cx: &mut Cx<'_>, name: &[u8]) -> Reply {
    if !name.iter().all(|octet| (b'!'..=b'~').contains(octet)) {
        return Err(Fault(&"ERR Client names cannot contain spaces, newlines or special characters."));
    }
    cx.session.link.name.replace(Text::from(name));
    Ok(())
}

fn line(link: &Link, now: i64) -> String {
    let ([channels, patterns, of_shards], queued) = link.figures.get();
    let flags = match () {
        () if is_listening(link) => "P",
        () if link.is_blocked.get() => "b",
        () if queued >= 0 => "x",
        () => "N",
    };
    format!(
        "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} \
         ssub={of_shards} multi={queued} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={} \
         tot-mem=0 events=r cmd={} user=default redir=-1 resp={}\n",
        link.id,
        link.peer,
        link.local,
        core::str::from_utf8(&link.name.borrow()).unwrap_or_default(),
        (now - link.since) / 1000,
        (now - link.seen.get()) / 1000,
        link.db.get(),
        link.waiting(),
        link.command.get(),
        link.version.get(),
    )
}

/// What those who are to be closed have in common.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    is_pubsub: Option<bool>,
    spares_self: bool,
}

impl<'a> Filter<'a> {
    fn parse(cx: &Cx<'a>) -> Result<Self, Fault> {
        let mut filter = Self { spares_self: true, ..Self::default() };
        for n in (2..cx.args.len()).step_by(2) {
            let Some(value) = cx.args.get(n + 1) else { return Err(Fault::SYNTAX) };
            match () {
                () if cx.args.is(n, "id") => {
                    let id = parse_int(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
                    filter.id = Some(id.ok_or(Fault(&"ERR client-id should be greater than 0"))?);
                }
                () if cx.args.is(n, "addr") => filter.peer = Some(value),
                () if cx.args.is(n, "laddr") => filter.local = Some(value),
                () if cx.args.is(n, "user") => {}
                () if cx.args.is(n, "skipme") => {
                    filter.spares_self = match () {
                        () if cx.args.is(n + 1, "yes") => true,
                        () if cx.args.is(n + 1, "no") => false,
                        () => return Err(Fault::SYNTAX),
                    }
                }
                () if cx.args.is(n, "type") => filter.is_pubsub = Some(kind(cx, n + 1)?),
                () => return Err(Fault::SYNTAX),
            }
        }
        Ok(filter)
    }

    fn means(&self, link: &Link) -> bool {
        let is_at = |address: SocketAddr, text: &[u8]| format!("{address}").as_bytes() == text;
        self.id.is_none_or(|id| link.id == id)
            && self.peer.is_none_or(|peer| is_at(link.peer, peer))
            && self.local.is_none_or(|local| is_at(link.local, local))
            && self.is_pubsub.is_none_or(|is| is == is_listening(link))
    }
}

fn is_listening(link: &Link) -> bool {
    link.figures.get().0 != [0; KINDS]
}

/// Whether subscribers are meant.
fn kind(cx: &Cx<'_>, at: usize) -> Result<bool, Fault> {
    match () {
        () if cx.args.is(at, "normal") => Ok(false),
        () if cx.args.is(at, "pubsub") => Ok(true),
        () => Err(cx.blame("ERR Unknown client type '", cx.args.at(at), "'")),
    }
}

fn kill(cx: &mut Cx<'_>) -> Reply {
    let is_old = cx.args.len() == 3;
    let filter =
        if is_old { Filter { peer: cx.args.get(2), ..Filter::default() } } else { Filter::parse(cx)? };
    let own = cx.session.link.id;
    let mut count = 0;
    for link in cx.hub.links.iter().filter(|link| filter.means(link)) {
        if link.id != own {
            link.kill();
        } else if filter.spares_self {
            continue;
        } else {
            cx.session.is_over = true;
        }
        count += 1;
    }
    match (is_old, count) {
        (true, 0) => return Err(Fault(&"ERR No such client")),
        (true, _) => cx.out.ok(),
        (false, count) => cx.out.int(count),
    }
    Ok(())
}

fn list(cx: &mut Cx<'_>) -> Reply {
    let now = cx.store.now;
    let (mut is_pubsub, mut ids) = (None, None);
    match cx.args.len() {
        2 => {}
        4 if cx.args.is(2, "type") => is_pubsub = Some(kind(cx, 3)?),
        4.. if cx.args.is(2, "id") => {
            let mut known = Vec::new();
            for arg in cx.args.from(3) {
                let id = parse_int(arg).and_then(|id| u64::try_from(id).ok());
                known.push(id.ok_or(Fault(&"ERR Invalid client ID"))?);
            }
            ids = Some(known);
        }
        _ => return Err(Fault::SYNTAX),
    }
    let mut text = String::new();
    for link in &cx.hub.links {
        let is_meant = is_pubsub.is_none_or(|is| is == is_listening(link))
            && ids.as_ref().is_none_or(|ids| ids.contains(&link.id));
        if is_meant {
            text.push_str(&line(link, now));
        }
    }
    cx.out.verbatim(text.as_bytes());
    Ok(())
}

fn yes_no(cx: &Cx<'_>, words: [&str; 2]) -> Result<bool, Fault> {
    match () {
        () if cx.args.is(2, words[0]) => Ok(true),
        () if cx.args.is(2, words[1]) => Ok(false),
        () => Err(Fault::SYNTAX),
    }
}

fn reply(cx: &mut Cx<'_>) -> Reply {
    match () {
        () if cx.args.is(2, "skip") => {
            if cx.session.silence != Silence::Off {
                cx.session.silence = Silence::SkipNext;
            }
        }
        () if yes_no(cx, ["on", "off"])? => {
            cx.session.silence = Silence::None;
            cx.out.ok();
        }
        () => cx.session.silence = Silence::Off,
    }
    Ok(())
}

pub(super) fn client(cx: &mut Cx<'_>) -> Reply {
    let words = cx.args.len();
    let link = cx.session.link.clone();
    match () {
        () if cx.args.is(1, "list") => list(cx)?,
        () if cx.args.is(1, "kill") && words > 2 => kill(cx)?,
        () if cx.args.is(1, "id") && words == 2 => cx.out.int(link.id.cast_signed()),
        () if cx.args.is(1, "info") && words == 2 => cx.out.verbatim(line(&link, cx.store.now).as_bytes()),
        () if cx.args.is(1, "getname") && words == 2 => match &**link.name.borrow() {
            [] => cx.out.null(),
            name => cx.out.bulk(name),
        },
        () if cx.args.is(1, "setname") && words == 3 => {
            rename(cx, cx.args.at(2))?;
            cx.out.ok();
        }
        () if cx.args.is(1, "reply") && words == 3 => reply(cx)?,
        () if cx.args.is(1, "no-evict") && words == 3 => {
            link.no_evict.set(yes_no(cx, ["on", "off"])?);
            cx.out.ok();
        }
        () if cx.args.is(1, "unblock") && (3..=4).contains(&words) => unblock(cx)?,
        () if cx.args.is(1, "pause") && words > 2 => pause(cx)?,
        () if cx.args.is(1, "unpause") && words == 2 => {
            cx.hub.pause = None;
            cx.hub.links.iter().for_each(|link| link.tell());
            cx.out.ok();
        }
        () => {
            let known = [
                "client|id",
                "client|info",
                "client|getname",
                "client|setname",
                "client|reply",
                "client|kill",
                "client|no-evict",
                "client|unblock",
                "client|pause",
                "client|unpause",
            ];
            // Known with another number of words: that is what is said.
            part(cx, "CLIENT", &known, usize::MAX)?;
            return Err(unknown_part(cx, "CLIENT"));
        }
    }
    Ok(())
}

/// `PAUSE timeout [WRITE|ALL]`: of two that are not over the longer one and the stricter one count.
fn pause(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len() > 4 {
        return Err(wordy_part(cx, "CLIENT"));
    }
    let mut is_all = match cx.args.get(3) {
        None => true,
        Some(_) if cx.args.is(3, "all") => true,
        Some(_) if cx.args.is(3, "write") => false,
        Some(_) => return Err(Fault(&"ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let wrong = Fault(&"ERR timeout is not an integer or out of range");
    let millis = parse_int(cx.args.at(2)).ok_or(wrong)?;
    if millis < 0 {
        return Err(Fault::TIMEOUT_NEGATIVE);
    }
    let mut until = cx.store.now.checked_add(millis).ok_or(Fault(&"ERR timeout is out of range"))?;
    if let Some((before, was_all)) = cx.hub.pause.filter(|(until, _)| *until > cx.store.now) {
        until = until.max(before);
        is_all |= was_all;
    }
    cx.hub.pause = Some((until, is_all));
    cx.out.ok();
    Ok(())
}

/// Until when a command has to wait as clients are paused, if it has to.
pub fn paused_until(core: &mut Core, session: &Session, args: Args<'_>) -> Option<i64> {
    let (until, is_all) = core.hub.pause.filter(|(until, _)| *until > core.store.now)?;
    let writes = |args: Args<'_>| {
        let command = core.hub.table.find(args.at(0))?;
        let is_write = command.flags.contains(Flags::WRITES) || command.name.ends_with("publish");
        (is_all || is_write).then_some(until)
    };
    match &session.queue {
        Some(queue) if !is_all && args.is(0, "exec") => queue.iter().find_map(writes),
        _ => writes(args),
    }
}

fn unblock(cx: &mut Cx<'_>) -> Reply {
    let id = super::words::int(cx.args.at(2))?;
    let fault = match cx.args.get(3) {
        None => None,
        Some(_) if cx.args.is(3, "timeout") => None,
        Some(_) if cx.args.is(3, "error") => Some(Fault(&"UNBLOCKED client unblocked via CLIENT UNBLOCK")),
        Some(_) => return Err(Fault(&"ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let link = u64::try_from(id).ok().and_then(|id| cx.hub.links.iter().find(|link| link.id == id).cloned());
    let is_done = link.is_some_and(|link| super::blocking::unblock(cx.store, cx.hub, &link, fault));
    cx.out.flag(is_done);
    Ok(())
}
