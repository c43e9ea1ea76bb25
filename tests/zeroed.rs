//! What memory that was given back holds of keys that were read from a disk, or are kept on one: nothing.

#[path = "../tls/tests/common/looking.rs"]
mod looking;

use fata::acme::{Account, Certificate, Issued, Names, OnDisk, State, Storage, Url};
use fata::block::{Access, BlockDevice, Disk, Geometry, InFlight, Outcome, Request};
use fata::https::disk::{self, Begun, Seen};
use fata::https::{Keeper, Maker, Shown, Site};
use fata::time::{Duration, timeout};
use fata_libos::testing::run;
use fata_storage::fat::{Format, Volume};
use fata_tls::issue::PrivateKey;
use looking::{found_in, look_for, text_of};
use std::cell::RefCell;
use std::fs;
use std::process::Command;
use std::rc::Rc;

const CHAIN: &str = include_str!("../tls/tests/certificates/server.pem");
const KEY: &str = include_str!("../tls/tests/certificates/server-key.pem");
/// Octets of the number that the key is.
const NUMBER: [u8; 16] =
    [0x4d, 0xec, 0xdd, 0x26, 0xc7, 0xe2, 0x7a, 0x49, 0xb6, 0x12, 0x52, 0xa2, 0xf2, 0x16, 0xdb, 0xb2];

/// A disk in memory, which has the first key looked for that is written to it.
#[derive(Clone)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl BlockDevice for Memory {
    fn geometry(&self) -> Geometry {
        Geometry::new(512, (self.0.borrow().len() / 512) as u64, Access::ReadWrite)
    }

    fn submit(&self, mut request: Request) -> InFlight {
        let at = request.sector() as usize * 512;
        let mut octets = self.0.borrow_mut();
        match &mut request {
            Request::Read { buffer, .. } => {
                let len = buffer.len();
                buffer.copy_from_slice(&octets[at..at + len]);
            }
            Request::Write { buffer, .. } => {
                octets[at..at + buffer.len()].copy_from_slice(buffer);
                if buffer.starts_with(b"-----BEGIN PRIVATE KEY-----\n") {
                    look_for(text_of(std::str::from_utf8(&buffer[..200]).unwrap()));
                }
            }
            _ => {}
        }
        let outcome = Outcome { result: Ok(()), buffer: request.into_buffer() };
        Box::pin(async move { outcome })
    }
}

fn disk(octets: Vec<u8>) -> Disk {
    Disk::new(Memory(Rc::new(RefCell::new(octets))))
}

/// An empty FAT volume.
async fn volume() -> Disk {
    let disk = disk(vec![0; 1 << 20]);
    Format::new().write(&disk).await.unwrap();
    disk
}

async fn volume_with_key() -> Disk {
    let disk = volume().await;
    let volume = Volume::mount(disk.clone()).await.unwrap();
    // Longer than a sector too: the rest of a file goes another way than whole sectors.
    for (name, text) in [("key.pem", KEY.to_string()), ("chain.pem", CHAIN.to_string() + &" \n".repeat(400))]
    {
        volume.write(name, text.as_bytes()).await.unwrap();
    }
    volume.sync().await.unwrap();
    disk
}

/// An archive of GNU tar with the key before the chain.
fn archive(how: &str) -> Disk {
    let folder = std::env::temp_dir().join(format!("fata-zeroed-{}{how}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("key.pem"), KEY).unwrap();
    fs::write(folder.join("chain.pem"), CHAIN).unwrap();
    let file = folder.join("archive");
    let place = [folder.to_str().unwrap(), file.to_str().unwrap()];
    let status = Command::new("tar").args(["-C", place[0], how, place[1], "key.pem", "chain.pem"]).status();
    assert!(status.unwrap().success());
    let mut octets = fs::read(&file).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    octets.resize(octets.len().next_multiple_of(512), 0);
    disk(octets)
}

fn maker() -> Maker {
    Maker { names: "localhost".into(), valid: Duration::from_secs(800 * 86_400) }
}

/// The pair is read, shown in place of another one, and looked at again and again.
async fn serve(disk: &Disk) {
    let store = disk::open(disk).await.unwrap();
    assert!(matches!(disk::look(&store, "").await.unwrap(), Seen::Pair(_)));
    drop(store);
    let other = maker().make().unwrap();
    let shown = Shown::new(vec![other], Rc::default(), Rc::default(), |config| config).unwrap();
    let keeper = Keeper::new(vec![Site::new(0, "", maker())], shown.clone());
    let keeper = keeper.on_disk(disk.clone(), Duration::from_secs(1));
    assert!(timeout(Duration::from_secs(5), keeper.run()).await.is_err());
    assert_eq!(shown.reloads.done.get(), 1);
    assert_eq!(shown.pair(0).unwrap().key.as_str(), KEY);
}

#[test]
fn what_looks_finds() {
    run(async {
        let disk = volume_with_key().await;
        let (_, places) = found_in(text_of(KEY), async {
            let volume = Volume::mount(disk).await.unwrap();
            drop(volume.read("key.pem", 1 << 10).await.unwrap());
        })
        .await;
        assert!(places.len() >= 3, "{}", places.join("\n"));
    });
}

#[test]
fn keys_that_are_read() {
    run(async {
        for secret in [text_of(KEY), &NUMBER] {
            for disk in [volume_with_key().await, archive("-cf"), archive("-czf")] {
                let (_, places) = found_in(secret, serve(&disk)).await;
                assert!(places.is_empty(), "{}", places.join("\n"));
            }
        }
    });
}

#[test]
fn keys_that_are_made_and_kept() {
    run(async {
        let disk = volume().await;
        let (begun, places) = found_in(&[0xa5; 16], disk::begin(&disk, "", Seen::Nothing, &maker())).await;
        let Ok(Begun::Made(pair)) = begun else { panic!() };
        assert!(places.is_empty(), "{}", places.join("\n"));
        // It was looked for.
        let (_, places) = found_in(text_of(&pair.key), async { drop(pair.key.to_string()) }).await;
        assert_eq!(places.len(), 1);
        let (_, places) = found_in(text_of(&pair.key), serve_made(&disk)).await;
        assert!(places.is_empty(), "{}", places.join("\n"));
    });
}

async fn serve_made(disk: &Disk) {
    let Begun::Kept(pair) = disk::read_or_make(disk, &maker()).await.unwrap() else { panic!() };
    pair.config().unwrap();
}

/// Those of an account and of its certificate.
#[test]
fn keys_of_an_order() {
    run(async {
        for secret in [text_of(KEY), &NUMBER] {
            let disk = disk(vec![0; 256 << 10]);
            let (_, places) = found_in(secret, async {
                let authority = Url::new("https://a.test/dir").unwrap();
                let account = Account { key: PrivateKey::from_pem(KEY).unwrap(), url: None };
                let issued = Issued { chain_pem: CHAIN.into(), key_pem: KEY.to_string().into() };
                let names = Names::parse(&["server.test"]).unwrap();
                let certificate = Certificate { authority: authority.clone(), names, issued };
                let state = State { account: Some((authority, account)), certificate: Some(certificate) };
                let mut places = OnDisk::new(&disk).unwrap();
                for _ in 0..3 {
                    places.save(&state.to_octets().unwrap()).await.unwrap();
                }
                let octets = zeroize::Zeroizing::new(places.load().await.unwrap().unwrap());
                let (state, errors) = State::from_octets(&octets);
                assert!(errors.is_empty() && state.account.is_some() && state.certificate.is_some());
            })
            .await;
            assert!(places.is_empty(), "{}", places.join("\n"));
        }
    });
}
