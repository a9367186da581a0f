//! A client's place at a worker.

use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;

use super::Worker;
use crate::proxy::{accept, session};

/// Where clients come in: their own door, or that of visitors.
pub(in crate::proxy) struct Door {
    pub(super) worker: Rc<Worker>,
    pub(super) visitors: bool,
}

impl Door {
    /// Finds a place for a client that was accepted on this thread.
    pub(in crate::proxy) fn receive(self: &Rc<Door>, client: TcpStream) {
        let (shared, desk) = (&*self.worker.shared, self.worker.desk());
        shared.tally.accepted.fetch_add(1, Ordering::Relaxed);
        let is_here = accept::least_loaded(shared).is_some_and(|least| std::ptr::eq(least, desk));
        if is_here && accept::seat(shared, desk, false) {
            return self.admit(Ok(client));
        }
        // It fails only where the runtime is ending; the socket is closed then.
        match client.into_std() {
            Ok(client) if is_here => accept::turn_away(client, shared, desk),
            Ok(client) => accept::place(client, shared, false),
            Err(_) => {}
        }
    }

    /// Serves a client that has been counted in.
    pub(super) fn admit(self: &Rc<Door>, client: io::Result<TcpStream>) {
        let seat = Seat(self.clone());
        if let Ok(client) = client {
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
