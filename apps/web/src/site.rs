//! The content of the image, and what is sent of it.

use crate::{encoding, path};
use alloc::string::String;
use fata::http::{HttpDate, Request, Response, Status};

/// A site, made by `build/main.rs`.
#[derive(Debug)]
pub struct Site {
    /// When the builder says that the content is from, in seconds since 1970.
    pub last_modified: Option<u64>,
    /// What is shown where nothing is.
    pub not_found: Option<&'static File>,
    /// What is where, by decoded path, in order.
    pub entries: &'static [(&'static str, Target)],
}

/// What a path leads to.
#[derive(Debug)]
pub enum Target {
    /// A file. A folder's index is at the folder's path too.
    File(&'static File),
    /// A folder whose path lacks its slash: where it is, percent-encoded.
    Folder(&'static str),
}

/// A file in its variants.
#[derive(Debug)]
pub struct File {
    /// As it is.
    pub plain: Variant,
    /// In gzip, where that is smaller.
    pub gzip: Option<Variant>,
}

/// Octets, and what is said of them.
#[derive(Debug)]
pub struct Variant {
    /// Header lines, each with its CRLF, that of the entity-tag first.
    pub headers: &'static str,
    /// The entity-tag: a name for these octets.
    pub etag: &'static str,
    /// The octets.
    pub body: &'static [u8],
}

impl Site {
    /// What is at a request's path.
    fn find(&self, request: &Request<'_>) -> Option<&'static Target> {
        // No entry has dot segments: a path without escapes that is there needs no cleaning.
        request
            .plain_path()
            .and_then(|path| self.entry(path))
            .or_else(|| self.entry(path::clean(request.path())?.as_bytes()))
    }

    fn entry(&self, path: &[u8]) -> Option<&'static Target> {
        let at = self.entries.binary_search_by(|(own, _)| own.as_bytes().cmp(path)).ok()?;
        Some(&self.entries[at].1)
    }

    /// Answers a GET. `last_modified` is that of all files.
    pub fn respond(&self, request: &Request<'_>, last_modified: HttpDate) -> Response {
        match self.find(request) {
            Some(Target::File(file)) => {
                let variant = file.variant(request);
                Response::new(Status::OK)
                    .prepared_with_etag(variant.headers, variant.etag)
                    .last_modified(last_modified)
                    .body(variant.body)
            }
            Some(Target::Folder(place)) => redirect(place, request.query()),
            None => self.nothing(),
        }
    }

    fn nothing(&self) -> Response {
        match self.not_found {
            Some(File { plain, .. }) => {
                Response::new(Status::NOT_FOUND).prepared(plain.headers_without_etag()).body(plain.body)
            }
            None => Response::error(Status::NOT_FOUND),
        }
    }
}

impl Variant {
    /// For a page that is not what was asked for.
    fn headers_without_etag(&self) -> &'static str {
        self.headers.split_once('\n').map_or("", |(_, rest)| rest)
    }
}

impl File {
    fn variant(&self, request: &Request<'_>) -> &Variant {
        match &self.gzip {
            Some(gzip) if encoding::prefers_gzip(request.header_values("Accept-Encoding")) => gzip,
            _ => &self.plain,
        }
    }
}

fn redirect(place: &str, query: Option<&str>) -> Response {
    let mut location = String::from(place);
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    Response::redirect(Status::MOVED_PERMANENTLY, &location)
}
