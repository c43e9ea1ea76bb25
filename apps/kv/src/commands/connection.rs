//! Commands about the connection itself.

use super::Cx;
use crate::fault::{Fault, Reply};

pub fn ping(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len() > 2 {
        return Err(Fault::arity("ping"));
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
