//! `ACL`: there is one user, who may do everything.

use super::{Cx, part, unknown_part};
use crate::fault::Reply;

pub(super) fn acl(cx: &mut Cx<'_>) -> Reply {
    match part(cx, "ACL", &["acl|getuser", "acl|list", "acl|users", "acl|whoami"], usize::MAX) {
        _ if cx.args.is(1, "getuser") && cx.args.len() == 3 => get_user(cx),
        // Without the password's hash, for which there is no function here.
        _ if cx.args.is(1, "list") && cx.args.len() == 2 => {
            cx.out.array(1);
            let has_password = cx.hub.config.password.is_some();
            let user = if has_password {
                "user default on ~* &* +@all"
            } else {
                "user default on nopass ~* &* +@all"
            };
            cx.out.bulk(user.as_bytes());
        }
        _ if cx.args.is(1, "users") && cx.args.len() == 2 => {
            cx.out.array(1);
            cx.out.bulk(b"default");
        }
        _ if cx.args.is(1, "whoami") && cx.args.len() == 2 => cx.out.bulk(b"default"),
        known => {
            known?;
            return Err(unknown_part(cx, "ACL"));
        }
    }
    Ok(())
}

fn get_user(cx: &mut Cx<'_>) {
    if cx.args.at(2) != b"default" {
        return cx.out.null();
    }
    let flags: &[&str] = if cx.hub.config.password.is_some() { &["on"] } else { &["on", "nopass"] };
    let out = &mut *cx.out;
    out.map(6);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(0);
    for (name, may) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        out.bulk(name.as_bytes());
        out.bulk(may.as_bytes());
    }
    out.bulk(b"selectors");
    out.array(0);
}
