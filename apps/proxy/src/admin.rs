//! What is on the port of those who run it: the page of [`status`], and [`metrics`] for machines.

use crate::metrics;
use crate::relay::Proxy;
use crate::status;
use alloc::rc::Rc;
use alloc::string::String;
use fata::http::{Request, Response, Router, Stats};
use fata::time::Instant;

const STYLE: &str = include_str!("status.css");
/// The page has no scripts, and nothing from elsewhere.
const FIELDS: &str = "Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'; style-src 'self'; frame-ancestors 'none'\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";

/// Who answers there. `stats` are those of the clients' connections; `more` gives metrics of what else there is.
pub fn router(proxy: &Rc<Proxy>, stats: &Rc<Stats>, more: impl Fn() -> String + 'static) -> Router {
    let began = Instant::now();
    let (shown, counted) = (proxy.clone(), stats.clone());
    let page = move |_: &Request<'_>| {
        Response::html(status::page(&shown, &counted, began.elapsed())).prepared(FIELDS)
    };
    let style = |_: &Request<'_>| Response::new(fata::http::Status::OK).content_type("text/css").body(STYLE);
    let (shown, counted) = (proxy.clone(), stats.clone());
    let metrics = move |_: &Request<'_>| Response::text(metrics::text(&shown, &counted) + &more());
    Router::new().get_sync("/", page).get_sync("/status.css", style).get_sync("/metrics", metrics)
}
