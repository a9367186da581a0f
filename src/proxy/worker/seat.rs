//! A client's place at a worker.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;

use super::Worker;
use crate::proxy::session;

/// Where clients come in: their own door, or that of visitors.
pub(super) struct Door {
    pub(super) worker: Rc<Worker>,
    pub(super) visitors: bool,
}

impl Door {
    pub(super) fn admit(self: &Rc<Door>, client: std::net::TcpStream) {
        let seat = Seat(self.clone());
        if let Ok(client) = TcpStream::from_std(client) {
            tokio::task::spawn_local(session::serve(client, seat));
        }
    }
}

/// The place of one client at a worker, counted as long as it is kept. One pointer: every session
/// has one.
pub(in crate::proxy) struct Seat(Rc<Door>);

impl Seat {
    pub(in crate::proxy) fn worker(&self) -> &Rc<Worker> {
        &self.0.worker
    }

    /// Gives the client to where those go that there is no route for here; closes it if there is
    /// no such place.
    pub(in crate::proxy) fn hand_over(self, client: TcpStream) {
        let worker = self.worker().clone();
        // With both seats it would count twice.
        drop(self);
        if let Some(elsewhere) = &worker.shared.elsewhere {
            elsewhere.take(client);
        }
    }

    /// Whether the client came through the read endpoint.
    pub(in crate::proxy) fn is_visitor(&self) -> bool {
        self.0.visitors
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let worker = self.worker();
        let tally = &worker.shared.tally;
        worker.desk().load.fetch_sub(1, Ordering::Relaxed);
        tally.visitors.fetch_sub(usize::from(self.is_visitor()), Ordering::Relaxed);
        tally.clients.fetch_sub(1, Ordering::Relaxed);
        worker.shared.seats.fetch_sub(1, Ordering::Relaxed);
    }
}
