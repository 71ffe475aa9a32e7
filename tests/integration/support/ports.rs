//! Ports nobody uses, and whether this machine speaks IPv6.

use std::net::{IpAddr, Ipv6Addr, TcpListener, UdpSocket};

/// A UDP port of `host` that was free a moment ago: bound as port 0, read, let go.
pub(crate) fn free_udp_port(host: IpAddr) -> u16 {
    let socket = UdpSocket::bind((host, 0)).expect("a free UDP port");
    socket.local_addr().expect("the address just bound").port()
}

/// A TCP port of `host` that was free a moment ago. The kernel gives it to nobody else by itself for a while.
pub(crate) fn free_tcp_port(host: IpAddr) -> u16 {
    let socket = TcpListener::bind((host, 0)).expect("a free TCP port");
    socket.local_addr().expect("the address just bound").port()
}

/// Whether `::1` exists here.
pub(crate) fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
