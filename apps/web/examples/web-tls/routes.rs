//! Who answers what.

use alloc::format;
use alloc::rc::Rc;
use fata::http::{Request, Response, Router, Status};
use web_site::content::SITE;
use web_site::routes;
use web_site::state::State;

/// A year: browsers ask for HTTPS at once for so long (RFC 6797).
const TRANSPORT: &str = "max-age=31536000";

/// The site over HTTPS.
pub fn secure(state: Rc<State>) -> Router {
    let last_modified = state.last_modified(SITE.last_modified);
    routes::pages(state).get_sync("/{*path}", move |request: &Request<'_>| {
        SITE.respond(request, last_modified)
            .header("Strict-Transport-Security", TRANSPORT)
            .header("X-Content-Type-Options", "nosniff")
    })
}

/// Sends all clients to HTTPS.
pub fn redirects(port: u16) -> Router {
    Router::new().fallback(async move |request: Request<'_>| redirect(&request, port))
}

fn redirect(request: &Request<'_>, port: u16) -> Response {
    let host = request.header("host").and_then(|host| core::str::from_utf8(host).ok()).and_then(name);
    let Some(host) = host else { return Response::error(Status::BAD_REQUEST) };
    let (path, query) = (request.path(), request.query().unwrap_or_default());
    let mark = if query.is_empty() { "" } else { "?" };
    let location = match port {
        443 => format!("https://{host}{path}{mark}{query}"),
        _ => format!("https://{host}:{port}{path}{mark}{query}"),
    };
    Response::redirect(Status::PERMANENT_REDIRECT, &location)
}

/// The host of an authority, without its port; the square brackets of an address of IPv6 stay.
fn name(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    authority.get(..end).filter(|host| !host.is_empty())
}
