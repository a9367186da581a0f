//! A hive's proxy before two real servers, and the three ways in which its master changes.

use std::net::SocketAddr;
use std::path::Path;

use redis_hive::election::{Keep, Route, Time};
use redis_hive::proxy::{Counters, Why};

use crate::fake::Client;
use crate::servers::{Server, eventually};
use crate::support::*;

/// The columns of DESIGN 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Planned,
    /// For sessions that asked nothing lately.
    Crash,
    /// Two leaders met, and these are the clients of the one that gave way.
    Healed,
}

/// How a master dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its connections are closed before anybody else knows.
    Killed,
    /// Nothing is heard of it any more.
    Frozen,
}

/// A master and its replica behind a proxy.
pub struct Pair {
    pub hive: Hive,
    pub master: Server,
    pub replica: Server,
    /// A master that was demoted in a planned change refuses what waited there, as hives make it do.
    pub refuses: bool,
    epoch: u64,
}

impl Pair {
    pub fn start(binary: &Path) -> Pair {
        let (master, replica) = (Server::master(binary), Server::fenced(binary));
        replica.follow(&master);
        let pair = Pair { hive: Hive::start(), master, replica, refuses: true, epoch: 1 };
        pair.hive.route(forward(1, pair.addr()));
        pair
    }

    /// A client of the proxy.
    pub fn client(&self) -> Client {
        Client::new(self.hive.client())
    }

    pub fn counters(&self) -> Counters {
        self.hive.proxy.counters()
    }

    /// The same on both servers.
    pub fn on_both(&self, words: &[&str]) {
        self.master.ask(words);
        self.replica.ask(words);
    }

    /// The master changes in this way.
    pub fn change(&mut self, column: Column) {
        match column {
            Column::Planned => self.plan(),
            Column::Crash => self.crash(self.hive.now(), Death::Frozen),
            Column::Healed => self.heal(),
        }
    }

    /// Those live on whose last reply came before this, which the replica has to know.
    pub fn crash(&mut self, before: Time, death: Death) {
        let stated = self.master.passport().offset;
        eventually("the replica has what was stated", || {
            (self.replica.passport().offset >= stated).then_some(())
        });
        match death {
            Death::Killed => self.master.kill(),
            Death::Frozen => self.master.freeze(),
        }
        self.hive.route_keeping(Route::Hold, Keep::Crash { before });
        self.replica.ask(&["REPLICAOF", "NO", "ONE"]);
        self.swap();
        self.hive.route_keeping(forward(self.epoch, self.addr()), Keep::Crash { before });
        if death == Death::Frozen {
            self.replica.kill();
        }
        self.replica.revive();
        self.replica.follow(&self.master);
    }

    /// Clients are held for a planned change.
    pub fn hold(&self) {
        self.hive.route(held(self.epoch, self.addr()));
    }

    /// The rest of a planned change, in which these live on.
    pub fn move_master(&mut self, keep: Keep) {
        self.replica.await_copy_of(&self.master);
        self.demote();
        self.hive.route_keeping(forward(self.epoch, self.addr()), keep);
        self.follow();
    }

    /// As ELECTION 6 says: hold, pause, wait for the successor, demote, promote, forward.
    fn plan(&mut self) {
        self.hold();
        self.master.ask(&["CLIENT", "PAUSE", "2000", "WRITE"]);
        self.replica.await_copy_of(&self.master);
        // What a master states as one is older than all that it says as none.
        let before = self.hive.now();
        self.demote();
        if self.refuses {
            self.replica.ask(&["CLIENT", "UNPAUSE"]);
            self.hive.wait_for("what waits is refused", |_| {
                self.replica.info_of("clients", "blocked_clients") == "0"
            });
        }
        self.hive.route_keeping(forward(self.epoch, self.addr()), Keep::Planned { before });
        self.follow();
    }

    /// The loser's clients are cut before anything is done to its Redis.
    fn heal(&mut self) {
        self.hive.route(Route::Hold);
        self.replica.await_copy_of(&self.master);
        self.demote();
        self.hive.route(forward(self.epoch, self.addr()));
        self.follow();
    }

    /// The old master first, so that there are never two.
    fn demote(&mut self) {
        let successor = self.replica.addr;
        self.master.ask(&["REPLICAOF", &successor.ip.to_string(), &successor.port.to_string()]);
        self.replica.ask(&["REPLICAOF", "NO", "ONE"]);
        self.swap();
    }

    fn follow(&self) {
        self.replica.ask(&["CLIENT", "UNPAUSE"]);
        self.replica.follow(&self.master);
    }

    fn swap(&mut self) {
        std::mem::swap(&mut self.master, &mut self.replica);
        self.epoch += 1;
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.master.addr.ip, self.master.addr.port)
    }
}

/// Sessions cut for this reason.
pub fn cut(counters: &Counters, why: Why) -> u64 {
    counters.cut[why as usize]
}
