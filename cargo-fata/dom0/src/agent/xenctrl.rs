//! Asks the hypervisor about its domains, in nanoseconds where `xl list` has tenths of a second.
//!
//! `libxenctrl` is opened at run time by the name that Debian gives to each Xen version, so that building the agent needs
//! no Xen headers. The structure is `xen_domctl_getdomaininfo` of Xen 4.15 to 4.19 (`xen/domctl.h`).

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::io;
use std::sync::OnceLock;

use crate::{DomainInfo, tag};

use super::Peer;

const VERSIONS: [&CStr; 5] = [
    c"libxenctrl.so.4.17",
    c"libxenctrl.so.4.19",
    c"libxenctrl.so.4.18",
    c"libxenctrl.so.4.16",
    c"libxenctrl.so.4.15",
];
const MOST_DOMAINS: usize = 1024;

/// `struct xen_domctl_getdomaininfo`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawInfo {
    domid: u16,
    pad1: u16,
    flags: u32,
    tot_pages: u64,
    max_pages: u64,
    outstanding_pages: u64,
    shr_pages: u64,
    paged_pages: u64,
    shared_info_frame: u64,
    cpu_time: u64,
    nr_online_vcpus: u32,
    max_vcpu_id: u32,
    ssidref: u32,
    handle: [u8; 16],
    cpupool: u32,
    gpaddr_bits: u8,
    pad2: [u8; 7],
    arch_config: [u32; 2],
}

const _: () = assert!(size_of::<RawInfo>() == 112);
const _: () = assert!(std::mem::offset_of!(RawInfo, cpu_time) == 56);

type InterfaceOpen = unsafe extern "C" fn(*mut c_void, *mut c_void, c_uint) -> *mut c_void;
type DomainGetInfoList = unsafe extern "C" fn(*mut c_void, u32, c_uint, *mut RawInfo) -> c_int;

/// An open handle to the hypervisor.
struct XenCtrl {
    handle: *mut c_void,
    get_info_list: DomainGetInfoList,
}

// SAFETY: libxenctrl lets several threads use one handle: its calls take buffers from a cache under a lock of its own.
unsafe impl Send for XenCtrl {}
// SAFETY: as for `Send`.
unsafe impl Sync for XenCtrl {}

pub fn domains(peer: &Peer) -> io::Result<()> {
    static XENCTRL: OnceLock<Result<XenCtrl, String>> = OnceLock::new();
    let xenctrl =
        XENCTRL.get_or_init(XenCtrl::open).as_ref().map_err(|error| io::Error::other(error.clone()))?;
    let lines: String = xenctrl.domains()?.iter().map(DomainInfo::to_line).collect();
    peer.send(tag::DATA, lines.as_bytes())?;
    peer.send(tag::END, b"")
}

impl XenCtrl {
    fn open() -> Result<Self, String> {
        // SAFETY: dlopen with a valid C string; loading libxenctrl runs no constructor that we could upset.
        let library = VERSIONS.iter().map(|name| unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) });
        let library = library
            .into_iter()
            .find(|library| !library.is_null())
            .ok_or("no libxenctrl 4.15 to 4.19 here")?;
        let open = symbol(library, "xc_interface_open")?;
        let get_info_list = symbol(library, "xc_domain_getinfolist")?;
        // SAFETY: the signatures are those of xenctrl.h for all versions in `VERSIONS`.
        let (open, get_info_list) = unsafe {
            (
                std::mem::transmute::<*mut c_void, InterfaceOpen>(open),
                std::mem::transmute::<*mut c_void, DomainGetInfoList>(get_info_list),
            )
        };
        // SAFETY: null loggers mean standard error.
        let handle = unsafe { open(std::ptr::null_mut(), std::ptr::null_mut(), 0) };
        if handle.is_null() {
            return Err("xc_interface_open failed: not root, or not dom0".into());
        }
        Ok(Self { handle, get_info_list })
    }

    fn domains(&self) -> io::Result<Vec<DomainInfo>> {
        let mut raw = vec![RawInfo::default(); MOST_DOMAINS];
        // SAFETY: the handle is open, and the buffer has room for as many records as are asked for.
        let found = unsafe { (self.get_info_list)(self.handle, 0, MOST_DOMAINS as c_uint, raw.as_mut_ptr()) };
        if found < 0 {
            return Err(io::Error::last_os_error());
        }
        raw.truncate(found as usize);
        Ok(raw.iter().map(RawInfo::info).collect())
    }
}

impl RawInfo {
    fn info(&self) -> DomainInfo {
        DomainInfo {
            domid: self.domid.into(),
            flags: self.flags,
            cpu_ns: self.cpu_time,
            pages: self.tot_pages,
            max_pages: self.max_pages,
        }
    }
}

fn symbol(library: *mut c_void, name: &str) -> Result<*mut c_void, String> {
    let c_name = CString::new(name).map_err(|_| "a null in a symbol's name")?;
    let c_name: *const c_char = c_name.as_ptr();
    // SAFETY: the library is open, and the name ends in a null byte.
    let address = unsafe { libc::dlsym(library, c_name) };
    if address.is_null() { Err(format!("libxenctrl has no {name}")) } else { Ok(address) }
}
