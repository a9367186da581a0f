//! Listening sockets for IPv4 and IPv6 at once, as every port of a hive has them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Opens a listener that does not block, with a queue for so many connections. `::` takes IPv4 too, and
/// becomes `0.0.0.0` where there is no IPv6.
///
/// # Errors
///
/// What the system says of the address that was tried last.
pub fn open(ip: IpAddr, port: u16, backlog: i32) -> io::Result<TcpListener> {
    let opened = bind(SocketAddr::new(ip, port), backlog);
    match opened.as_ref().err().and_then(|error| instead(ip, error)) {
        Some(other) => bind(SocketAddr::new(other, port), backlog),
        None => opened,
    }
}

/// The address to listen on instead of this one, which failed: `0.0.0.0` for `::` where there is no
/// IPv6.
pub fn instead(ip: IpAddr, error: &io::Error) -> Option<IpAddr> {
    // Whatever the kernel calls it: no such family, or no such address. But a port that is taken, or
    // not allowed, must not be taken "half".
    let other = [io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied];
    let no_ipv6 = ip == IpAddr::from(Ipv6Addr::UNSPECIFIED) && !other.contains(&error.kind());
    no_ipv6.then_some(Ipv4Addr::UNSPECIFIED.into())
}

fn bind(addr: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections of the process before this one may still linger.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dual_stack_takes_ipv4_and_a_taken_port_is_not_taken_half() {
        let all = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let listener = open(all, 0, 8).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("IPv4 is taken too");
        let taken = open(all, port, 8).expect_err("it is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn only_a_missing_ipv6_leads_to_another_address() {
        let (all, one) = (IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::LOCALHOST));
        let missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
        assert_eq!(instead(all, &missing), Some(Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(instead(one, &missing), None);
        for kind in [io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied] {
            assert_eq!(instead(all, &kind.into()), None);
        }
    }
}
