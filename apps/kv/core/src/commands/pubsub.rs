//! Messages to whom they concern.

use super::Cx;
use crate::data::map::Map;
use crate::data::names::Names;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::glob;
use crate::resp::Out;
use crate::server::{Hub, Link, Session};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What can be listened to. Those of a shard are channels of names of their own, as there is one shard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels whose names match a pattern.
    Pattern,
    /// A channel of a shard.
    Shard,
}

/// How many kinds there are.
pub const KINDS: usize = 3;

/// Who has subscribed to what, by kind.
#[derive(Default)]
pub struct Channels([Map<Vec<Rc<Link>>>; KINDS]);

impl Channels {
    fn add(&mut self, kind: Kind, name: &Text, link: &Rc<Link>) {
        let all = &mut self.0[kind as usize];
        let at = match all.find(name) {
            Some(at) => at,
            None => all.add(name.clone(), Vec::new()),
        };
        all.value_mut(at).push(link.clone());
    }

    /// How many have subscribers.
    pub fn len(&self, kind: Kind) -> usize {
        self.0[kind as usize].len()
    }

    /// Forgets a client.
    pub fn leave(&mut self, session: &mut Session) {
        for (all, names) in self.0.iter_mut().zip(&mut session.names) {
            core::mem::take(names).iter().for_each(|name| remove(all, name, &session.link));
        }
    }
}

fn remove(all: &mut Map<Vec<Rc<Link>>>, name: &Text, link: &Link) {
    let Some(at) = all.find(name) else { return };
    let links = all.value_mut(at);
    links.retain(|other| other.id != link.id);
    if links.is_empty() {
        all.remove(at);
    }
}

/// What the command that runs is about.
fn kind_of(cx: &Cx<'_>) -> Kind {
    match cx.session.link.command.get() {
        "psubscribe" | "punsubscribe" => Kind::Pattern,
        "ssubscribe" | "sunsubscribe" | "spublish" => Kind::Shard,
        _ => Kind::Channel,
    }
}

fn tell(cx: &mut Cx<'_>, kind: Kind, name: Option<&[u8]>) {
    cx.out.push(3);
    cx.out.bulk(cx.session.link.command.get().as_bytes());
    match name {
        Some(name) => cx.out.bulk(name),
        None => cx.out.null(),
    }
    let [channels, patterns, of_shards] = cx.session.names.each_ref().map(Names::len);
    cx.out.count(if kind == Kind::Shard { of_shards } else { channels + patterns });
}

pub(super) fn subscribe(cx: &mut Cx<'_>) -> Reply {
    let kind = kind_of(cx);
    for name in cx.args.from(1) {
        if !cx.session.may_name(name.len()) {
            return Err(Fault(&"ERR too many subscriptions"));
        }
        let name = Text::from(name);
        if cx.session.names[kind as usize].insert(&name) {
            cx.hub.channels.add(kind, &name, &cx.session.link);
        }
        tell(cx, kind, Some(&name));
    }
    Ok(())
}

pub(super) fn unsubscribe(cx: &mut Cx<'_>) -> Reply {
    let kind = kind_of(cx);
    let names: Vec<Text> = if cx.args.len() > 1 {
        cx.args.from(1).map(Text::from).collect()
    } else {
        cx.session.names[kind as usize].iter().cloned().collect()
    };
    if names.is_empty() {
        tell(cx, kind, None);
    }
    for name in names {
        if cx.session.names[kind as usize].remove(&name) {
            remove(&mut cx.hub.channels.0[kind as usize], &name, &cx.session.link);
        }
        tell(cx, kind, Some(&name));
    }
    Ok(())
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
    let (kind, channel, message) = (kind_of(cx), cx.key(), cx.args.at(2));
    let (hub, own) = (&*cx.hub, cx.session.link.id);
    let [_, patterns, _] = &hub.channels.0;
    let what = if kind == Kind::Shard { &b"smessage"[..] } else { b"message" };
    let mut count = 0;
    for link in hub.channels.0[kind as usize].get(channel).into_iter().flatten() {
        deliver(hub, cx.out, own, link, &[what, channel, message]);
        count += 1;
    }
    for (pattern, links) in patterns.iter() {
        if kind == Kind::Channel && glob::matches(pattern, channel) {
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
    let [channels, patterns, of_shards] = &cx.hub.channels.0;
    let is_of_shard = cx.args.at(1).get(..5).is_some_and(|front| front.eq_ignore_ascii_case(b"shard"));
    let all = if is_of_shard { of_shards } else { channels };
    match () {
        () if cx.args.is(1, "channels") || cx.args.is(1, "shardchannels") => {
            if cx.args.len() > 3 {
                return Err(super::wordy_part(cx, "PUBSUB"));
            }
            let pattern = cx.args.get(2);
            let is_meant = |name: &&Text| pattern.is_none_or(|pattern| glob::matches(pattern, name));
            let names: Vec<&Text> = all.iter().map(|(name, _)| name).filter(is_meant).collect();
            cx.out.array(names.len());
            names.iter().for_each(|name| cx.out.bulk(name));
        }
        () if cx.args.is(1, "numsub") || cx.args.is(1, "shardnumsub") => {
            cx.out.array((cx.args.len() - 2) * 2);
            for name in cx.args.from(2) {
                cx.out.bulk(name);
                cx.out.count(all.get(name).map_or(0, Vec::len));
            }
        }
        () => {
            super::part(cx, "PUBSUB", &["pubsub|numpat"], 2)?;
            cx.out.count(patterns.len());
        }
    }
    Ok(())
}
