//! A listening socket for IPv4 and IPv6 at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 1024;

/// Opens a non-blocking listener; `::` takes IPv4 too, and becomes 0.0.0.0 where there is no IPv6.
pub(crate) fn listen(bind: IpAddr, port: u16) -> io::Result<TcpListener> {
    match open(bind, port) {
        Err(error) if bind.is_unspecified() && bind.is_ipv6() && no_ipv6(&error) => {
            open(Ipv4Addr::UNSPECIFIED.into(), port)
        }
        opened => opened,
    }
}

/// Only this: a port that is taken must not be taken "half".
fn no_ipv6(error: &io::Error) -> bool {
    // Whatever the kernel calls it: no such family, or no such address.
    error.kind() != io::ErrorKind::AddrInUse && error.kind() != io::ErrorKind::PermissionDenied
}

fn open(ip: IpAddr, port: u16) -> io::Result<TcpListener> {
    let addr = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if ip.is_ipv6() && ip.is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?; // Connections of the process before us may still linger.
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
