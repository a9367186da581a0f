//! Options of the sockets, and single calls on them.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

use crate::election::RedisAddr;

/// Longest wait for a master to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Silence after which the other side is asked whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Time between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Longest time sent bytes (or a keepalive) may stay unacknowledged, or a full window closed.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(90);
/// Connections the kernel keeps for us until they are accepted; `somaxconn` caps it.
const BACKLOG: i32 = 4096;

/// A nonblocking listener whose accepted sockets inherit all options (so that they cost no call).
pub(super) fn listen(addr: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    tune(&socket)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects to a master.
///
/// # Errors
///
/// `TimedOut` after a second, else what the system says.
pub(super) async fn connect(addr: RedisAddr) -> io::Result<TcpStream> {
    let addr = SocketAddr::new(addr.ip, addr.port);
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    tune(&socket)?;
    let connecting = TcpSocket::from_std_stream(socket.into()).connect(addr);
    tokio::select! {
        biased;
        connected = connecting => connected,
        () = too_late() => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A timer that is the next to fire costs a call to wake the driver: a master nearby takes the
/// connection before there is one.
async fn too_late() {
    tokio::task::yield_now().await;
    tokio::time::sleep(CONNECT_TIMEOUT).await;
}

fn tune(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// Makes the close of this socket a reset, which drops what is still on its way out.
pub(super) fn reset_on_close(stream: &TcpStream) {
    // It fails only on a socket that is reset already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Passes on an end of file. An error means that the other side is gone, which its own read tells.
pub(super) fn shutdown_write(stream: &TcpStream) {
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

/// One receive, whatever tokio believes about readiness.
pub(super) fn recv_now(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    (&*SockRef::from(stream)).read(buffer)
}

/// Whether there is a byte (1) or the end of file (0), whatever tokio believes about readiness.
/// Takes nothing.
pub(super) fn peek_now(stream: &TcpStream) -> io::Result<usize> {
    SockRef::from(stream).peek(&mut [MaybeUninit::uninit()])
}

/// One receive if the socket is ready. Short means drained: then the readiness is taken back at
/// once, which saves the receive that would say so. 0 is the end of file.
pub(super) fn recv(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let room = buffer.len();
    let mut received = 0;
    let result = stream.try_io(Interest::READABLE, || {
        received = recv_now(stream, buffer)?;
        if (1..room).contains(&received) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(received)
    });
    if received > 0 { Ok(received) } else { result }
}

/// One send if the socket is ready; 0 if it is not. Short means full, as with [`recv`].
/// (SIGPIPE is ignored in every Rust program.)
pub(super) fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    let result = stream.try_io(Interest::WRITABLE, || {
        sent = (&*SockRef::from(stream)).write(bytes)?;
        if sent < bytes.len() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match result {
        Err(error) if sent == 0 && !is_retry(&error) => Err(error),
        _ => Ok(sent),
    }
}

/// Whether the call is to be repeated, at once or when the socket is ready.
pub(super) fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side that vanishes is noticed, whether it has something to acknowledge or not.
    #[cfg(target_os = "linux")]
    fn assert_tuned(socket: SockRef<'_>) {
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }

    /// The options are set on the listener only: a system that does not hand them on would leave
    /// clients without them.
    #[cfg(target_os = "linux")]
    #[test]
    fn accepted_sockets_inherit_the_options() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_tuned(SockRef::from(&accepted));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn connections_to_a_master_have_the_options_too() {
        let master = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = master.local_addr().unwrap();
        let stream = connect(RedisAddr::new(addr.ip(), addr.port())).await.unwrap();
        assert_tuned(SockRef::from(&stream));
    }

    /// Keepalive alone finds a vanished idle peer before the user timeout could.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_idle_side_that_vanished_is_asked_more_than_once() {
        assert!(KEEPALIVE_AFTER + KEEPALIVE_EVERY * 2 <= USER_TIMEOUT);
    }
}
