//! The sizes of images that docs/figures.md sets as a limit.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::image::pack;
use crate::images;
use crate::workspace::Workspace;

/// A limit on an image's size.
pub struct Size {
    /// Its name in the report.
    pub name: &'static str,
    image: &'static str,
    content: Content,
    limit_bytes: u64,
    /// Of the image as `cargo fata image pack` makes it.
    packed_limit_bytes: Option<u64>,
}

/// What an image has in it beside its code.
enum Content {
    Own,
    /// The web server's, without a site.
    EmptySite,
}

const SIZES: [Size; 7] = [
    Size {
        name: "size::hello",
        image: "hello",
        content: Content::Own,
        limit_bytes: 73_728,
        packed_limit_bytes: None,
    },
    Size {
        name: "size::web",
        image: "web",
        content: Content::EmptySite,
        limit_bytes: 448_512,
        packed_limit_bytes: None,
    },
    Size {
        name: "size::web_tls",
        image: "web+tls",
        content: Content::Own,
        limit_bytes: 1_048_576,
        packed_limit_bytes: None,
    },
    // The goal is that of HTTP/2 alone: with keys from a disk it is kept too.
    Size {
        name: "size::web_tls_h2_disk",
        image: "web+h2+disk",
        content: Content::Own,
        limit_bytes: 1_258_291,
        packed_limit_bytes: None,
    },
    Size {
        name: "size::kv",
        image: "kv",
        content: Content::Own,
        limit_bytes: 780_288,
        packed_limit_bytes: Some(460_800),
    },
    Size {
        name: "size::proxy",
        image: "proxy",
        content: Content::Own,
        limit_bytes: 1_802_240,
        packed_limit_bytes: None,
    },
    // With every kind of key that an authority's own certificate may have.
    Size {
        name: "size::proxy_acme",
        image: "proxy+acme",
        content: Content::Own,
        limit_bytes: 2_359_296,
        packed_limit_bytes: None,
    },
];

/// Those whose names contain `filter`.
pub fn select(filter: &str) -> Vec<&'static Size> {
    SIZES.iter().filter(|size| size.name.contains(filter)).collect()
}

impl Size {
    /// Looks at the image's size.
    pub fn check(&self, workspace: &Workspace, logs: &Path) -> Result<()> {
        let image = match self.content {
            Content::Own => images::image(self.image)?,
            Content::EmptySite => {
                let site = logs.join("empty-site");
                fs::create_dir_all(&site)?;
                let target = workspace.find(self.image, false)?.with_site(&site);
                images::build_as(&format!("{}-without-a-site", self.image), &target)?
            }
        };
        within(self.image, fs::metadata(&image)?.len(), self.limit_bytes)?;
        let Some(limit) = self.packed_limit_bytes else { return Ok(()) };
        within(&format!("{}, packed,", self.image), pack::packed(&image)?.len() as u64, limit)
    }
}

fn within(image: &str, size: u64, limit: u64) -> Result<()> {
    ensure!(
        size <= limit,
        "the image of {image} has {size} octets, {} over its limit of {limit}",
        size - limit
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_limit_are_said() {
        assert!(within("hello", 65_536, 65_536).is_ok());
        let error = within("hello", 65_600, 65_536).unwrap_err().to_string();
        assert_eq!(error, "the image of hello has 65600 octets, 64 over its limit of 65536");
    }
}
