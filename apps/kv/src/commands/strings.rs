//! Strings.

use super::Cx;
use crate::data::object::Value;
use crate::fault::{Fault, Reply};

pub fn get(cx: &mut Cx<'_>) -> Reply {
    let Some(at) = cx.store.read(cx.args.at(1)) else {
        cx.out.null();
        return Ok(());
    };
    match &cx.store.object(at).value {
        Value::Int(number) => cx.out.bulk_int(*number),
        Value::Text(text) => cx.out.bulk(text),
        Value::Buffer(octets) => cx.out.bulk(octets),
        _ => return Err(Fault::WRONG_TYPE),
    }
    Ok(())
}

pub fn set(cx: &mut Cx<'_>) -> Reply {
    cx.store.put(cx.args.at(1), Value::string(cx.args.at(2)));
    cx.out.ok();
    Ok(())
}
