//! Names as the index has them: UTF-8, `/` between, no empty parts, none that lead upwards.

use alloc::string::String;

/// A name from its parts; `None` if it is not UTF-8 or leads upwards. That of the archive's own root is empty.
pub fn clean(prefix: &[u8], name: &[u8]) -> Option<String> {
    let mut clean = String::new();
    for part in [prefix, name] {
        join(&mut clean, core::str::from_utf8(part).ok()?, Upwards::Refused)?;
    }
    Some(clean)
}

/// Where a symbolic link of this (clean) name leads; `None` if that is out of the archive.
pub fn target(of: &str, link: &str) -> Option<String> {
    if link.starts_with('/') {
        return None;
    }
    let mut target = String::from(of.rsplit_once('/').map_or("", |(directory, _)| directory));
    join(&mut target, link, Upwards::Followed)?;
    Some(target)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upwards {
    Refused,
    Followed,
}

fn join(path: &mut String, parts: &str, upwards: Upwards) -> Option<()> {
    for part in parts.split('/') {
        match part {
            "" | "." => {}
            ".." if upwards == Upwards::Refused || path.is_empty() => return None,
            ".." => path.truncate(path.rfind('/').unwrap_or(0)),
            _ if part.contains('\0') => return None,
            _ => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(part);
            }
        }
    }
    Some(())
}
