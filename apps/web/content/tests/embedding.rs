//! What the build script makes of a folder.

use std::fs;
use std::path::{Path, PathBuf};
use web_content::emit::{self, Packed};
use web_content::{compress, media, tree};

/// A new folder with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    for (path, content) in files {
        let place = root.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }
    root
}

#[test]
fn files_in_order_and_none_that_hide() {
    let long = "a line that comes again and again\n".repeat(100);
    let root = folder(
        "order",
        &[
            ("index.html", &long),
            ("b c/index.html", "x"),
            ("a.txt", "y"),
            (".git/x", ""),
            (".well-known/y", "z"),
        ],
    );
    let files = tree::read(&root).unwrap();
    let paths: Vec<_> = files.iter().map(|f| &*f.path).collect();
    assert_eq!(paths, ["/.well-known/y", "/a.txt", "/b c/index.html", "/index.html"]);
    let out = folder("order-out", &[("x", "")]);
    let text = emit::tables(&files, Packed::All, Some(5), &out).unwrap();
    for part in [
        "last_modified: Some(5)",
        "not_found: None",
        "(\"/\", Target::File(&FILE_3))",
        "(\"/b c\", Target::Folder(\"/b%20c/\"))",
        "(\"/b c/\", Target::File(&FILE_2))",
        "Content-Encoding: gzip",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("gzip: Some").count(), 1, "only what gets smaller");
    assert_eq!(text, emit::tables(&files, Packed::All, Some(5), &out).unwrap());
}

#[test]
fn pages_are_plain_where_their_length_could_tell() {
    let long = "a line that comes again and again\n".repeat(100);
    let root = folder("plain", &[("index.html", &*long), ("a.htm", &long), ("style.css", &long)]);
    let files = tree::read(&root).unwrap();
    let out = folder("plain-out", &[("x", "")]);
    for (packed, count) in [(Packed::All, 3), (Packed::Assets, 1)] {
        let text = emit::tables(&files, packed, None, &out).unwrap();
        assert_eq!(text.matches("gzip: Some").count(), count);
        // Who gets no other form has none to choose from.
        assert_eq!(text.matches("Vary").count(), 2 * count);
    }
    assert_eq!(Packed::named(None, Packed::Assets), Ok(Packed::Assets));
    assert_eq!(Packed::named(Some("all"), Packed::Assets), Ok(Packed::All));
    assert_eq!(Packed::named(Some("assets"), Packed::All), Ok(Packed::Assets));
    assert!(Packed::named(Some("pages"), Packed::All).is_err());
}

#[test]
fn what_could_never_be_served_is_refused() {
    for name in ["status", "metrics/x", "status.json", "capture.pcap", "a\\b"] {
        let root = folder("refused", &[(name, "")]);
        assert!(tree::check_names(&tree::read(&root).unwrap()).is_err(), "{name}");
    }
    let root = folder("allowed", &[("statuses", ""), ("a/status", ""), ("ä.html", "")]);
    assert!(tree::check_names(&tree::read(&root).unwrap()).is_ok());
    assert!(tree::read(Path::new("/does/not/exist")).is_err());
}

#[test]
fn names_for_contents() {
    // Test vectors of the FNV authors.
    assert_eq!(compress::digest(b""), "6c62272e07bb014262b821756295c58d");
    assert_eq!(compress::digest(b"a"), "d228cb696f1a8caf78912b704e4a8964");
    assert_eq!(compress::gzip(b"short"), None);
    assert_eq!(media::content_type("/a.b/C.HTML"), "text/html; charset=utf-8");
    assert_eq!(media::content_type("/a.b/c"), "application/octet-stream");
}
