//! What is shown of certificates to those who run the proxy.

#[cfg(feature = "acme")]
use crate::status::Escaped;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt::{self, Write};
use fata::https::{Metric, Reloads};
use fata::time::{Duration, SystemTime};

/// What is known of them.
#[derive(Clone, Default)]
pub struct Figures {
    /// How often they were replaced, and when the first one ends.
    pub reloads: Rc<Reloads>,
    /// How it goes with the one of an authority, and what that is for.
    #[cfg(feature = "acme")]
    pub authority: Option<(Rc<fata::acme::Status>, String)>,
}

impl Figures {
    /// Adds metrics in Prometheus' text format.
    pub fn metrics(&self, text: &mut String) {
        for Metric { name, kind, help, value } in self.reloads.metrics() {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
        #[cfg(feature = "acme")]
        if let Some((status, _)) = &self.authority {
            of_authority(status, text);
        }
    }

    /// Adds a section to a page.
    pub fn section(&self, page: &mut String) -> fmt::Result {
        let reloads = &self.reloads;
        let first = SystemTime::from_unix(Duration::from_secs(reloads.expires.get()));
        let (done, refused) = (reloads.done.get(), reloads.refused.get());
        writeln!(
            page,
            "<section><h2>Certificates <small>the first ends {}; replaced {done} times, {refused} times not</small></h2>",
            first.utc()
        )?;
        #[cfg(feature = "acme")]
        if let Some((status, names)) = &self.authority {
            write!(page, "Of the authority, for {}: ", Escaped(names))?;
            match status.until() {
                Some(until) => write!(page, "valid until {}; ", until.utc())?,
                None => write!(page, "none yet; ")?,
            }
            match status.next() {
                Some(next) => write!(page, "it is asked next at {}", next.utc())?,
                None => write!(page, "it is not asked any more")?,
            }
            if let Some(failed) = status.last_failure() {
                write!(page, "; the last error, at {}: {}", failed.when.utc(), Escaped(&failed.text))?;
            }
        }
        page.write_str("</section>\n")
    }
}

#[cfg(feature = "acme")]
fn of_authority(status: &fata::acme::Status, text: &mut String) {
    use fata::acme::Metric;
    for Metric { name, kind, help, value } in fata::acme::metrics(status) {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
    if let Some((Metric { name, kind, help, value }, why)) = fata::acme::last_failure(status) {
        let _ =
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{{kind=\"{why}\"}} {value}\n");
    }
}
