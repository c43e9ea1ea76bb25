//! The commands.

mod connection;
mod strings;
pub mod table;

use crate::fault::{Fault, Reply};
use crate::resp::{Args, Out};
use crate::server::{Client, Core, Hub, Session};
use crate::store::Store;
use alloc::vec::Vec;
use table::{Command, Flags};

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

/// Runs a command; its answer is in the client's output.
pub fn execute(core: &mut Core, client: &mut Client, args: Args<'_>) {
    let Client { out, session } = client;
    let from = out.octets.len();
    core.hub.figures.commands += 1;
    if let Err(fault) = try_execute(core, out, session, args) {
        core.hub.figures.errors += 1;
        out.truncate(from);
        out.error(fault.text());
    }
}

fn try_execute(core: &mut Core, out: &mut Out, session: &mut Session, args: Args<'_>) -> Reply {
    let checked = check(core, session, args);
    let command = match checked {
        Ok(command) => command,
        Err(fault) => {
            if let Some(queue) = &mut session.queue {
                queue.is_broken = true;
            }
            return Err(fault);
        }
    };
    session.link.command.set(command.name);
    if let Some(queue) = &mut session.queue
        && !command.flags.contains(Flags::NOW)
    {
        queue.push(args);
        out.simple("QUEUED");
        return Ok(());
    }
    let Core { store, hub } = core;
    store.db = session.link.db.get();
    (command.run)(&mut Cx { store, hub, out, session, args })
}

fn check(core: &mut Core, session: &Session, args: Args<'_>) -> Result<&'static Command, Fault> {
    let Some(command) = core.hub.table.find(args.at(0)) else { return Err(unknown(args)) };
    if !command.takes(args.len()) {
        return Err(Fault::arity(command.name));
    }
    if !session.is_trusted && !command.flags.contains(Flags::STRANGER) {
        return Err(Fault::Said("NOAUTH Authentication required."));
    }
    if command.flags.contains(Flags::GROWS) && !core.make_room(args.octets()) {
        return Err(Fault::OUT_OF_MEMORY);
    }
    Ok(command)
}

fn unknown(args: Args<'_>) -> Fault {
    const SHOWN: usize = 128;
    let cut = |arg: &'_ [u8]| arg[..arg.len().min(SHOWN)].to_vec();
    let mut text: Vec<u8> = b"ERR unknown command '".to_vec();
    text.extend_from_slice(&cut(args.at(0)));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut said = 0;
    for arg in args.from(1) {
        if said >= SHOWN {
            break;
        }
        let arg = &arg[..arg.len().min(SHOWN - said)];
        text.extend_from_slice(&[b"'", arg, b"' "].concat());
        said += arg.len() + 3;
    }
    Fault::Built(text)
}
