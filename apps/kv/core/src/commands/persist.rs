//! Commands about the disk.

use super::Cx;
use crate::fault::Reply;

/// `SAVE`, `BGSAVE`, `BGREWRITEAOF`: there is nothing to be done that is not under way already.
pub(super) fn save(cx: &mut Cx<'_>) -> Reply {
    match () {
        () if cx.args.is(0, "save") => cx.out.ok(),
        () if cx.args.is(0, "bgsave") => cx.out.simple("Background saving started"),
        () => cx.out.simple("Background append only file rewriting started"),
    }
    Ok(())
}

pub(super) fn lastsave(cx: &mut Cx<'_>) -> Reply {
    cx.out.int(cx.hub.figures.saved / 1000);
    Ok(())
}
