//! What bytes from outside may never do, by the place where they come in. Every target takes any bytes
//! and panics where a promise is broken: for fuzzing, and for `tests/corpus.rs`.

#[path = "targets/http.rs"]
mod http;
#[path = "targets/peer.rs"]
mod peer;
#[path = "targets/text.rs"]
mod text;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

// At the root of whatever holds this: it stands for a room.
use crate::proxy::compare::{self, Piece};

pub use http::http;
pub use peer::{frames, handshake};
pub use text::{config, info};

/// Where requests end: the scanner beside a simple reader, in any pieces.
pub fn requests(input: &[u8]) {
    let (pieces, input) = pieces(input);
    compare::requests(input, &pieces);
}

/// Where replies end, likewise.
pub fn replies(input: &[u8]) {
    let (pieces, input) = pieces(input);
    compare::replies(input, &pieces);
}

/// Reads how bytes come in from the beginning of arbitrary ones: how many pieces there are before
/// they repeat themselves, and the length of each.
fn pieces(bytes: &[u8]) -> (Vec<Piece>, &[u8]) {
    let count = bytes.first().map_or(0, |byte| usize::from(byte % 8) + 1);
    let (head, input) = bytes.split_at(bytes.len().min(1 + count));
    let lengths = head.iter().skip(1);
    let piece = |&byte: &u8| Piece { bytes: usize::from(byte % 128) + 1, unseen: byte >= 128 };
    let pieces: Vec<_> = lengths.map(piece).collect();
    if pieces.is_empty() {
        (vec![Piece { bytes: 1, unseen: false }], input)
    } else {
        (pieces, input)
    }
}

/// So long nobody takes to close a connection on which nothing more comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Begins something that goes on as long as this process, and gives what it begins with.
fn forever<T, F>(begin: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (sender, begun) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            sender.send(begin().await).expect("somebody waits");
            std::future::pending::<()>().await;
        });
    });
    begun.recv().expect("it begins")
}

/// Says this on a connection and nothing more; gives what came until the other side closed.
fn exchange(addr: SocketAddr, input: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    // It may close before it has read everything.
    let _ = stream.write_all(input).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!late, "the connection was not closed");
    }
    answer
}
