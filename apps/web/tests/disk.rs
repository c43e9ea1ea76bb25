//! The web server with its content on a disk, as a process, with curl: other content is another disk.

use fata::testing::{Process, example, free_port, run_tool};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is gone when the test has ended.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fata-web-disk-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("site/css")).unwrap();
        let folder = Self(path);
        folder.write("index.html", "<h1>first</h1>\n");
        folder.write("css/index.html", "about styles\n");
        folder.write("css/style sheet.css", "h1 { color: red }\n");
        folder.write("large.txt", &"0123456789abcdef".repeat(10_000));
        folder.write(".hidden", "secret\n");
        folder
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.site().join(name), content).unwrap();
    }

    fn site(&self) -> PathBuf {
        self.0.join("site")
    }

    fn disk(&self) -> PathBuf {
        self.0.join("disk")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = run_tool(program, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whole sectors.
fn pad(disk: &Path) {
    let file = fs::OpenOptions::new().write(true).open(disk).unwrap();
    let octets = file.metadata().unwrap().len();
    file.set_len(octets.next_multiple_of(512)).unwrap();
}

fn tar(folder: &Folder, option: &str) {
    let (site, disk) = (folder.site(), folder.disk());
    tool("tar", &["-C", site.to_str().unwrap(), option, disk.to_str().unwrap(), "."]);
    pad(&disk);
}

fn plain_tar(folder: &Folder) {
    tar(folder, "-cf");
}

fn packed_tar(folder: &Folder) {
    tar(folder, "-czf");
}

fn fat_volume(folder: &Folder) {
    let disk = folder.disk();
    fs::File::create(&disk).unwrap().set_len(8 << 20).unwrap();
    let disk = disk.to_str().unwrap();
    tool("/usr/sbin/mkfs.fat", &[disk]);
    for entry in fs::read_dir(folder.site()).unwrap() {
        tool("mcopy", &["-s", "-i", disk, entry.unwrap().path().to_str().unwrap(), "::"]);
    }
}

struct Web {
    process: Process,
    url: String,
}

impl Web {
    fn start(disk: Option<&Path>, says: &str) -> Self {
        let port = free_port();
        let disk = disk.map(|disk| format!("site.file={}", disk.display()));
        let process = Process::start(example("web-disk"), disk.into_iter().chain([format!("port={port}")]));
        process.wait_for(&format!("web-disk: {says}"));
        process.wait_for(&format!("on port {port}"));
        Self { process, url: format!("http://127.0.0.1:{port}") }
    }

    fn curl(&self, arguments: &[&str], path: &str) -> String {
        let url = format!("{}{path}", self.url);
        let always = ["--silent", "--show-error", "--max-time", "10"];
        tool("curl", &[&always, arguments, &[&url]].concat())
    }

    fn status(&self, path: &str) -> String {
        let written = "%{http_code} %{content_type} %{redirect_url}";
        self.curl(&["--path-as-is", "--output", "/dev/null", "--write-out", written], path)
    }
}

fn content_changes_without_a_build(name: &str, make: fn(&Folder), says: &str) {
    let folder = Folder::new(name);
    make(&folder);
    let web = Web::start(Some(&folder.disk()), says);
    assert_eq!(web.curl(&[], "/"), "<h1>first</h1>\n");
    assert_eq!(web.curl(&[], "/css/"), "about styles\n");
    assert_eq!(web.curl(&[], "/css/style%20sheet.css"), "h1 { color: red }\n");
    assert_eq!(web.curl(&[], "/large.txt"), "0123456789abcdef".repeat(10_000));
    let whole = "0123456789abcdef".repeat(10_000);
    for (range, part) in
        [("159990-", &whole[159_990..]), ("16000-49999", &whole[16_000..50_000]), ("-3", "def")]
    {
        assert_eq!(web.curl(&["--range", range], "/large.txt"), part, "{range}");
    }
    let said = "%{http_code} %header{content-range} %header{accept-ranges}";
    let answer = |more: &[&str]| {
        let head =
            web.curl(&[&["--output", "/dev/null", "--write-out", said][..], more].concat(), "/large.txt");
        head.trim_end().to_string()
    };
    assert_eq!(answer(&[]), "200  bytes");
    assert_eq!(answer(&["--range", "5-9"]), "206 bytes 5-9/160000");
    assert_eq!(answer(&["--range", "160000-"]), "416 bytes */160000");
    // Of what the client has begun with, and of what has changed since.
    let head = web.curl(&["--head"], "/large.txt");
    let tag =
        head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an entity-tag").trim().to_string();
    assert_eq!(answer(&["--range", "5-9", "--header", &format!("If-Range: {tag}")]), "206 bytes 5-9/160000");
    assert_eq!(answer(&["--range", "5-9", "--header", "If-Range: \"other\""]), "200  bytes");
    assert!(answer(&["--range", "5-9", "--header", &format!("If-None-Match: {tag}")]).starts_with("304"));
    assert_eq!(web.status("/css/style%20sheet.css"), "200 text/css; charset=utf-8 ");
    assert_eq!(web.status("/css?a=b"), format!("301  {}/css/?a=b", web.url));
    for path in ["/nothing", "/.hidden", "/css/../.hidden", "/../site", "//css", "/large.txt/", "/a*b"] {
        assert!(web.status(path).starts_with("404 "), "{path}");
    }
    let head = web.curl(&["--head"], "/");
    let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an entity-tag").trim();
    let condition = format!("If-None-Match: {tag}");
    assert_eq!(web.curl(&["--header", &condition, "--write-out", "%{http_code}"], "/"), "304");
    assert!(web.curl(&[], "/metrics").contains("fata_"));
    assert_eq!(web.process.leave().code(), Some(0));

    folder.write("index.html", "<h1>second, and longer</h1>\n");
    folder.write("404.html", "not here\n");
    make(&folder);
    let web = Web::start(Some(&folder.disk()), says);
    assert_eq!(web.curl(&["--header", &condition], "/"), "<h1>second, and longer</h1>\n");
    assert_eq!(web.curl(&[], "/nothing"), "not here\n");
    assert!(web.status("/nothing").starts_with("404 text/html"));
    assert_eq!(web.process.leave().code(), Some(0));
}

#[test]
fn from_an_archive() {
    content_changes_without_a_build("tar", plain_tar, "an archive of ");
}

#[test]
fn from_a_compressed_archive() {
    content_changes_without_a_build("tar.gz", packed_tar, "an archive of ");
}

#[test]
fn from_a_fat_volume() {
    content_changes_without_a_build("fat", fat_volume, "a FAT volume");
}

#[test]
fn without_a_disk_it_is_the_images_content() {
    let web = Web::start(None, "no disk, the content of the image");
    assert!(web.curl(&[], "/").contains("<html"));
    assert_eq!(web.process.leave().code(), Some(0));
}

#[test]
fn a_disk_with_nothing_on_it_is_said() {
    let folder = Folder::new("nothing");
    fs::write(folder.disk(), [0; 4096]).unwrap();
    let file = format!("site.file={}", folder.disk().display());
    let mut process = Process::start(example("web-disk"), [file]);
    process.wait_for("the disk has neither a FAT volume nor an archive of tar or tar.gz");
    assert_ne!(process.wait().code(), Some(0));
}
