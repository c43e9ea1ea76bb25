//! Reads the text of a manifest. What it does not know it refuses, with the line.

mod network;
mod table;

use self::network::{network, number_of};
use self::table::{Item, Table};
use crate::kind::{self, KINDS};
use crate::manifest::{BLOCK_KEYS, Block, Image, Manifest, NETWORK_KEYS_WITH_IPV6, Param};
use crate::{Error, ParamKind, Size, near};
use fata_libos::param::QUEUES;

/// What a guest is given where the manifest does not say.
const MEMORY: Size = Size::mib(16);

/// What an image needs to boot at all.
const LEAST_MEMORY: Size = Size::mib(4);

/// What the guest's code can be given at most: its tables of frames are made for no more.
const MOST_MEMORY: Size = Size::mib(512 * 1024);

/// Names of boot parameters that every guest has.
const RESERVED: [&str; 2] = ["log", "help"];

/// A boot parameter that every network interface has in a process, beside [`NETWORK_KEYS_WITH_IPV6`].
const TAP: &str = "tap";

/// The manifest in a text; `file` is for the errors.
pub fn manifest(file: &str, text: &str) -> Result<Manifest, Error> {
    let document = table::parse(file, text)?;
    let root = Table::root(file, text, &document);
    root.refuse_unknown(&["image", "network", "block", "params"])?;
    let image = match root.get("image") {
        Some(item) => image(&item.table()?)?,
        None => return Err(Error::of_file(file, "it has no [image], which names the image")),
    };
    let networks = each(&root, "network", network)?;
    let blocks = each(&root, "block", |item, table| {
        // The boot parameters of both begin with it.
        if networks.iter().any(|network| network.name == item.key) {
            return item.error(format!("[network.{}] has this name already", item.key));
        }
        block(item, table)
    })?;
    let own = [
        (&NETWORK_KEYS_WITH_IPV6[..], networks.is_empty()),
        (&[TAP][..], networks.is_empty()),
        (&BLOCK_KEYS[..], blocks.is_empty()),
    ];
    let own: Vec<&str> =
        own.into_iter().filter(|(_, is_empty)| !is_empty).flat_map(|(keys, _)| keys).copied().collect();
    let params = each(&root, "params", |name, table| param(name, table, &own))?;
    Ok(Manifest { image, networks, blocks, params })
}

/// The tables `[KIND.NAME]`, in the order of the file.
fn each<T>(
    root: &Table<'_>,
    kind: &str,
    read: impl Fn(&Item<'_>, &Table<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let Some(item) = root.get(kind) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for item in item.table()?.items() {
        check_name(&item)?;
        all.push(read(&item, &item.table()?)?);
    }
    Ok(all)
}

/// A name that is good as a boot parameter, as a constant in code, and in configurations.
fn check_name(item: &Item<'_>) -> Result<(), Error> {
    let name = item.key;
    let is_good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    match is_good {
        true => Ok(()),
        false => item.error(format!("the name {name:?} is not made of a-z, 0-9 and -, a letter first")),
    }
}

fn image(table: &Table<'_>) -> Result<Image, Error> {
    table.refuse_unknown(&["name", "memory", "max-size"])?;
    let name = table.require("name")?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let text = name.text()?;
    if text.is_empty() || !text.chars().all(is_good) {
        return name.error(format!("{text:?} is not the name of a binary or example"));
    }
    let memory = match table.get("memory") {
        Some(item) => memory(&item)?,
        None => MEMORY,
    };
    let max_size = table.get("max-size").map(|item| item.size()).transpose()?;
    Ok(Image { name: text.to_owned(), memory, max_size })
}

fn memory(item: &Item<'_>) -> Result<Size, Error> {
    let memory = item.size()?;
    if memory.as_mib().is_none() {
        return item
            .error(format!("{memory} is not a whole number of MiB, which is how guests are given memory"));
    }
    if memory < LEAST_MEMORY {
        return item
            .error(format!("{memory} is less than the {LEAST_MEMORY} that the smallest image boots in"));
    }
    if memory > MOST_MEMORY {
        return item.error(format!("{memory} is more than the {MOST_MEMORY} that a guest can have"));
    }
    Ok(memory)
}

fn block(item: &Item<'_>, table: &Table<'_>) -> Result<Block, Error> {
    table.refuse_unknown(&["size", "read-only", "optional", "queues"])?;
    let size = table.get("size").map(|item| item.size()).transpose()?;
    let is = |key| table.get(key).map(|item| item.boolean()).transpose().map(|is| is.unwrap_or(false));
    let (read_only, optional) = (is("read-only")?, is("optional")?);
    let queues = table.get("queues").map(|item| number_of(&item, item.integer()?, &QUEUES)).transpose()?;
    Ok(Block { name: item.key.to_owned(), size, read_only, optional, queues, line: item.line })
}

fn param(item: &Item<'_>, table: &Table<'_>, devices: &[&str]) -> Result<Param, Error> {
    let name = item.key;
    if RESERVED.contains(&name) || devices.contains(&name) {
        return item.error(format!("the boot parameter {name:?} is there already, Fata's own"));
    }
    table.refuse_unknown(&["type", "default", "help"])?;
    let default = table.get("default");
    let kind = match table.get("type") {
        Some(item) => kind_named(&item)?,
        None => default.as_ref().map_or(Ok(&KINDS[0]), kind_of)?,
    };
    let default = default.map(|item| default_value(&item, kind)).transpose()?;
    let help = table.require("help")?;
    let text = help.text()?;
    if text.trim().is_empty() || text.contains(char::is_control) {
        return help.error("is not one line of text".to_owned());
    }
    Ok(Param { name: name.to_owned(), kind, default, help: text.to_owned() })
}

fn kind_named(item: &Item<'_>) -> Result<&'static ParamKind, Error> {
    let name = item.text()?;
    let names = || KINDS.iter().map(|kind| kind.name);
    match kind::find(name) {
        Some(kind) => Ok(kind),
        None => {
            let known: Vec<_> = names().collect();
            item.error(format!(
                "there is no type {name:?}{}; there are: {}",
                near::hint(name, names()),
                known.join(", ")
            ))
        }
    }
}

/// The type that a default has by itself.
fn kind_of(default: &Item<'_>) -> Result<&'static ParamKind, Error> {
    let name = match default.what() {
        "integer" => "number",
        "boolean" => "bool",
        _ => "text",
    };
    Ok(kind::find(name).unwrap_or(&KINDS[0]))
}

fn default_value(item: &Item<'_>, kind: &ParamKind) -> Result<String, Error> {
    let value = match (kind.name, item.what()) {
        ("number" | "port" | "duration" | "size", "integer") => item.integer()?,
        ("bool", "boolean") => if item.boolean()? { "on" } else { "off" }.to_owned(),
        ("ipv4-list" | "ip-list", "array") => item.list()?,
        _ => item.text()?.to_owned(),
    };
    if !(kind.kind.check)(&value) {
        return item.error(format!("{value:?} is not {}", kind.kind.what));
    }
    sayable(item, value)
}

/// A value that could be given at boot too.
fn sayable(item: &Item<'_>, value: String) -> Result<String, Error> {
    match value.contains(|c: char| c == '"' || c.is_control()) {
        true => item.error("a boot parameter cannot hold quotes or line ends".to_owned()),
        false => Ok(value),
    }
}
