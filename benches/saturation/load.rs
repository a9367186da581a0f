//! Clients that never rest: pipelines of small requests on many connections, as fast as they are
//! answered.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Requests that are out on one connection at a time.
const PIPELINE: usize = 16;
/// A connection without an answer for so long counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint.
#[derive(Clone, Copy)]
pub struct Place {
    pub addr: SocketAddr,
    /// Else it is only read from.
    pub writes: bool,
}

/// What all clients did so far.
#[derive(Default)]
pub struct Done {
    pub requests: AtomicU64,
    pub errors: AtomicU64,
}

/// Running clients.
pub struct Load {
    pub done: Arc<Done>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many threads, each with one connection to each of these.
    pub fn start(threads: usize, addrs: &[Place]) -> Load {
        let (done, stop) = (Arc::<Done>::default(), Arc::<AtomicBool>::default());
        let client = |number: usize| {
            let (done, stop, addrs) = (done.clone(), stop.clone(), addrs.to_vec());
            std::thread::spawn(move || work(number, &addrs, &done, &stop))
        };
        let threads = (0..threads).map(client).collect();
        Load { done, stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(number: usize, addrs: &[Place], done: &Done, stop: &AtomicBool) {
    let name = format!("{:08}", number % 100_000_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$8\r\n{name}\r\n$8\r\n{name}\r\n").repeat(PIPELINE);
    let get = "*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n".repeat(PIPELINE);
    // `+OK` and `$-1` are equally long.
    let mut answers = [0; 5 * PIPELINE];
    let mut connections: Vec<Option<TcpStream>> = addrs.iter().map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        for (place, connection) in addrs.iter().zip(&mut connections) {
            let requests = if place.writes { &set } else { &get };
            if let Err(error) = send(place.addr, connection, requests.as_bytes()) {
                lost(connection, &error, done);
            }
        }
        for connection in &mut connections {
            let Some(stream) = connection else { continue };
            match stream.read_exact(&mut answers) {
                Ok(()) => {
                    done.requests.fetch_add(PIPELINE as u64, Ordering::Relaxed);
                }
                Err(error) => lost(connection, &error, done),
            }
        }
    }
}

fn send(addr: SocketAddr, connection: &mut Option<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            connection.insert(stream)
        }
    };
    stream.write_all(bytes)
}

fn lost(connection: &mut Option<TcpStream>, error: &io::Error, done: &Done) {
    if done.errors.fetch_add(1, Ordering::Relaxed) < 10 {
        eprintln!("    a client lost its connection: {error}");
    }
    *connection = None;
    std::thread::sleep(Duration::from_millis(10));
}
