//! Other certificates while the server runs: connections that there are keep theirs. They come from the disk, or are made where one that
//! was made before ends soon.

#[cfg(feature = "storage")]
use super::disk::{self, Seen};
use super::{Maker, Pair, PairError, Shown};
#[cfg(feature = "storage")]
use crate::files::Store;
#[cfg(feature = "storage")]
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
#[cfg(feature = "storage")]
use fata_libos::block::Disk;
use fata_libos::time::{Duration, SystemTime, sleep};
use fata_tls::{OcspError, OcspResponse};
use log::{info, warn};

/// How long nobody looks at the clock at most, which may be set.
const HOUR: Duration = Duration::from_secs(3600);
/// And at least: a certificate's dates are whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// What has a certificate of its own.
pub struct Site {
    place: usize,
    folder: String,
    maker: Maker,
    /// Its pair was made here and is not kept on the disk, which may come to have one.
    is_only_here: bool,
    refused: Option<Refused>,
    /// Why its OCSP response is not shown.
    without_ocsp: Option<OcspError>,
}

impl Site {
    /// The one whose pair is at this place of what is [`Shown`], and in this folder of the disk, whose name ends in a slash; that of the root
    /// is empty. `maker` makes another pair where the one that was made before ends soon.
    pub fn new(place: usize, folder: &str, maker: Maker) -> Self {
        Self { place, folder: folder.into(), maker, is_only_here: false, refused: None, without_ocsp: None }
    }

    /// Its pair was made here and is not kept on the disk, which may come to have one.
    pub fn only_here(mut self) -> Self {
        self.is_only_here = true;
        self
    }
}

/// Has an acceptor show the pairs of a disk, and ones made here that do not end soon.
pub struct Keeper {
    sites: Vec<Site>,
    shown: Rc<Shown>,
    #[cfg(feature = "storage")]
    disk: Option<(Disk, Duration)>,
    /// Why clients' certificates are not held against what the disk has.
    #[cfg(feature = "client-certificates")]
    clients_refused: Option<String>,
}

/// What was found and cannot be used.
struct Refused {
    /// None but what is shown is found without a disk.
    #[cfg(feature = "storage")]
    found: Option<Pair>,
    /// It says what the clock says, which is no news each time.
    is_of_clock: bool,
    why: String,
}

impl PartialEq for Refused {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(feature = "storage")]
        if self.found != other.found {
            return false;
        }
        self.is_of_clock && other.is_of_clock || self.why == other.why
    }
}

impl Refused {
    fn new(error: &PairError, found: Option<Pair>) -> Self {
        #[cfg(not(feature = "storage"))]
        drop(found);
        Self {
            #[cfg(feature = "storage")]
            found,
            is_of_clock: error.is_of_clock(),
            why: error.to_string(),
        }
    }
}

impl Keeper {
    /// Without a disk: of sites whose pairs are made here.
    pub fn new(sites: Vec<Site>, shown: Rc<Shown>) -> Self {
        Self {
            sites,
            shown,
            #[cfg(feature = "storage")]
            disk: None,
            #[cfg(feature = "client-certificates")]
            clients_refused: None,
        }
    }

    /// With a disk that has the pairs, or would have them, and how often it is looked at; zero: never.
    #[cfg(feature = "storage")]
    pub fn on_disk(mut self, disk: Disk, every: Duration) -> Self {
        self.disk = Some((disk, every));
        self
    }

    /// How often the disk is looked at.
    fn every(&self) -> Option<Duration> {
        #[cfg(feature = "storage")]
        return self.disk.as_ref().map(|(_, every)| *every).filter(|every| !every.is_zero());
        #[cfg(not(feature = "storage"))]
        None
    }

    /// Looks again and again, if there is anything to look for but once. What cannot be used is said and counted once, and the pair before
    /// stays.
    pub async fn run(mut self) {
        for n in 0..self.sites.len() {
            let pair = self.sites.get(n).and_then(|site| self.shown.pair(site.place));
            self.note_ocsp(n, pair.and_then(|pair| pair.without_ocsp(SystemTime::now())));
        }
        while let Some(pause) = self.pause() {
            sleep(pause).await;
            self.look().await;
            #[cfg(feature = "client-certificates")]
            self.look_at_clients().await;
        }
    }

    /// How long to wait for the next look; `None` where nothing will ever be found.
    fn pause(&self) -> Option<Duration> {
        let every = self.every();
        let look = every.unwrap_or(HOUR);
        let mut pause = every;
        for site in &self.sites {
            let Some(pair) = self.shown.pair(site.place) else { continue };
            let now = SystemTime::now();
            // What was refused would be so at once again.
            let of_pair = pair.until_due(now).map(|left| if site.refused.is_some() { look } else { left });
            let of_ocsp = pair.ocsp().and_then(|ocsp| Some(until_other(ocsp.as_ref().ok()?, now)));
            for left in of_pair.into_iter().chain(of_ocsp) {
                let next = look.min(left.max(SECOND));
                pause = Some(pause.map_or(next, |pause| pause.min(next)));
            }
        }
        pause
    }

    /// Finds what is to be shown now, and shows it.
    async fn look(&mut self) {
        let (now, mut others, mut without) = (SystemTime::now(), Vec::new(), Vec::new());
        #[cfg(feature = "storage")]
        let mut found = self.found().await.into_iter();
        for n in 0..self.sites.len() {
            let Some(site) = self.sites.get(n) else { continue };
            #[cfg(feature = "storage")]
            let found = found.next().unwrap_or(Ok(None));
            #[cfg(not(feature = "storage"))]
            let found = Ok(self.shown.pair(site.place));
            let refused = match found {
                Ok(None) => continue,
                Ok(Some(found)) => match self.other(site, &found).await {
                    Ok(other) => {
                        without.push((n, found.without_ocsp(now)));
                        others.extend(other.map(|pair| (site.place, pair)));
                        None
                    }
                    Err(error) => Some(Refused::new(&error, Some(found))),
                },
                Err(error) => Some(Refused::new(&error, None)),
            };
            self.note(n, refused);
        }
        for (n, error) in without {
            self.note_ocsp(n, error);
        }
        // Whatever the disk has, what is shown may not be of now any more.
        if others.is_empty() && self.shown.is_as_it_would_be(now) {
            return;
        }
        match self.shown.replace(others) {
            Ok(()) => info!("keys: another certificate is shown from now on"),
            Err(error) => refuse(&self.shown, "", &error.to_string()),
        }
    }

    /// Finds against what clients' certificates are to be held now, and does so.
    #[cfg(feature = "client-certificates")]
    async fn look_at_clients(&mut self) {
        let (Some((disk, _)), Some(_), Some(clients)) = (&self.disk, self.every(), self.shown.clients())
        else {
            return;
        };
        let done = match clients.other(disk).await {
            Ok(None) => Ok(()),
            Ok(Some(other)) => self.shown.ask_clients(other).map(|()| {
                info!("keys: clients' certificates are held against others from now on");
                let done = &self.shown.reloads.done;
                done.set(done.get().wrapping_add(1));
            }),
            Err(error) => Err(error),
        };
        let refused = done.err().map(|error| error.to_string());
        if let Some(why) = refused.as_ref().filter(|_| self.clients_refused != refused) {
            warn!("keys: {why}; clients' certificates are held against those before");
            let refused = &self.shown.reloads.refused;
            refused.set(refused.get().wrapping_add(1));
        }
        self.clients_refused = refused;
    }

    /// The pair of each site, as the disk has it now; `None` where it has none, and owes none.
    #[cfg(feature = "storage")]
    async fn found(&self) -> Vec<Result<Option<Pair>, PairError>> {
        if let (Some((disk, _)), Some(_)) = (&self.disk, self.every()) {
            let store = disk::open(disk).await;
            let mut all = Vec::new();
            for site in &self.sites {
                all.push(match &store {
                    Ok(store) => on_disk(store, site, self.shown.pair(site.place)).await,
                    Err(error) => Err(PairError::File(error.to_string())),
                });
            }
            return all;
        }
        self.sites.iter().map(|site| Ok(self.shown.pair(site.place))).collect()
    }

    /// What is to be shown in place of the pair before: what was found, or what had to be made in its place.
    async fn other(&self, site: &Site, found: &Pair) -> Result<Option<Pair>, PairError> {
        let now = SystemTime::now();
        // Half of another pair beside half of ours is somebody at work: nothing is written over that.
        #[cfg(feature = "storage")]
        found.config()?;
        if found.is_due(now) {
            #[cfg(feature = "storage")]
            if let (Some((disk, _)), false) = (&self.disk, site.is_only_here) {
                return Ok(Some(disk::remake(disk, &site.folder, &site.maker).await?));
            }
            return Ok(Some(site.maker.make()?));
        }
        #[cfg(feature = "storage")]
        if !self.shown.note(site.place, found, now) {
            found.check_dates(now)?;
            return Ok(Some(found.clone()));
        }
        Ok(None)
    }

    /// Says and counts an OCSP response that cannot be shown, where that is news.
    fn note_ocsp(&mut self, n: usize, error: Option<OcspError>) {
        let Some(site) = self.sites.get_mut(n) else { return };
        if let Some(error) = error.filter(|_| site.without_ocsp != error) {
            warn!("keys: {}{error}; clients are shown none", prefix(&site.folder));
            let refused = &self.shown.reloads.ocsp_refused;
            refused.set(refused.get().wrapping_add(1));
        }
        site.without_ocsp = error;
    }

    /// Says and counts what cannot be used, where that is news.
    fn note(&mut self, n: usize, refused: Option<Refused>) {
        let Some(site) = self.sites.get_mut(n) else { return };
        if let Some(Refused { why, .. }) = refused.as_ref().filter(|_| site.refused != refused) {
            refuse(&self.shown, &site.folder, why);
        }
        site.refused = refused;
    }
}

/// How long it is until an OCSP response is to be shown, or is not any more. One that has ended is looked at again all the same: the clock may
/// be put right.
fn until_other(ocsp: &OcspResponse, now: SystemTime) -> Duration {
    let until = |moment: SystemTime| moment.since_unix().saturating_sub(now.since_unix());
    match now {
        _ if now < ocsp.since() => until(ocsp.since()),
        _ if now < ocsp.until() => until(ocsp.until()),
        _ => HOUR,
    }
}

/// What a line about a folder begins with.
fn prefix(folder: &str) -> String {
    match folder.strip_suffix('/') {
        Some(name) => [name, ": "].concat(),
        None => String::new(),
    }
}

fn refuse(shown: &Shown, folder: &str, why: &str) {
    warn!("keys: {}{why}; the certificate before stays", prefix(folder));
    shown.reloads.refused.set(shown.reloads.refused.get().wrapping_add(1));
}

/// What a folder has; what is shown, for a site that may have nothing there.
#[cfg(feature = "storage")]
async fn on_disk(store: &Store, site: &Site, shown: Option<Pair>) -> Result<Option<Pair>, PairError> {
    match disk::look(store, &site.folder).await? {
        // It would be found again and again, beside the one that takes its place here.
        Seen::Pair(pair) | Seen::Marked(pair) if site.is_only_here && pair.is_due(SystemTime::now()) => {
            Ok(shown)
        }
        Seen::Pair(pair) | Seen::Marked(pair) => Ok(Some(pair)),
        Seen::Nothing | Seen::Unfinished if site.is_only_here => Ok(shown),
        // One that was to take the place of ours could not be written: it is tried again.
        Seen::Unfinished if shown.as_ref().is_some_and(|pair| pair.is_due(SystemTime::now())) => Ok(shown),
        Seen::Unfinished => Err(PairError::File(format!("{} is not finished", site.folder))),
        Seen::Nothing => Err(disk::missing(&site.folder)),
    }
}
