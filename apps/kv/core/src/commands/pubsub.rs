//! Messages to whom they concern.

use super::Cx;
use crate::data::map::Map;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::glob;
use crate::resp::Out;
use crate::server::{Hub, Link, Session};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Who has subscribed to what.
#[derive(Default)]
pub struct Channels {
    channels: Map<Vec<Rc<Link>>>,
    patterns: Map<Vec<Rc<Link>>>,
}

/// Channels or patterns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Channel,
    Pattern,
}

impl Channels {
    fn of(&mut self, kind: Kind) -> &mut Map<Vec<Rc<Link>>> {
        if kind == Kind::Channel { &mut self.channels } else { &mut self.patterns }
    }

    fn add(&mut self, kind: Kind, name: &Text, link: &Rc<Link>) {
        let all = self.of(kind);
        let at = match all.find(name) {
            Some(at) => at,
            None => all.add(name.clone(), Vec::new()),
        };
        all.value_mut(at).push(link.clone());
    }

    fn remove(&mut self, kind: Kind, name: &Text, link: &Link) {
        let all = self.of(kind);
        let Some(at) = all.find(name) else { return };
        let links = all.value_mut(at);
        links.retain(|other| other.id != link.id);
        if links.is_empty() {
            all.remove(at);
        }
    }

    /// Channels with subscribers, and patterns.
    pub fn len(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    /// Forgets a client.
    pub fn leave(&mut self, session: &Session) {
        session.channels.iter().for_each(|name| self.remove(Kind::Channel, name, &session.link));
        session.patterns.iter().for_each(|name| self.remove(Kind::Pattern, name, &session.link));
    }
}

fn tell(out: &mut Out, what: &str, name: Option<&[u8]>, count: usize) {
    out.push(3);
    out.bulk(what.as_bytes());
    match name {
        Some(name) => out.bulk(name),
        None => out.null(),
    }
    out.count(count);
}

fn subscribe_to(cx: &mut Cx<'_>, kind: Kind, what: &str) -> Reply {
    for name in cx.args.from(1) {
        if !cx.session.may_name(name.len()) {
            return Err(Fault(&"ERR too many subscriptions"));
        }
        let name = Text::from(name);
        let own = if kind == Kind::Channel { &mut cx.session.channels } else { &mut cx.session.patterns };
        if own.insert(&name) {
            cx.hub.channels.add(kind, &name, &cx.session.link);
        }
        tell(cx.out, what, Some(&name), cx.session.subscriptions());
    }
    Ok(())
}

fn unsubscribe_from(cx: &mut Cx<'_>, kind: Kind, what: &str) -> Reply {
    let own = if kind == Kind::Channel { &cx.session.channels } else { &cx.session.patterns };
    let names: Vec<Text> = if cx.args.len() > 1 {
        cx.args.from(1).map(Text::from).collect()
    } else {
        own.iter().cloned().collect()
    };
    if names.is_empty() {
        tell(cx.out, what, None, cx.session.subscriptions());
    }
    for name in names {
        let own = if kind == Kind::Channel { &mut cx.session.channels } else { &mut cx.session.patterns };
        if own.remove(&name) {
            cx.hub.channels.remove(kind, &name, &cx.session.link);
        }
        tell(cx.out, what, Some(&name), cx.session.subscriptions());
    }
    Ok(())
}

pub(super) fn subscribe(cx: &mut Cx<'_>) -> Reply {
    subscribe_to(cx, Kind::Channel, "subscribe")
}

pub(super) fn psubscribe(cx: &mut Cx<'_>) -> Reply {
    subscribe_to(cx, Kind::Pattern, "psubscribe")
}

pub(super) fn unsubscribe(cx: &mut Cx<'_>) -> Reply {
    unsubscribe_from(cx, Kind::Channel, "unsubscribe")
}

pub(super) fn punsubscribe(cx: &mut Cx<'_>) -> Reply {
    unsubscribe_from(cx, Kind::Pattern, "punsubscribe")
}

/// Sends parts of a message to a subscriber; to the one who asks in its own answers.
fn deliver(hub: &Hub, out: &mut Out, own: u64, link: &Link, parts: &[&[u8]]) {
    let version = link.version.get();
    let mut message = Out::new(usize::MAX);
    message.version = version;
    message.push(parts.len());
    parts.iter().for_each(|part| message.bulk(part));
    if link.id == own {
        out.raw(&message.octets);
    } else {
        link.send(&message.octets, hub.config.pubsub_buffer);
    }
}

pub(super) fn publish(cx: &mut Cx<'_>) -> Reply {
    let (channel, message) = (cx.key(), cx.args.at(2));
    let (hub, own) = (&*cx.hub, cx.session.link.id);
    let mut count = 0;
    for link in hub.channels.channels.get(channel).into_iter().flatten() {
        deliver(hub, cx.out, own, link, &[b"message", channel, message]);
        count += 1;
    }
    for (pattern, links) in hub.channels.patterns.iter() {
        if glob::matches(pattern, channel) {
            for link in links {
                deliver(hub, cx.out, own, link, &[b"pmessage", pattern, channel, message]);
                count += 1;
            }
        }
    }
    cx.out.count(count);
    Ok(())
}

pub(super) fn pubsub(cx: &mut Cx<'_>) -> Reply {
    let channels = &cx.hub.channels;
    match () {
        () if cx.args.is(1, "channels") && cx.args.len() <= 3 => {
            let pattern = cx.args.get(2);
            let is_meant = |name: &&Text| pattern.is_none_or(|pattern| glob::matches(pattern, name));
            let names: Vec<&Text> = channels.channels.iter().map(|(name, _)| name).filter(is_meant).collect();
            cx.out.array(names.len());
            names.iter().for_each(|name| cx.out.bulk(name));
        }
        () if cx.args.is(1, "numsub") => {
            cx.out.array((cx.args.len() - 2) * 2);
            for name in cx.args.from(2) {
                cx.out.bulk(name);
                cx.out.count(channels.channels.get(name).map_or(0, Vec::len));
            }
        }
        () => {
            super::part(cx, "PUBSUB", &["pubsub|numpat"], 2)?;
            cx.out.count(channels.patterns.len());
        }
    }
    Ok(())
}
