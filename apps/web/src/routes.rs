//! Who answers what.

use crate::site::Site;
use crate::state::State;
use crate::{metrics, status};
use alloc::rc::Rc;
use fata::http::{Request, Response, Router};

/// The appliance's routes: its own pages, and the site everywhere else.
pub fn router(site: &'static Site, state: Rc<State>) -> Router {
    let last_modified = state.last_modified(site.last_modified);
    let (for_metrics, for_json) = (state.clone(), state.clone());
    Router::new()
        .get("/status", async move |_: Request<'_>| fresh(Response::html(status::page(&state))))
        .get("/status.json", async move |_: Request<'_>| {
            fresh(Response::new(fata::http::Status::OK).body(status::json(&for_json)))
                .header("Content-Type", "application/json")
        })
        .get("/metrics", async move |_: Request<'_>| {
            Response::new(fata::http::Status::OK)
                .header("Content-Type", metrics::CONTENT_TYPE)
                .body(metrics::text(&for_metrics))
        })
        .get("/{*path}", async move |request: Request<'_>| site.respond(&request, last_modified))
}

/// Content that is another each time.
fn fresh(response: Response) -> Response {
    response.header("Cache-Control", "no-store")
}
