//! Commands about the disk.

use super::Cx;
use crate::fault::Reply;

/// `SAVE`, `BGSAVE`, `BGREWRITEAOF`: what has changed is brought onto the disk. `SAVE` is answered when it is there.
pub(super) fn save(cx: &mut Cx<'_>) -> Reply {
    let is_save = cx.args.is(0, "save");
    if is_save && cx.hub.disk_fault.is_some() {
        return Err(cx.hub.misconf());
    }
    cx.hub.is_saving = true;
    match () {
        () if is_save => {
            cx.session.is_saving = true;
            cx.out.ok();
        }
        () if cx.args.is(0, "bgsave") => cx.out.simple("Background saving started"),
        () => cx.out.simple("Background append only file rewriting started"),
    }
    Ok(())
}

pub(super) fn lastsave(cx: &mut Cx<'_>) -> Reply {
    cx.out.int(cx.hub.figures.saved / 1000);
    Ok(())
}
