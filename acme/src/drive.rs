//! Runs an [`Acquisition`] over a [`Transport`].

use crate::{Acquisition, Action, Challenge, Error, Now, Responder, Transport};
use alloc::string::ToString;
use alloc::vec::Vec;
use fata_libos::time::sleep_until;
use fata_tls::issue::Issued;

/// Challenges that are shown, until they are dropped.
struct Shown<'a>(&'a Responder, Vec<Challenge>);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.1.iter().for_each(|challenge| self.0.withdraw(challenge));
    }
}

/// Gets the certificate. Challenges are shown for as long as this runs; dropping it ends it.
///
/// It takes seconds to minutes, and ten minutes at most for each name with an authority that keeps on saying that it is not done.
pub async fn obtain<T: Transport>(
    acquisition: &mut Acquisition,
    transport: &mut T,
    responder: &Responder,
) -> Result<Issued, Error> {
    let mut shown = Shown(responder, Vec::new());
    loop {
        match acquisition.next(Now::get())? {
            Action::Send(request) => {
                let response = transport.send(&request).await.map_err(|e| e.to_string());
                acquisition.received(Now::get(), response)?;
            }
            Action::Wait(until) => sleep_until(until).await,
            Action::Present(challenge) => {
                responder.present(&challenge)?;
                shown.1.push(challenge);
                acquisition.presented();
            }
            Action::Done(issued) => return Ok(issued),
        }
    }
}
