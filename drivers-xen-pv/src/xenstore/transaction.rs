//! Transactions: reads and writes that take effect together, or not at all.

use super::request::Request;
use super::wire::{WireFault, parse_number, strip_nul};
use super::{Errno, StoreError, XenStore};
use crate::abi::xs_wire::{XS_TRANSACTION_END, XS_TRANSACTION_START};
use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;

/// Conflicts after which a transaction is given up.
const MAX_TRIES: usize = 32;

/// What is waited for, in one piece of code in an image however many wait for it.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + 'a>>;

/// A transaction that is open; dropping it takes it back.
struct Transaction {
    store: XenStore,
    open: bool,
}

impl Transaction {
    async fn start(store: &XenStore) -> Result<Self, StoreError> {
        let reply = store.connection.request(XS_TRANSACTION_START, 0, &[b"\0"]).await?;
        let id = parse_number(strip_nul(&reply)).filter(|id| *id != 0);
        let tx_id = id.ok_or(WireFault::Malformed { kind: XS_TRANSACTION_START, len: reply.len() });
        let tx_id = tx_id.map_err(|fault| StoreError::Broken(fault.into()))?;
        Ok(Self { store: XenStore { connection: store.connection.clone(), tx_id }, open: true })
    }

    fn commit(mut self) -> Request {
        self.open = false;
        self.end(b"T\0")
    }

    fn end(&self, how: &[u8]) -> Request {
        self.store.connection.request(XS_TRANSACTION_END, self.store.tx_id, &[how])
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            drop(self.end(b"F\0"));
        }
    }
}

impl XenStore {
    /// The same as [`transaction`](Self::transaction) for bodies that give nothing: its code is in an image once.
    pub fn transact<'a>(&'a self, body: &'a dyn Fn(XenStore) -> Later<'a, ()>) -> Later<'a, ()> {
        Box::pin(self.transaction(async move |store| body(store.clone()).await))
    }

    /// Runs `body` in a transaction, again from its start if others changed something meanwhile. An error of `body` takes back
    /// what it wrote.
    pub async fn transaction<T>(
        &self,
        body: impl AsyncFn(&XenStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..MAX_TRIES {
            let transaction = Transaction::start(self).await?;
            let out = body(&transaction.store).await?;
            match transaction.commit().await {
                Err(StoreError::Refused(Errno::EAGAIN)) => {}
                ended => return ended.map(|_| out),
            }
        }
        Err(StoreError::Refused(Errno::EAGAIN))
    }
}
