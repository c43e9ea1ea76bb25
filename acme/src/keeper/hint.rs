//! What an authority suggests for a certificate's time (RFC 9773), and when it is asked for it.

use super::own_pause;
use crate::Error;
use crate::renewal::{Suggestion, USUAL};
use fata_libos::entropy;
use fata_libos::time::{Duration, Instant, SystemTime};
use fata_tls::issue::Validity;

/// The time until it is asked again where there was no answer, the first time, and each time twice as long; and how often, before that counts as
/// an error that lasts (RFC 9773 section 4.3.3), after which it is asked again as usual.
const UNANSWERED: Duration = Duration::from_secs(60);
const MAX_TRIES: u32 = 5;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Hint {
    suggestion: Option<Suggestion>,
    /// Where in its time, by chance. One number for all that are suggested for a certificate.
    chance: Option<u16>,
    /// Not before then, by a clock that nobody sets.
    not_before: Option<Instant>,
    failures: u32,
}

impl Hint {
    /// For another certificate, which is not asked for earlier: no authority is to have one replaced all the time.
    pub(super) fn after(pause: Duration) -> Self {
        Self { not_before: Some(Instant::now() + pause), ..Self::default() }
    }

    pub(super) fn is_to_be_asked_for(&self) -> bool {
        self.not_before.is_none_or(|until| until <= Instant::now())
    }

    /// How long until that.
    pub(super) fn pause(&self) -> Duration {
        let until = self.not_before.filter(|until| *until > Instant::now());
        until.map_or(USUAL, |until| until.duration_since(Instant::now()))
    }

    /// What was answered. The suggestion before stays where there is no other.
    pub(super) fn came(&mut self, result: Result<Option<Suggestion>, Error>) {
        let again = match result {
            Ok(suggestion) => {
                self.failures = 0;
                self.suggestion = suggestion;
                suggestion.map_or(USUAL, |suggestion| suggestion.again)
            }
            Err(error) => {
                log::info!("nothing is suggested for the certificate's time: {error}");
                // A server that is not there at all cannot be told from one that is slow.
                let is_passing = match error {
                    Error::Unreachable(_) => true,
                    Error::Refused { status, .. } => status >= 500,
                    _ => false,
                };
                let tries = if is_passing { self.failures } else { MAX_TRIES };
                self.failures = tries.saturating_add(1).min(MAX_TRIES);
                if tries < MAX_TRIES { own_pause(UNANSWERED, tries, USUAL) } else { USUAL }
            }
        };
        self.not_before = Some(Instant::now() + again);
        let mut chance = [0; 2];
        // Without any there is no chance in it.
        let _ = entropy::try_fill(&mut chance);
        self.chance.get_or_insert(u16::from_le_bytes(chance));
    }

    /// When a certificate is to be replaced that is due at that time by its dates alone: when the authority suggests, and not so late that
    /// another try would be too late.
    pub(super) fn due(&self, usual: SystemTime, validity: Option<Validity>) -> SystemTime {
        let Some((suggestion, validity)) = self.suggestion.zip(validity) else { return usual };
        let (usual, end) = (usual.since_unix(), validity.not_after.since_unix());
        let latest = usual.saturating_add(end.saturating_sub(usual) / 2);
        suggestion.moment(self.chance.unwrap_or_default()).min(SystemTime::from_unix(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::testing::run;

    #[test]
    fn an_authority_that_wants_it_too_late_is_not_believed() {
        run(async {
            let at = |day: u64| SystemTime::from_unix(Duration::from_secs(day * 86_400));
            let validity = Validity { not_before: at(1000), not_after: at(1090) };
            let due = |start, end| {
                let mut hint = Hint::default();
                hint.came(Ok(Some(Suggestion { start: at(start), end: at(end), again: USUAL })));
                hint.due(at(1060), Some(validity)).since_unix().as_secs() / 86_400
            };
            assert_eq!(
                (due(1010, 1011), due(1070, 1071), due(1080, 1081), due(9000, 9001)),
                (1010, 1070, 1075, 1075)
            );
            // Without one its dates count.
            let mut hint = Hint::default();
            assert_eq!(hint.due(at(1060), Some(validity)), at(1060));
            hint.came(Ok(None));
            assert_eq!(hint.due(at(1060), Some(validity)), at(1060));
            assert!(!hint.is_to_be_asked_for());
            assert_eq!(hint.pause(), USUAL);
        });
    }
}
