//! Commands about the connection itself.

use super::{Cx, transaction};
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::number::parse_int;
use crate::server::client::Silence;

/// Redis's version whose behaviour this has.
pub const VERSION: &str = "7.0.15";

pub(super) fn ping(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len() > 2 {
        return Err(Fault::ARITY);
    }
    let text = cx.args.get(1);
    if cx.out.version < 3 && cx.session.subscriptions() > 0 {
        cx.out.array(2);
        cx.out.bulk(b"pong");
        cx.out.bulk(text.unwrap_or_default());
        return Ok(());
    }
    match text {
        Some(text) => cx.out.bulk(text),
        None => cx.out.simple("PONG"),
    }
    Ok(())
}

pub(super) fn echo(cx: &mut Cx<'_>) -> Reply {
    cx.out.bulk(cx.key());
    Ok(())
}

pub(super) fn quit(cx: &mut Cx<'_>) -> Reply {
    cx.session.is_over = true;
    cx.out.ok();
    Ok(())
}

pub(super) fn reset(cx: &mut Cx<'_>) -> Reply {
    cx.session.queue = None;
    transaction::forget(cx.store, cx.session);
    cx.hub.channels.leave(cx.session);
    cx.session.silence = Silence::None;
    cx.session.is_trusted = cx.hub.config.password.is_none();
    speak(cx, 2);
    let link = &cx.session.link;
    link.db.set(0);
    link.no_evict.set(false);
    link.name.replace(Text::from(&b""[..]));
    cx.out.simple("RESET");
    Ok(())
}

fn speak(cx: &mut Cx<'_>, version: u8) {
    cx.out.version = version;
    cx.session.link.version.set(version);
}

pub(super) fn select(cx: &mut Cx<'_>) -> Reply {
    let db = super::words::database(cx.key(), Fault(&"ERR value is not an integer or out of range"))?;
    cx.session.link.db.set(db);
    cx.out.ok();
    Ok(())
}

/// Whether two texts are the same, in a time that does not depend on how much of them is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    core::hint::black_box(differing) == 0 && a.len() == b.len()
}

fn trust(cx: &mut Cx<'_>, user: &[u8], password: &[u8]) -> Reply {
    let is_right = match &cx.hub.config.password {
        Some(right) => is_same(right.as_bytes(), password),
        None => true,
    };
    if user != b"default" || !is_right {
        return Err(Fault(&"WRONGPASS invalid username-password pair or user is disabled."));
    }
    cx.session.is_trusted = true;
    Ok(())
}

pub(super) fn auth(cx: &mut Cx<'_>) -> Reply {
    match cx.args.len() {
        2 if cx.hub.config.password.is_none() => {
            return Err(Fault(
                &"ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => trust(cx, b"default", cx.args.at(1))?,
        3 => trust(cx, cx.args.at(1), cx.args.at(2))?,
        _ => return Err(Fault::SYNTAX),
    }
    cx.out.ok();
    Ok(())
}

pub(super) fn hello(cx: &mut Cx<'_>) -> Reply {
    let mut version = cx.out.version;
    if let Some(arg) = cx.args.get(1) {
        let number =
            parse_int(arg).ok_or(Fault(&"ERR Protocol version is not an integer or out of range"))?;
        version = match number {
            2 => 2,
            3 => 3,
            _ => return Err(Fault(&"NOPROTO unsupported protocol version")),
        };
    }
    let (mut name, mut n) = (None, 2);
    while n < cx.args.len() {
        let left = cx.args.len() - n - 1;
        if cx.args.is(n, "auth") && left >= 2 {
            trust(cx, cx.args.at(n + 1), cx.args.at(n + 2))?;
            n += 2;
        } else if cx.args.is(n, "setname") && left >= 1 {
            name = cx.args.get(n + 1);
            n += 1;
        } else {
            return Err(cx.blame("ERR Syntax error in HELLO option '", cx.args.at(n), "'"));
        }
        n += 1;
    }
    if !cx.session.is_trusted {
        return Err(Fault(
            &"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
             the same time",
        ));
    }
    if let Some(name) = name {
        super::clients::rename(cx, name)?;
    }
    speak(cx, version);
    let id = cx.session.link.id;
    let out = &mut *cx.out;
    out.map(7);
    for (name, value) in [("server", "redis"), ("version", VERSION)] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.int(i64::from(version));
    out.bulk(b"id");
    out.int(id.cast_signed());
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}
