//! XenStore: the host's tree of keys, where devices are described and front and back ends meet.
//!
//! [`XenStore`] is a handle that any number of tasks use at once; replies find their callers by number. The layers below:
//! `wire` (messages, pure), [`byte_ring`](crate::byte_ring) (the shared page), `connection` (who waits for what). The protocol is
//! `docs/misc/xenstore.txt` of Xen, the page `io/xs_wire.h`.
//!
//! A daemon that breaks the protocol breaks the connection: all callers and all watches get the same error from then on. One
//! that never answers keeps its callers waiting; they can use [`timeout`](fata_libos::time::timeout).

mod connection;
mod error;
mod request;
#[cfg(test)]
mod tests;
mod transaction;
mod watch;
pub mod wire;

#[cfg(not(target_os = "xen"))]
pub(crate) use connection::{REPLIES, REQUESTS};
pub use error::{BadValue, Errno, StoreError, StoreFault};
pub use request::{Changes, Done, Value};
pub use transaction::Later;
pub use watch::{Watch, Watching};

use crate::abi::xs_wire::{XS_DIRECTORY, XS_MKDIR, XS_READ, XS_RM, XS_WATCH, XS_WRITE};
use crate::events::Channel;
use crate::shared::SharedMemory;
use crate::text;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use connection::Connection;
pub(crate) use request::{Request, text_of};

/// XenStore, or one transaction in it. Paths are absolute, or relative to this domain's own directory.
#[derive(Clone)]
pub struct XenStore {
    connection: Rc<Connection>,
    tx_id: u32,
}

impl XenStore {
    /// Takes over the page and the channel that the guest was started with, and spawns the task that drives them.
    pub fn connect(page: SharedMemory, channel: Channel) -> Self {
        let connection = Connection::new(page, channel);
        fata_libos::spawn_detached(connection.clone().drive());
        Self { connection, tx_id: 0 }
    }

    fn request(&self, kind: u32, path: &str, rest: &[u8]) -> Request {
        let parts = [path.as_bytes(), b"\0", rest];
        match wire::check_path(path).and_then(|()| wire::check_payload(&parts)) {
            Ok(()) => self.connection.request(kind, self.tx_id, &parts),
            Err(e) => Request::failed(e),
        }
    }

    /// The value of a key. The request is on its way before it is awaited, as those of [`write`](Self::write),
    /// [`mkdir`](Self::mkdir), [`rm`](Self::rm) and [`watch`](Self::watch) are, and the daemon serves them in their order: who
    /// makes several before awaiting the first waits once for all.
    pub fn read<'a>(&self, path: &'a str) -> Value<'a> {
        Value { key: path, request: self.read_octets(path) }
    }

    /// The same as it comes.
    pub(crate) fn read_octets(&self, path: &str) -> Request {
        self.request(XS_READ, path, b"")
    }

    /// Sets a key, which is made where it does not exist.
    pub fn write(&self, path: &str, value: &str) -> Done {
        Done(self.request(XS_WRITE, path, value.as_bytes()))
    }

    /// Makes a directory, and those above it.
    pub fn mkdir(&self, path: &str) -> Done {
        Done(self.request(XS_MKDIR, path, b""))
    }

    /// Removes a key and what is below it.
    pub fn rm(&self, path: &str) -> Done {
        Done(self.request(XS_RM, path, b""))
    }

    /// The names of what is right below a path, a NUL behind each.
    pub(crate) fn directory_octets(&self, path: &str) -> Request {
        self.request(XS_DIRECTORY, path, b"")
    }

    /// The names of what is right below `path`.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let reply = self.directory_octets(path).await?;
        let mut names = Vec::new();
        for name in reply.split(|b| *b == 0).filter(|name| !name.is_empty()) {
            names.push(text::lossy(name.to_vec()));
        }
        Ok(names)
    }

    /// Watches `path` and all below it. Several watches of one path are each told of everything.
    pub fn watch(&self, path: &str) -> Watching {
        let added = wire::check_path(path).and_then(|()| self.connection.add_watch(path));
        let queue = match added {
            Ok(queue) => queue,
            Err(e) => return Watching { watch: None, request: Request::failed(e) },
        };
        // From here on the watch is a value: if the request fails or is dropped, so is the watch, which ends it.
        let watch = Watch::new(self.connection.clone(), queue);
        let token = alloc::format!("{}\0", watch.token());
        Watching { watch: Some(watch), request: self.request(XS_WATCH, path, token.as_bytes()) }
    }
}
