//! Transactions: commands that run together, if nothing that was watched has changed.

use super::{Cx, execute_queued};
use crate::fault::{Fault, Reply};
use crate::resp::Args;
use crate::server::Session;
use crate::server::client::Queue;
use crate::store::{Store, full_name, parts_of};

pub(super) fn multi(cx: &mut Cx<'_>) -> Reply {
    if cx.session.queue.is_some() {
        return Err(Fault(&"ERR MULTI calls can not be nested"));
    }
    cx.session.queue = Some(Queue::default());
    cx.out.ok();
    Ok(())
}

pub(super) fn discard(cx: &mut Cx<'_>) -> Reply {
    if cx.session.queue.take().is_none() {
        return Err(Fault(&"ERR DISCARD without MULTI"));
    }
    forget(cx.store, cx.session);
    cx.out.ok();
    Ok(())
}

pub(super) fn exec(cx: &mut Cx<'_>) -> Reply {
    let queue = cx.session.queue.take().ok_or(Fault(&"ERR EXEC without MULTI"))?;
    let is_dirty = cx.session.is_dirty.get() || has_expired(cx.store, cx.session);
    forget(cx.store, cx.session);
    if queue.is_broken {
        return Err(Fault(&"EXECABORT Transaction discarded because of previous errors."));
    }
    if is_dirty {
        cx.out.null_array();
        return Ok(());
    }
    let is_refused = |args: Args<'_>| {
        cx.hub.table.find(args.at(0)).is_some_and(|command| cx.hub.disk_refuses(command.flags))
    };
    if cx.hub.disk_fault.is_some() && queue.iter().any(is_refused) {
        return Err(cx.blame(
            "EXECABORT Transaction discarded because of: ",
            cx.hub.misconf().text().as_bytes(),
            "",
        ));
    }
    cx.out.array(queue.len());
    cx.session.in_exec = true;
    for args in queue.iter() {
        execute_queued(cx, args);
    }
    cx.session.in_exec = false;
    Ok(())
}

pub(super) fn watch(cx: &mut Cx<'_>) -> Reply {
    if cx.session.queue.is_some() {
        return Err(Fault(&"ERR WATCH inside MULTI is not allowed"));
    }
    for key in cx.args.from(1) {
        if !cx.session.may_name(key.len()) {
            return Err(Fault(&"ERR too many watched keys"));
        }
        // One that is over already is not there, and may stay so.
        cx.store.peek(key);
        cx.store.watch(key, &cx.session.is_dirty);
        cx.session.watched.insert(&full_name(cx.store.db, key));
    }
    cx.out.ok();
    Ok(())
}

pub(super) fn unwatch(cx: &mut Cx<'_>) -> Reply {
    forget(cx.store, cx.session);
    cx.out.ok();
    Ok(())
}

/// Whether something that is watched is over, and nobody has noticed yet.
fn has_expired(store: &mut Store, session: &Session) -> bool {
    for name in session.watched.iter() {
        let (db, key) = parts_of(name);
        store.within(db, |store| store.peek(key));
    }
    session.is_dirty.get()
}

/// Watches nothing any more.
pub fn forget(store: &mut Store, session: &mut Session) {
    store.unwatch(&core::mem::take(&mut session.watched), &session.is_dirty);
    session.is_dirty.set(false);
}
