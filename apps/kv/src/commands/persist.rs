//! Commands about the disk.

use super::Cx;
use crate::fault::Reply;

pub(super) fn lastsave(cx: &mut Cx<'_>) -> Reply {
    cx.out.int(cx.hub.figures.saved / 1000);
    Ok(())
}
