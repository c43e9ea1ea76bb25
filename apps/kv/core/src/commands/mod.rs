//! The commands.

mod acl;
mod bits;
pub mod blocking;
pub mod clients;
mod connection;
mod hashes;
mod info;
mod joins;
mod keys;
mod lcs;
mod lists;
mod persist;
pub mod pubsub;
mod random;
mod ranges;
mod scan;
mod sets;
mod settings;
mod sort;
mod sorted;
mod strings;
pub mod table;
pub mod transaction;
mod words;

use crate::data::names::Names;
use crate::fault::{Fault, Reply};
use crate::resp::{Args, Out};
use crate::server::client::Silence;
use crate::server::hub::{has_memory, make_room};
use crate::server::{Client, Core, Hub, Session};
use crate::store::Store;
use alloc::vec::Vec;
use table::{Command, Flags, Outcome};

/// What a command is given.
pub struct Cx<'a> {
    /// The data.
    pub store: &'a mut Store,
    /// What clients share.
    pub hub: &'a mut Hub,
    /// Where its answer goes.
    pub out: &'a mut Out,
    /// Who asks.
    pub session: &'a mut Session,
    /// What it says, the name first.
    pub args: Args<'a>,
}

/// Runs a command; its answer is in the client's output. Those who wait for what it has stored get it.
pub fn execute(core: &mut Core, client: &mut Client, args: Args<'_>) {
    let Client { out, session } = client;
    let from = out.octets.len();
    let Core { store, hub } = core;
    store.db = session.link.db.get();
    run(&mut Cx { store, hub, out, session, args });
    let queued = session.queue.as_ref().map_or(-1, |queue| queue.len().cast_signed());
    session.link.figures.set((session.names.each_ref().map(Names::len), queued));
    match session.silence {
        Silence::None => {}
        Silence::Off | Silence::Skip => out.truncate(from),
        Silence::SkipNext => {}
    }
    session.silence = match session.silence {
        Silence::SkipNext => Silence::Skip,
        Silence::Skip => Silence::None,
        other => other,
    };
    if !core.store.ready.is_empty() {
        blocking::serve_ready(core);
    }
}

/// Runs a command, or queues it.
fn run(cx: &mut Cx<'_>) {
    let from = cx.out.octets.len();
    cx.hub.figures.commands += 1;
    let Some(command) = cx.hub.table.find(cx.args.at(0)) else {
        break_queue(cx);
        let fault = unknown(cx);
        return refuse(cx, from, fault);
    };
    let done = match check(cx, command) {
        Ok(()) if cx.session.queue.is_some() && !command.flags.contains(Flags::NOW) => queue(cx, command),
        Ok(()) => return perform(cx, from, command),
        Err(fault) => {
            cx.hub.calls.note(command, Outcome::Rejected);
            break_queue(cx);
            Err(fault)
        }
    };
    if let Err(fault) = done {
        refuse(cx, from, fault);
    }
}

/// Nothing of what is queued is done.
fn break_queue(cx: &mut Cx<'_>) {
    if let Some(queue) = &mut cx.session.queue {
        queue.is_broken = true;
    }
}

/// Does what a command is for.
fn perform(cx: &mut Cx<'_>, from: usize, command: &Command) {
    cx.hub.calls.note(command, Outcome::Called);
    if let Err(fault) = (command.run)(cx) {
        cx.hub.calls.note(command, Outcome::Failed);
        refuse(cx, from, fault);
    }
}

/// Runs a command of a transaction.
fn execute_queued(cx: &mut Cx<'_>, args: Args<'_>) {
    let from = cx.out.octets.len();
    cx.hub.figures.commands += 1;
    let Some(command) = cx.hub.table.find(args.at(0)) else { return };
    cx.store.db = cx.session.link.db.get();
    cx.session.link.command.set(command.name);
    let Cx { store, hub, out, session, .. } = cx;
    let mut inner = Cx { store, hub, out, session, args };
    let grows = command.flags.contains(Flags::GROWS);
    let has_room = !grows || make_room(inner.store, inner.hub, args);
    if has_room { perform(&mut inner, from, command) } else { refuse(&mut inner, from, Fault::OUT_OF_MEMORY) }
}

impl Cx<'_> {
    /// A fault whose words name something.
    #[inline(never)]
    fn blame(&self, before: &str, named: &[u8], after: &str) -> Fault {
        self.session.blame.replace([before.as_bytes(), named, after.as_bytes()].concat());
        Fault::BUILT
    }
}

fn refuse(cx: &mut Cx<'_>, from: usize, fault: Fault) {
    cx.hub.figures.errors += 1;
    cx.out.truncate(from);
    let text = match fault.text().split_once('%') {
        _ if fault == Fault::BUILT => cx.session.blame.take(),
        None => fault.text().into(),
        Some((before, after)) => [before, cx.session.link.command.get(), after].concat().into_bytes(),
    };
    cx.hub.calls.note_error(&text);
    cx.out.error(&text);
}

fn queue(cx: &mut Cx<'_>, command: &Command) -> Reply {
    if command.flags.contains(Flags::NO_MULTI) {
        break_queue(cx);
        return Err(Fault(&"ERR Command not allowed inside a transaction"));
    }
    let most = cx.hub.config.query_buffer;
    if let Some(queue) = &mut cx.session.queue {
        if queue.is_full(cx.args, most) {
            queue.is_broken = true;
            return Err(Fault::OUT_OF_MEMORY);
        }
        queue.push(cx.args);
    }
    cx.out.simple("QUEUED");
    Ok(())
}

/// Whether there is memory for a copy of what is at these places.
fn check_room(store: &Store, places: &[Option<u32>]) -> Reply {
    let octets = places.iter().flatten().map(|at| store.object(*at).weight()).sum();
    if has_memory(octets) { Ok(()) } else { Err(Fault::OUT_OF_MEMORY) }
}

fn check(cx: &mut Cx<'_>, command: &'static Command) -> Reply {
    cx.session.link.command.set(command.name);
    if !command.takes(cx.args.len()) {
        return Err(wrong_words(command));
    }
    if !cx.session.is_trusted && !command.flags.contains(Flags::STRANGER) {
        return Err(Fault(&"NOAUTH Authentication required."));
    }
    if cx.hub.disk_refuses(command.flags) {
        return Err(cx.hub.misconf());
    }
    check_size(cx, command)?;
    let is_growing = command.flags.contains(Flags::GROWS);
    if is_growing && !make_room(cx.store, cx.hub, cx.args) {
        return Err(Fault::OUT_OF_MEMORY);
    }
    let is_listening = cx.out.version < 3 && cx.session.subscriptions() > 0;
    if is_listening && !command.flags.contains(Flags::PUBSUB) {
        return Err(cx.blame(
            "ERR Can't execute '",
            command.name.as_bytes(),
            "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        ));
    }
    Ok(())
}

/// What an argument takes that is kept beside the data, beside its octets: entries of tables, and handles.
const KEPT: usize = 200;
/// Keys that are few enough to look for elements in them.
const FEW: usize = 64;

/// Whether names are short enough, and there is memory for those that are kept beside the data.
fn check_size(cx: &Cx<'_>, command: &Command) -> Reply {
    let (most, keeps) = (cx.hub.config.limits.name, command.flags.contains(Flags::KEEPS));
    let is_long = (keeps || command.flags.contains(Flags::WRITES)) && cx.args.span() > most;
    if is_long && !command.has_names_within(cx.args, most) {
        return Err(Fault::NAME_TOO_LONG);
    }
    // Who takes a few elements may make room: see `take_first`.
    if keeps && (cx.args.len() > FEW || !command.flags.contains(Flags::BLOCKS)) {
        return check_kept(cx);
    }
    Ok(())
}

/// Whether there is memory to keep the arguments beside the data.
fn check_kept(cx: &Cx<'_>) -> Reply {
    let octets = cx.args.octets() + KEPT * cx.args.len();
    if has_memory(octets) { Ok(()) } else { Err(Fault::OUT_OF_MEMORY) }
}

fn wrong_words(command: &Command) -> Fault {
    if command.name == "exec" {
        // What goes wrong here ends the transaction.
        return Fault(
            &"EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
        );
    }
    Fault::ARITY
}

fn unknown(cx: &Cx<'_>) -> Fault {
    const SHOWN: usize = 128;
    let cut = |arg: &[u8], len: usize| arg[..arg.len().min(len)].to_vec();
    let mut text: Vec<u8> = b"ERR unknown command '".to_vec();
    text.extend(cut(cx.args.at(0), SHOWN));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut said = 0;
    for arg in cx.args.from(1) {
        if said >= SHOWN {
            break;
        }
        let arg = cut(arg, SHOWN - said);
        said += arg.len() + 3;
        text.extend([b"'", &arg[..], b"' "].concat());
    }
    cx.blame("", &text, "")
}

/// Which of the parts of a command is meant, `words` in all; they are named with the command before them.
#[inline(never)]
fn part<'n>(cx: &Cx<'_>, command: &str, known: &[&'n str], words: usize) -> Result<&'n str, Fault> {
    let is_meant = |name: &&&str| name.split_once('|').is_some_and(|(_, part)| cx.args.is(1, part));
    let name = known.iter().find(is_meant).ok_or_else(|| unknown_part(cx, command))?;
    if cx.args.len() == words { Ok(name) } else { Err(arity(cx, name)) }
}

/// That a part of a command has too few or too many words.
fn arity(cx: &Cx<'_>, name: &str) -> Fault {
    cx.blame("ERR wrong number of arguments for '", name.as_bytes(), "' command")
}

fn unknown_part(cx: &Cx<'_>, command: &str) -> Fault {
    blame_part(cx, "ERR unknown subcommand '", command)
}

/// That a part of a command that takes so or so many words has more.
fn wordy_part(cx: &Cx<'_>, command: &str) -> Fault {
    blame_part(cx, "ERR unknown subcommand or wrong number of arguments for '", command)
}

#[inline(never)]
fn blame_part(cx: &Cx<'_>, before: &str, command: &str) -> Fault {
    let part = cx.args.at(1);
    let shown = &part[..part.len().min(128)];
    let after = ["'. Try ", command, " HELP."].concat();
    cx.blame(before, shown, &after)
}
