//! Which address this hive is known by, where nobody said so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The one address among `listed` that is an address of this machine, else that of the default
/// route; `None` where there is neither.
///
/// `listed` is what DNS answered, and the fixed peers. Two local addresses in it (dual stack, or
/// several hives on one machine) decide nothing. Nothing is sent; the answer takes microseconds.
pub fn advertised(listed: &[IpAddr]) -> Option<IpAddr> {
    let mut local: Vec<IpAddr> =
        listed.iter().map(IpAddr::to_canonical).filter(|ip| is_local(*ip)).collect();
    local.sort_unstable();
    local.dedup();
    match local.as_slice() {
        [one] => Some(*one),
        _ => default_route_address(),
    }
}

/// The source address the kernel would use towards the rest of the world, IPv4 first.
///
/// Connecting a UDP socket only chooses a route; no packet leaves. The targets are addresses
/// reserved for documentation.
pub fn default_route_address() -> Option<IpAddr> {
    let targets: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    targets.into_iter().find_map(|(from, to)| {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0)).ok()?;
        socket.connect(SocketAddr::new(to, 9)).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    })
}

/// Only an address of this machine can be bound to.
fn is_local(ip: IpAddr) -> bool {
    !ip.is_unspecified() && UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn the_one_local_address_in_the_answer_is_ours() {
        let listed = [ip("192.0.2.7"), ip("127.0.0.5"), ip("192.0.2.8")];
        assert_eq!(advertised(&listed), Some(ip("127.0.0.5")));
    }

    #[test]
    fn two_local_addresses_decide_nothing() {
        assert_eq!(advertised(&[ip("127.0.0.5"), ip("127.0.0.6")]), default_route_address());
        assert_eq!(advertised(&[]), default_route_address());
    }
}
