//! What must hold in planned changes and under `--quorum`: INV-37 to INV-42 of `docs/invariants.md`.

use redis_hive::election::frame::Verdict;
use redis_hive::election::{Epoch, Frame, Id, Message, NodeId, RedisAddr, Route};

use crate::history::WriteId;
use crate::redis::Link;
use crate::story::name;
use crate::world::{MS, Micros, SEC, World};

/// How long a hold may last, with what a late loop and five looks a second add to a second.
const LONGEST_HOLD: Micros = 1_400 * MS;
/// When a question must have been answered.
const LONGEST_ASK: Micros = 10 * SEC + 300 * MS;
/// A promotion this long after an order to lead is that order's.
const ORDERED: Micros = 3 * SEC;
/// `--peer-timeout`, and what it takes to notice.
const SILENCE: Micros = 1_100 * MS;
/// `--last-copy-timeout`
const LAST_COPY: Micros = 60 * SEC;

/// A person's question.
#[derive(Debug)]
pub struct Asked {
    pub host: usize,
    pub life: u32,
    /// When it was asked; later where its hive slept.
    pub since: Micros,
    pub verdict: Option<Verdict>,
    pub text: String,
    /// The hive died: nobody waits any more.
    pub void: bool,
}

/// An order to lead that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    pub epoch: Epoch,
    pub to: usize,
    pub at: Micros,
    /// The run of the master before.
    pub from: Id,
}

/// The leadership announced last of those to whose master a route was opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Newest {
    at: Micros,
    epoch: Epoch,
    run: Id,
}

impl World {
    /// Notes an order to lead.
    pub fn note_order(&mut self, to: NodeId, frame: &Frame) {
        let Message::Order(order) = &frame.message else { return };
        let Some(to) = self.host_at(to.ip) else { return };
        let from = order.from.master.run_id;
        self.checks.orders.push(Ordered { epoch: order.epoch, to, at: self.now, from });
    }

    /// The host of the master that the promotion of this Redis succeeds in a planned change: its
    /// replica by now, or given up by an order.
    pub fn predecessor(&self, host: usize) -> Option<usize> {
        let addr = self.redis_addr(host);
        // An order is void once somebody leads in its epoch or a later one.
        let announced = &self.checks.announced;
        let open = |order: &Ordered| announced.iter().all(|one| one.0 < order.epoch);
        let recent =
            |order: &&Ordered| order.to == host && self.now - order.at < ORDERED && open(order);
        let ordered = self.checks.orders.iter().rev().find(recent).map(|order| order.from);
        let at = |run: Id| self.hosts.iter().position(|there| there.redis.run_id == run);
        if let Some(run) = ordered {
            return at(run).filter(|old| *old != host);
        }
        // A regent that makes its own Redis the master: the other one was made its replica first.
        let led = announced.last().filter(|one| one.1 == host)?;
        let old = at(led.4).filter(|old| *old != host)?;
        let redis = &self.hosts[old].redis;
        let demoted = [Some(addr), Some(RedisAddr::PARKED)].contains(&redis.upstream);
        (redis.alive && demoted).then_some(old)
    }

    /// INV-37: who takes over in a planned change holds every acknowledged write of the old master.
    pub fn check_handed_over(&mut self, host: usize, old: usize) {
        let (mine, theirs) = (self.hosts[host].redis.data, self.hosts[old].redis.data);
        let missing = self.all.acked_beyond(theirs, mine);
        if self.hosts[old].redis.alive && missing > 0 {
            let who = name(old);
            self.violated("INV-37", host, || {
                format!("takes over without {missing} writes of {who}")
            });
        }
    }

    /// All proxies of a hive have a new route (INV-38, INV-40), or hold from now on (INV-39).
    pub fn route_set(&mut self, host: usize) {
        let now = self.now;
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        hive.held_since = match hive.route {
            Route::Held { .. } => hive.held_since.or(Some(now)),
            _ => None,
        };
        self.route_leased(host);
    }

    /// A route goes somewhere, and a lease, if one is needed, lets it.
    pub fn route_leased(&mut self, host: usize) {
        let now = self.now;
        let Some(hive) = self.hosts[host].hive.as_ref() else { return };
        let route = match hive.route {
            Route::Forward { epoch, run_id, .. } if hive.leased(now) => Some((epoch, run_id)),
            _ => None,
        };
        if let Some((epoch, run)) = route {
            // Epochs begin anew where nobody is left to remember them: who was announced last is newer.
            let announced = self.checks.announced.iter();
            let at = announced.rev().find(|one| one.0 == epoch && one.4 == run).map(|one| one.3);
            let newer = at.filter(|at| *at > self.checks.newest.at);
            if let Some(at) = newer {
                self.checks.newest = Newest { at, epoch, run };
            }
        }
        self.check_two_routes(host);
    }

    /// A hive wakes: what it slept does not count as holding.
    pub fn hold_goes_on(&mut self, host: usize) {
        let now = self.now;
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        hive.held_since = hive.held_since.map(|_| now);
    }

    /// INV-38: with a quorum no write is acknowledged by an older master, unless the newer one holds it
    /// because it took over in a planned change.
    pub fn check_ack(&mut self, host: usize, run: Id, write: WriteId) {
        let Newest { epoch, run: newest, .. } = self.checks.newest;
        if self.config.quorum < 2 || run == newest || newest.is_none() {
            return;
        }
        let ordered = self.checks.orders.iter().any(|order| order.epoch == epoch);
        let master = self.hosts.iter().position(|there| there.redis.run_id == newest);
        let held = |at: usize| self.all.is_prefix(self.all.place(write), self.hosts[at].redis.data);
        if ordered && master.is_some_and(held) {
            return;
        }
        self.violated("INV-38", host, || {
            format!("write {write} acknowledged by {run:?} after {newest:?} opened in {epoch}")
        });
    }

    /// INV-40: with a quorum no two masters can be written to through routes that have a lease.
    pub fn check_two_routes(&mut self, host: usize) {
        if self.config.quorum < 2 {
            return;
        }
        let open = |at: usize| {
            let hive = self.hosts[at].hive.as_ref().filter(|hive| hive.leased(self.now))?;
            let Route::Forward { run_id, .. } = hive.route else { return None };
            let mut redis = self.hosts.iter().map(|there| &there.redis);
            redis.any(|redis| redis.run_id == run_id && redis.is_master()).then_some(run_id)
        };
        let Some(run) = open(host) else { return };
        let other = (0..self.hosts.len()).find(|at| open(*at).is_some_and(|other| other != run));
        if let Some(other) = other {
            let who = name(other);
            self.violated("INV-40", host, || format!("forwards to {run:?}, {who} to another one"));
        }
    }

    /// An answer to a person (INV-41).
    pub fn answered(&mut self, host: usize, token: u64, verdict: Verdict, text: &str) {
        self.tell(host, || format!("answers {token}: {verdict:?}, {text}"));
        let life = self.hosts[host].hive.as_ref().map(|hive| hive.life);
        let asked = self.checks.asks.get_mut((token as usize).wrapping_sub(1));
        let twice = match asked.filter(|asked| asked.host == host && Some(asked.life) == life) {
            None => Some("nobody asked"),
            Some(asked) => {
                asked.text = text.to_owned();
                asked.verdict.replace(verdict).map(|_| "answered twice")
            }
        };
        if let Some(what) = twice {
            self.violated("INV-41", host, || format!("token {token}: {what}"));
        }
    }

    /// INV-42: a stopping hive with the last copy stays until another one holds it.
    pub fn check_last_copy(&mut self, host: usize) {
        let there = &self.hosts[host];
        let stopping = there.hive.as_ref().and_then(|hive| hive.stopping);
        let (redis, mine) = (&there.redis, there.redis.data);
        if !redis.complete()
            || mine.keys() == 0
            || self.all.acked_beyond(mine, crate::history::Data::BLANK) == 0
        {
            return;
        }
        let source = (host, redis.life);
        let root = self.all.root(mine);
        let others = || {
            let others = self.hosts.iter().enumerate().filter(|(other, _)| *other != host);
            others.filter(|(_, there)| there.stranger.is_none() && there.redis.alive)
        };
        let holds = others()
            .any(|(_, there)| there.redis.complete() && self.all.root(there.redis.data) == root);
        let copies = others().any(|(_, there)| match there.redis.link {
            Link::Transfer(sync) => sync.from == source && self.now < sync.until,
            Link::Loading(sync) => sync.from == source,
            _ => false,
        });
        let waited = stopping.is_some_and(|since| self.now - since >= LAST_COPY);
        // Who died a moment ago counts as alive: nobody can know better.
        let just_died = (0..self.hosts.len()).any(|at| {
            let there = &self.hosts[at];
            let again = there.redis.life > 1 && !there.redis.complete();
            let lost = (!there.redis.alive || again) && !there.witness && there.stranger.is_none();
            lost && self.net.troubled(self.now, host, at, SILENCE)
        });
        if !holds && !just_died && (copies || !waited) {
            let keys = mine.keys();
            self.violated("INV-42", host, || format!("ends with the last copy of {keys} keys"));
        }
    }

    /// Five times a second (INV-39, INV-41).
    pub fn check_planned(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            let late = self.hosts[host].throttled;
            let Some(hive) = self.hosts[host].hive.as_ref().filter(|hive| !hive.frozen) else {
                continue;
            };
            let limit = LONGEST_HOLD + if late { 400 * MS } else { 0 };
            if hive.held_since.is_some_and(|since| now - since > limit) {
                self.violated("INV-39", host, || {
                    "clients are held for longer than a second".into()
                });
            }
        }
        for token in 0..self.checks.asks.len() {
            self.check_answer(token, now);
        }
    }

    fn check_answer(&mut self, token: usize, now: Micros) {
        let asked = &mut self.checks.asks[token];
        if asked.void || asked.verdict.is_some() {
            return;
        }
        let (host, life) = (asked.host, asked.life);
        match self.hosts[host].hive.as_ref().filter(|hive| hive.life == life) {
            None => asked.void = true,
            Some(hive) if hive.frozen || self.hosts[host].throttled => asked.since += 200 * MS,
            Some(_) if now - asked.since > LONGEST_ASK => {
                asked.void = true;
                self.violated("INV-41", host, || format!("token {} was not answered", token + 1));
            }
            Some(_) => {}
        }
    }
}
