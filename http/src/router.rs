//! Finds the handler of a request.

use crate::target::{self, Path};
use crate::{IntoResponse, Method, Request, Response, Status};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;

/// Routes: patterns of paths, each with a handler per method.
///
/// A pattern is a path whose segments are literal, or `{name}` for any one segment that is not empty, or at the end
/// `{*name}` for whatever is left, even nothing. Of several patterns that fit, the one counts that is more literal
/// further to the left: `/a/b` before `/a/{x}` before `/{*rest}`. The order of the calls does not matter.
///
/// A handler is an async function or closure that takes a [`Request`] and returns a [`Response`] (or what
/// [`IntoResponse`] turns into one).
#[derive(Default)]
pub struct Router {
    /// The most literal first.
    routes: Vec<Route>,
    fallback: Option<Box<dyn Handler>>,
}

struct Route {
    pattern: &'static str,
    shape: Shape,
    handlers: Vec<(Method, Box<dyn Handler>)>,
}

/// Where a request goes.
pub(crate) enum Found<'r> {
    Handler(&'r dyn Handler, &'static str),
    /// The answer is known without a handler.
    Answer(Response),
}

pub(crate) trait Handler {
    fn call<'a>(&'a self, request: Request<'a>) -> Answer<'a>;
}

/// What a handler gives.
pub(crate) enum Answer<'a> {
    AtOnce(Response),
    Later(Pin<Box<dyn Future<Output = Response> + 'a>>),
}

/// A handler with its result's type, which the trait does not tell.
struct Function<F, R>(F, PhantomData<fn() -> R>);

impl<F, R> Handler for Function<F, R>
where
    F: AsyncFn(Request<'_>) -> R,
    R: IntoResponse,
{
    fn call<'a>(&'a self, request: Request<'a>) -> Answer<'a> {
        Answer::Later(Box::pin(async move { (self.0)(request).await.into_response() }))
    }
}

/// As [`Function`], of one that has the answer at once.
struct SyncFunction<F, R>(F, PhantomData<fn() -> R>);

impl<F, R> Handler for SyncFunction<F, R>
where
    F: Fn(&Request<'_>) -> R,
    R: IntoResponse,
{
    fn call<'a>(&'a self, request: Request<'a>) -> Answer<'a> {
        Answer::AtOnce((self.0)(&request).into_response())
    }
}

impl Router {
    /// No routes: everything is 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET, and HEAD where it has no handler of its own.
    pub fn get<F, R>(self, pattern: &'static str, handler: F) -> Self
    where
        F: AsyncFn(Request<'_>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.route(Method::Get, pattern, handler)
    }

    /// As [`get`](Self::get), by a function that does not wait for anything: no memory is taken for waiting.
    pub fn get_sync<F, R>(mut self, pattern: &'static str, handler: F) -> Self
    where
        F: Fn(&Request<'_>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.insert(Method::Get, pattern, Box::new(SyncFunction(handler, PhantomData)));
        self
    }

    /// Answers POST.
    pub fn post<F, R>(self, pattern: &'static str, handler: F) -> Self
    where
        F: AsyncFn(Request<'_>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.route(Method::Post, pattern, handler)
    }

    /// Answers PUT.
    pub fn put<F, R>(self, pattern: &'static str, handler: F) -> Self
    where
        F: AsyncFn(Request<'_>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.route(Method::Put, pattern, handler)
    }

    /// Answers DELETE.
    pub fn delete<F, R>(self, pattern: &'static str, handler: F) -> Self
    where
        F: AsyncFn(Request<'_>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.route(Method::Delete, pattern, handler)
    }

    /// Answers a method.
    ///
    /// # Panics
    /// If the pattern does not start with `/`, or the same method of the same pattern has a handler already: a mistake in
    /// the program, not in a request.
    pub fn route<F, R>(mut self, method: Method, pattern: &'static str, handler: F) -> Self
    where
        F: AsyncFn(Request<'_>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.insert(method, pattern, Box::new(Function(handler, PhantomData)));
        self
    }

    /// Answers whatever no pattern fits, with any method, in place of 404.
    pub fn fallback<F, R>(mut self, handler: F) -> Self
    where
        F: AsyncFn(Request<'_>) -> R + 'static,
        R: IntoResponse + 'static,
    {
        self.fallback = Some(Box::new(Function(handler, PhantomData)));
        self
    }

    fn insert(&mut self, method: Method, pattern: &'static str, handler: Box<dyn Handler>) {
        assert!(pattern.starts_with('/'), "the pattern {pattern:?} does not start with /");
        let at = match self.routes.iter().position(|r| r.pattern == pattern) {
            Some(at) => at,
            None => {
                let more_literal = |r: &Route| compare(r.pattern, pattern) != Ordering::Greater;
                let at = self.routes.partition_point(more_literal);
                self.routes.insert(at, Route { pattern, shape: Shape::of(pattern), handlers: Vec::new() });
                at
            }
        };
        let handlers = &mut self.routes[at].handlers;
        assert!(handlers.iter().all(|(m, _)| *m != method), "two handlers for {pattern:?}");
        handlers.push((method, handler));
    }

    /// Finds who answers `method` on the still encoded `path`.
    pub(crate) fn find(&self, method: Method, path: Path<'_>) -> Found<'_> {
        if path.octets == b"*" {
            return Found::Answer(no_content("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        let Some(route) = self.routes.iter().find(|r| r.fits(path)) else {
            return match &self.fallback {
                Some(handler) => Found::Handler(&**handler, ""),
                None => Found::Answer(Response::error(Status::NOT_FOUND)),
            };
        };
        let own = |wanted| route.handlers.iter().find(|(m, _)| *m == wanted);
        match own(method).or_else(|| if method == Method::Head { own(Method::Get) } else { None }) {
            Some((_, handler)) => Found::Handler(&**handler, route.pattern),
            None if method == Method::Options => Found::Answer(no_content(&route.allow())),
            None => {
                let answer = Response::error(Status::METHOD_NOT_ALLOWED).header("Allow", &route.allow());
                Found::Answer(answer)
            }
        }
    }
}

/// What can be told of a pattern at a glance.
#[derive(Clone, Copy)]
enum Shape {
    /// All literal.
    Literal,
    /// `{*name}` behind so many literal octets.
    Rest(usize),
    /// Any other.
    Mixed,
}

impl Shape {
    fn of(pattern: &str) -> Self {
        let Some(at) = pattern.find('{') else { return Self::Literal };
        let (before, placeholder) = pattern.split_at(at);
        let is_rest = before.ends_with('/') && placeholder.starts_with("{*") && placeholder.ends_with('}');
        if is_rest && !placeholder.contains('/') { Self::Rest(at) } else { Self::Mixed }
    }
}

impl Route {
    /// Whether the pattern fits. Without escapes in the path most are decided by one comparison.
    fn fits(&self, path: Path<'_>) -> bool {
        match self.shape {
            Shape::Literal if !path.has_escapes => path.octets == self.pattern.as_bytes(),
            Shape::Rest(len) if !path.has_escapes => path.octets.starts_with(&self.pattern.as_bytes()[..len]),
            _ => fits(self.pattern, path.text()),
        }
    }

    /// The value of `Allow`.
    fn allow(&self) -> String {
        let mut text = String::new();
        let has = |wanted| self.handlers.iter().any(|(m, _)| *m == wanted);
        for method in Method::ALL {
            let by_itself = method == Method::Options || (method == Method::Head && has(Method::Get));
            if by_itself || has(method) {
                text.push_str(if text.is_empty() { "" } else { ", " });
                text.push_str(method.as_str());
            }
        }
        text
    }
}

fn no_content(allow: &str) -> Response {
    Response::new(Status::NO_CONTENT).header("Allow", allow)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'p> {
    Literal(&'p str),
    One(&'p str),
    Rest(&'p str),
}

fn segments(pattern: &str) -> impl Iterator<Item = Segment<'_>> {
    pattern[1..].split('/').map(|s| match s.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
        Some(name) => name.strip_prefix('*').map_or(Segment::One(name), Segment::Rest),
        None => Segment::Literal(s),
    })
}

/// The more literal pattern first; any order among those that cannot both fit.
fn compare(a: &str, b: &str) -> Ordering {
    let rank = |s| match s {
        Segment::Literal(_) => 0,
        Segment::One(_) => 1,
        Segment::Rest(_) => 2,
    };
    segments(a).map(rank).cmp(segments(b).map(rank))
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut rest = path.strip_prefix('/');
    for segment in segments(pattern) {
        if let Segment::Rest(_) = segment {
            return rest.is_some();
        }
        let Some((own, after)) = next_segment(rest) else { return false };
        let same = match segment {
            Segment::Literal(text) => {
                text == own || (own.contains('%') && target::decode(own, false) == text)
            }
            _ => !own.is_empty(),
        };
        if !same {
            return false;
        }
        rest = after;
    }
    rest.is_none()
}

/// What stands in the path where the pattern has `name`, still encoded. The pattern is one that fits.
pub(crate) fn param<'p>(pattern: &str, path: &'p str, name: &str) -> Option<&'p str> {
    let mut rest = path.strip_prefix('/');
    for segment in segments(pattern.strip_prefix('/').map(|_| pattern)?) {
        if let Segment::Rest(own) = segment {
            return if own == name { rest } else { None };
        }
        let (text, after) = next_segment(rest)?;
        if segment == Segment::One(name) {
            return Some(text);
        }
        rest = after;
    }
    None
}

/// The next segment and what follows its slash, if there is one.
fn next_segment(rest: Option<&str>) -> Option<(&str, Option<&str>)> {
    rest.map(|r| r.split_once('/').map_or((r, None), |(own, after)| (own, Some(after))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_sent(text: &str) -> Path<'_> {
        Path { octets: text.as_bytes(), has_escapes: text.contains('%') }
    }

    #[test]
    fn patterns_that_fit() {
        for (pattern, path, fit) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a", "/%61", true),
            ("/a b", "/a%20b", true),
            ("/a/{x}", "/a/b", true),
            ("/a/{x}", "/a/", false),
            ("/a/{x}", "/a/b/c", false),
            ("/{x}/c", "/b/c", true),
            ("/{*x}", "/", true),
            ("/{*x}", "/a/b/c", true),
            ("/a/{*x}", "/a/", true),
            ("/a/{*x}", "/a", false),
            ("/a/{*x}", "/b", false),
            ("/{x}", "/a%2Fb", true),
            ("/a/{*x}", "/%61/b", true),
            ("/a{*x}", "/ab", false),
            ("/{*x}y", "/ab", false),
            ("/{*x}y", "/{*x}y", true),
            ("/{*x}/b", "/a", true),
        ] {
            let router = Router::new().get(pattern, async |_: Request<'_>| Status::OK);
            assert_eq!(router.routes[0].fits(as_sent(path)), fit, "{pattern} {path}");
            assert_eq!(fits(pattern, path), fit, "{pattern} {path}");
        }
    }

    #[test]
    fn parameters() {
        for (pattern, path, name, value) in [
            ("/a/{x}", "/a/b", "x", Some("b")),
            ("/a/{x}", "/a/b", "y", None),
            ("/{x}/{y}", "/a/b", "y", Some("b")),
            ("/f/{*rest}", "/f/a/b%2Fc", "rest", Some("a/b%2Fc")),
            ("/f/{*rest}", "/f/", "rest", Some("")),
            ("", "/f", "rest", None),
        ] {
            assert_eq!(param(pattern, path, name), value, "{pattern} {path} {name}");
        }
    }

    #[test]
    fn the_more_literal_pattern_counts_in_any_order() {
        let patterns = ["/{*rest}", "/a/{x}", "/{x}/b", "/a/b", "/a/{*rest}", "/"];
        for turn in 0..patterns.len() {
            let mut router = Router::new();
            for n in 0..patterns.len() {
                router = router.get(patterns[(n + turn) % patterns.len()], async |_: Request<'_>| Status::OK);
            }
            for (path, expected) in [
                ("/", "/"),
                ("/a/b", "/a/b"),
                ("/a/c", "/a/{x}"),
                ("/a/c/d", "/a/{*rest}"),
                ("/c/b", "/{x}/b"),
                ("/c/d", "/{*rest}"),
            ] {
                match router.find(Method::Get, as_sent(path)) {
                    Found::Handler(_, pattern) => assert_eq!(pattern, expected, "{path}"),
                    Found::Answer(_) => panic!("{path} has a handler"),
                }
            }
        }
    }

    #[test]
    fn allowed_methods() {
        let ok = async |_: Request<'_>| Status::OK;
        let router = Router::new().post("/a", ok).get("/a", ok).route(Method::Options, "/b", ok);
        assert_eq!(router.routes[0].allow(), "GET, HEAD, POST, OPTIONS");
        assert_eq!(router.routes[1].allow(), "OPTIONS");
    }
}
