//! Asks a server again and again whether it is well.

use crate::backends::{Backend, Pool, count};
use crate::config::Check;
use crate::health::Seen;
use alloc::rc::Rc;
use fata::fetch::Connector;
use fata::log::debug;
use fata::time::{sleep, timeout};
use fata_http::client::{Connection, Connector as _, RequestHead};

/// Checks that server of a pool for ever.
pub async fn watch(pool: Rc<Pool>, number: usize, connector: Connector) {
    let (Some(server), Some(check)) = (pool.servers.get(number), &pool.config.check) else { return };
    loop {
        let is_good = timeout(check.timeout, ask(server, check, &connector, &pool)).await == Ok(Some(()));
        if !is_good {
            count(&server.counts.bad_checks);
            debug!("check of {} went wrong", server.config.origin.authority());
        }
        server.note(if is_good { Seen::GoodCheck } else { Seen::BadCheck });
        sleep(check.every).await;
    }
}

async fn ask(server: &Backend, check: &Check, connector: &Connector, pool: &Pool) -> Option<()> {
    let origin = &server.config.origin;
    let (reader, mut writer) = connector.connect(origin).await.ok()?;
    if let Some(version) = pool.config.send_proxy {
        let header = crate::proxy_protocol::header(version, None);
        embedded_io_async::Write::write_all(&mut writer, &header).await.ok()?;
    }
    let mut wire = Connection::new(reader, writer);
    let mut head = RequestHead::new("GET", &check.path).ok()?;
    let host = check.host.clone().unwrap_or_else(|| origin.authority());
    head.field("Host", host).ok()?.field("User-Agent", "fata-check").ok()?.close();
    let answer = wire.exchange(&head, &[]).await.ok()?;
    let (from, to) = check.expect;
    (from..=to).contains(&answer.status().code()).then_some(())
}
