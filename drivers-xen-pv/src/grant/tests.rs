use super::{Access, GrantError, GrantedPages, Lent, Owner};
use crate::fake::{FakeHypervisor, PeerMapError, run};
use crate::shared::Pages;
use crate::types::{DomId, GrantRef, Mfn, PAGE_SIZE};
use crate::xen::Xen;
use fata_libos::time::{Duration, sleep};

const BACK: DomId = DomId(0);

#[test]
fn memory_that_somebody_keeps_is_not_given_back() {
    run(async |hv, xen| {
        let before = hv.live_pages();
        let pages = GrantedPages::alloc(&xen, BACK, 1, Access::ReadWrite).unwrap();
        let kept = pages.memory();
        drop(pages);
        assert_eq!(xen.grants().counts().in_use, 0);
        kept.write(0, b"still ours");
        assert_eq!(hv.live_pages(), before + 1);
        drop(kept);
        assert_eq!(hv.live_pages(), before);
    });
}

#[test]
fn the_peer_sees_what_was_granted_and_nothing_else() {
    run(async |hv, xen| {
        let shared = GrantedPages::alloc(&xen, BACK, 2, Access::ReadWrite).unwrap();
        let read_only = GrantedPages::alloc(&xen, BACK, 1, Access::ReadOnly).unwrap();
        assert_eq!(shared.refs(), [GrantRef(8), GrantRef(9)], "the first eight are the tools'");
        shared.memory().write(4096, b"hello");
        let mut seen = [0; 5];
        hv.peer_copy_from(BACK, shared.refs()[1], 0, &mut seen).unwrap();
        assert_eq!(&seen, b"hello");
        hv.peer_copy_to(BACK, shared.refs()[0], 4091, b"world").unwrap();
        shared.memory().read(4091, &mut seen);
        assert_eq!(&seen, b"world");
        let map = |who, r, access| hv.peer_map(who, r, access).map(drop);
        let ro = read_only.refs()[0];
        assert_eq!(map(BACK, ro, Access::ReadOnly), Ok(()));
        assert_eq!(map(BACK, ro, Access::ReadWrite), Err(PeerMapError::ReadOnly));
        assert_eq!(map(DomId(7), ro, Access::ReadOnly), Err(PeerMapError::OtherDomain(BACK)));
        assert_eq!(map(BACK, GrantRef(ro.0 + 1), Access::ReadOnly), Err(PeerMapError::NotGranted));
        drop(read_only);
        assert_eq!(map(BACK, ro, Access::ReadOnly), Err(PeerMapError::NotGranted));
    });
}

#[test]
fn a_page_that_the_peer_holds_is_parked_until_it_lets_go() {
    run(async |hv, xen| {
        let pages = GrantedPages::alloc(&xen, BACK, 3, Access::ReadWrite).unwrap();
        let held = hv.peer_map(BACK, pages.refs()[1], Access::ReadWrite).unwrap();
        drop(pages);
        assert_eq!((xen.grants().counts().parked_pages, xen.grants().counts().in_use), (3, 1));
        assert_eq!(hv.live_pages(), 3);
        let other = GrantedPages::alloc(&xen, BACK, 4, Access::ReadWrite).unwrap();
        assert!(!other.refs().contains(&held.reference()), "an entry in use is not given out again");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(hv.live_pages(), 7, "still held");
        held.memory().write(0, b"late");
        drop(held);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((xen.grants().counts().parked_pages, hv.live_pages()), (0, 4));
    });
}

#[test]
fn what_is_parked_for_ever_does_not_keep_others_parked() {
    run(async |hv, xen| {
        let (forever, briefly) = {
            let a = GrantedPages::alloc(&xen, BACK, 1, Access::ReadOnly).unwrap();
            let b = GrantedPages::alloc(&xen, BACK, 1, Access::ReadOnly).unwrap();
            let hold = |p: &GrantedPages| hv.peer_map(BACK, p.refs()[0], Access::ReadOnly).unwrap();
            (hold(&a), hold(&b))
        };
        assert_eq!(xen.grants().counts().parked_pages, 2);
        drop(briefly);
        for _ in 0..3 {
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(xen.grants().counts().parked_pages, 1);
        drop(forever);
    });
}

/// A page of a buffer that is held is the whole buffer lost, once, however many of its pages are held in however many pieces.
#[test]
fn what_is_parked_is_all_that_the_owner_keeps() {
    run(async |hv, xen| {
        let pages = Pages::alloc(xen.hv(), 65).unwrap();
        let start = pages.private(0, 65 * PAGE_SIZE);
        let lend = |at: usize| {
            let owner = Owner { pages: 65, memory: pages.clone() };
            // SAFETY: within the pages, which the owner keeps and nobody looks at.
            unsafe {
                let start = start.add(at * PAGE_SIZE);
                Lent::lend(&xen, BACK, owner, start, 1, Access::ReadWrite).unwrap()
            }
        };
        let (first, last) = (lend(0), lend(64));
        let [first_held, last_held] =
            [&first, &last].map(|lent| hv.peer_map(BACK, lent.refs()[0], Access::ReadWrite).unwrap());
        drop(pages);
        assert_eq!((first.end(), last.end()), (1, 1));
        let parked = || (xen.grants().counts().parked_pages, xen.grants().parked_pages_of(BACK));
        assert_eq!(parked(), (65, 65));
        drop(first_held);
        sleep(Duration::from_secs(1)).await;
        xen.grants().retry_parked();
        assert_eq!(parked(), (65, 65), "the other piece keeps it");
        drop(last_held);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((parked(), hv.live_pages()), ((0, 0), 0));
    });
}

#[test]
fn what_one_peer_holds_is_not_anothers() {
    run(async |hv, xen| {
        let other = DomId(9);
        let hold = |who, count| {
            let pages = GrantedPages::alloc(&xen, who, count, Access::ReadOnly).unwrap();
            hv.peer_map(who, pages.refs()[0], Access::ReadOnly).unwrap()
        };
        let held = (hold(BACK, 2), hold(other, 5));
        let parked = [BACK, other, DomId(1)].map(|who| xen.grants().parked_pages_of(who));
        assert_eq!((parked, xen.grants().counts().parked_pages), ([2, 5, 0], 7));
        drop(held);
    });
}

#[test]
fn the_table_grows_to_its_limit_and_entries_come_back() {
    let hv = FakeHypervisor::new();
    hv.limit_grant_frames(2);
    let xen = Xen::new(hv);
    let grants = xen.grants();
    assert_eq!(grants.counts().entries, 0, "nothing is asked of the hypervisor before the first grant");
    let all: Vec<_> = (8..1024).map(|_| grants.grant(BACK, Mfn(0x77), Access::ReadWrite).unwrap()).collect();
    assert_eq!((grants.counts().in_use, grants.counts().entries), (1016, 1024));
    let full = grants.grant(BACK, Mfn(0x77), Access::ReadWrite);
    assert!(matches!(full, Err(GrantError::Full { entries: 1024, .. })), "{full:?}");
    all.iter().for_each(|r| grants.try_end(*r).unwrap());
    assert_eq!(grants.counts().in_use, 0);
    let mut again: Vec<_> =
        (8..1024).map(|_| grants.grant(BACK, Mfn(0x77), Access::ReadWrite).unwrap()).collect();
    again.sort();
    assert_eq!(again, all);
}

#[test]
fn ending_what_is_not_granted_is_an_error() {
    let xen = Xen::new(FakeHypervisor::new());
    let grants = xen.grants();
    let r = grants.grant(BACK, Mfn(1), Access::ReadWrite).unwrap();
    grants.try_end(r).unwrap();
    for reference in [r, GrantRef(0), GrantRef(7), GrantRef(9), GrantRef(512), GrantRef(u32::MAX)] {
        assert_eq!(grants.try_end(reference), Err(GrantError::NotGranted { reference }));
    }
    let frame = Mfn(1 << 32);
    assert_eq!(grants.grant(BACK, frame, Access::ReadOnly), Err(GrantError::FrameTooHigh { frame }));
}

#[test]
fn failed_allocations_leave_nothing_behind() {
    let hv = FakeHypervisor::new();
    hv.limit_grant_frames(1);
    let xen = Xen::new(hv);
    let too_many = GrantedPages::alloc(&xen, BACK, 505, Access::ReadWrite).map(drop);
    assert!(matches!(too_many, Err(GrantError::Full { .. })), "{too_many:?}");
    assert_eq!((hv.live_pages(), xen.grants().counts().in_use), (0, 0));
    hv.fail_allocations_after(Some(0));
    let none = GrantedPages::alloc(&xen, BACK, 4, Access::ReadWrite).map(drop);
    assert_eq!(none, Err(GrantError::NoMemory { pages: 4 }));
}

#[test]
#[should_panic(expected = "freed while a grant names it")]
fn the_fake_notices_a_page_freed_while_granted() {
    let hv = FakeHypervisor::new();
    let xen = Xen::new(hv);
    let pages = crate::shared::Pages::alloc(hv, 1).unwrap();
    xen.grants().grant(BACK, pages.frame(0), Access::ReadOnly).unwrap();
    drop(pages);
}

#[test]
#[should_panic(expected = "the peer may write these pages")]
fn memory_that_the_peer_writes_is_never_a_slice() {
    let xen = Xen::new(FakeHypervisor::new());
    let mut pages = GrantedPages::alloc(&xen, BACK, 1, Access::ReadWrite).unwrap();
    // SAFETY: no memory of the pages is used.
    unsafe { pages.private_mut(0, 1) };
}
