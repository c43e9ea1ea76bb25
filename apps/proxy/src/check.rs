//! Asks a server again and again whether it is well.

use crate::backends::{Backend, Fault, count};
use crate::config::Check;
use crate::health::Seen;
use crate::pool::Pool;
use alloc::rc::Rc;
use embedded_io_async::{Error as _, Write as _};
use fata::fetch::Connector;
use fata::log::debug;
use fata::time::{sleep, timeout};
use fata_http::client::{Connection, Connector as _, Error, RequestHead};

/// Checks that server of a pool for ever.
pub async fn watch(pool: Rc<Pool>, number: usize, connector: Connector) {
    let (Some(server), Some(check)) = (pool.servers.get(number), &pool.config.check) else { return };
    let Some(head) = head(check, &server.config.origin.authority()) else { return };
    loop {
        let asked = timeout(check.timeout, ask(server, check, &head, &connector, &pool)).await;
        match asked.unwrap_or(Err(Fault::CheckTime)) {
            Ok(()) => pool.note(number, Seen::GoodCheck),
            Err(fault) => {
                count(&server.counts.bad_checks);
                debug!("check of {} went wrong: {fault}", server.name());
                let is_own = fault.is_own();
                server.failed(fault);
                if !is_own {
                    pool.note(number, Seen::BadCheck);
                }
            }
        }
        sleep(check.every).await;
    }
}

async fn ask(
    server: &Backend,
    check: &Check,
    head: &RequestHead,
    connector: &Connector,
    pool: &Pool,
) -> Result<(), Fault> {
    let (reader, mut writer) = connector.connect(&server.config.origin).await?;
    if let Some(version) = pool.config.send_proxy {
        let header = crate::proxy_protocol::header(version, None);
        writer.write_all(&header).await.map_err(|error| Error::Io(error.kind()))?;
    }
    let mut wire = Connection::new(reader, writer);
    let answer = wire.exchange(head, &[]).await?;
    let (from, to) = check.expect;
    match answer.status().code() {
        status if (from..=to).contains(&status) => Ok(()),
        status => Err(Fault::CheckStatus(status)),
    }
}

/// `None` for what the configuration has refused.
fn head(check: &Check, authority: &str) -> Option<RequestHead> {
    let mut head = RequestHead::new("GET", &check.path).ok()?;
    let host = check.host.as_deref().unwrap_or(authority);
    head.field("Host", host).ok()?.field("User-Agent", "fata-check").ok()?.close();
    Some(head)
}
