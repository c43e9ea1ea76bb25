pub(crate) fn write(
    _packet: &mut [u8],
    _s: core::net::Ipv6Addr,
    _d: core::net::Ipv6Addr,
    _p: u8,
    _h: u8,
    _e: bool,
) {
}
