//! The duties of the driver: hand inputs in, execute actions, poll Redis, tick.

use redis_hive::election::{Action, Dialled, Input, NodeId, RedisAddr, RedisView, Report, Route};

use crate::clients::FRESH;
use crate::hive::{Fence, Hive, Watch};
use crate::hosts::Stranger;
use crate::network::Path;
use crate::redis::Link;
use crate::world::{Event, MS, Micros, World};

const HEARTBEAT: Micros = 200 * MS;
/// A Redis that has not answered for this long is reported as silent.
pub const SILENT_AFTER: Micros = 250 * MS;
/// A core that wants more ticks than this at one moment never sleeps again.
const MOST_TICKS: u32 = 64;

impl World {
    /// An input for a hive: handled now, or when its loop runs again.
    pub fn deliver(&mut self, host: usize, life: u32, input: Input) {
        let (throttled, now) = (self.hosts[host].throttled, self.now);
        let Some(hive) = self.hive(host, life) else { return };
        let late = throttled && now > hive.runs_until;
        if hive.frozen || late {
            hive.inbox.push_back(input);
            if !hive.frozen {
                self.wake_late(host, life);
            }
            return;
        }
        self.step(host, input);
        self.arm(host);
    }

    fn wake_late(&mut self, host: usize, life: u32) {
        let lateness = self.rng.between(110 * MS, 190 * MS);
        let at = self.now + lateness;
        let Some(hive) = self.hive(host, life) else { return };
        if hive.wakes_at.is_none() {
            hive.wakes_at = Some(at);
            self.at(at, Event::Wake { host, life });
        }
    }

    /// The loop runs again: all that waits is read before the timer is judged.
    pub fn woken(&mut self, host: usize, life: u32) {
        let until = self.now + self.rng.between(20 * MS, 60 * MS);
        let Some(hive) = self.hive(host, life).filter(|hive| !hive.frozen) else { return };
        (hive.wakes_at, hive.runs_until) = (None, until);
        let mut inbox = std::mem::take(&mut hive.inbox);
        for input in inbox.drain(..) {
            self.step(host, input);
        }
        self.ticks(host);
        self.arm(host);
    }

    /// Ticks that are due now, then an alarm for the next one.
    pub fn arm(&mut self, host: usize) {
        let (throttled, now) = (self.hosts[host].throttled, self.now);
        let runs_until = self.hosts[host].hive.as_ref().map_or(0, |hive| hive.runs_until);
        if !throttled || now <= runs_until {
            self.ticks(host);
        }
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let due = hive.core.deadline().0.saturating_sub(hive.origin).max(now);
        let life = hive.life;
        let throttled = throttled && due > runs_until;
        if throttled {
            // The loop asks for `due` and gets it late.
            if hive.wakes_at.is_none() {
                let lateness = self.rng.between(110 * MS, 190 * MS);
                if let Some(hive) = self.hive(host, life) {
                    hive.wakes_at = Some(due + lateness);
                }
                self.at(due + lateness, Event::Wake { host, life });
            }
        } else if due < hive.tick_at || hive.tick_at <= now {
            hive.tick_at = due;
            self.at(due, Event::Tick { host, life });
        }
    }

    /// The loop is no longer throttled, or throttled from now on.
    pub fn rearm(&mut self, host: usize) {
        let Some(hive) = self.hosts[host].hive.as_ref() else { return };
        let life = hive.life;
        self.woken(host, life);
    }

    pub fn tick_due(&mut self, host: usize, life: u32) {
        let now = self.now;
        let Some(hive) = self.hive(host, life) else { return };
        if hive.tick_at == now {
            hive.tick_at = Micros::MAX;
        }
        if !hive.frozen {
            self.arm(host);
        }
    }

    fn ticks(&mut self, host: usize) {
        for _ in 0..MOST_TICKS {
            let now = self.now;
            let Some(hive) = self.hosts[host].hive.as_ref() else { return };
            if hive.frozen || hive.core.deadline().0 > now + hive.origin {
                return;
            }
            self.step(host, Input::Tick);
        }
        self.violated("INV-33", host, || format!("{MOST_TICKS} ticks in one moment"));
    }

    fn step(&mut self, host: usize, input: Input) {
        let clocks = self.clocks(host);
        let mut actions = std::mem::take(&mut self.actions);
        // Inputs only record facts: nothing is to be seen before the tick.
        let decides = input == Input::Tick;
        if let Some(hive) = self.hosts[host].hive.as_mut() {
            hive.core.handle(clocks, input, &mut actions);
        }
        if decides {
            self.observe(host);
        }
        for action in actions.drain(..) {
            self.execute(host, action);
        }
        self.actions = actions;
        let now = self.now;
        if let Some(hive) = self.hosts[host].hive.as_mut().filter(|_| decides) {
            // After the actions: a loop that slept has replaced its route before anything moves again.
            hive.fresh_until = now + FRESH;
        }
    }

    fn execute(&mut self, host: usize, action: Action) {
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let life = hive.life;
        match action {
            Action::Broadcast(frame) => self.broadcast(host, frame),
            Action::Send { to, frame } => self.send(host, to, frame),
            Action::Dial(wanted) => {
                hive.wanted = wanted;
                self.after(100, Event::DialRound { host, life: life | ONCE });
            }
            Action::Resolve => {
                let delay = self.rng.between(MS, 5 * MS);
                self.after(delay, Event::Resolve { host, life, again: false });
            }
            Action::Route { id, route, keep } => {
                self.check_route(host, &route);
                self.sessions_kept(host, &route, keep);
                let delay = self.rng.between(50, 2 * MS);
                self.after(delay, Event::Routed { host, life, id, route });
            }
            Action::Redis { id, at, run_id, order } => self.order(host, id, at, run_id, order),
            Action::Watch(master) => {
                let same = hive.watch.as_ref().map(|watch| watch.master) == master;
                if !same {
                    hive.watch = master.map(|master| Watch { master, to: None, silent: None });
                    self.after(400, Event::Poll { host, life });
                }
            }
            Action::Fence { master, to } => self.fence(host, master, to),
            Action::LiftFence => hive.fence = None,
            Action::Probe(addr) => {
                *self.checks.probes.entry((host, addr)).or_default() += 1;
                let delay = self.rng.between(300, 2 * MS);
                self.after(delay, Event::ProbeEnds { host, life, addr, waited: false });
            }
            Action::Report(report) => self.report(host, report),
            Action::MinReplicas { at, run_id, replicas } => {
                hive.wish = Some((at, run_id, replicas));
                let delay = self.rng.between(100, MS);
                self.after(delay, Event::Wish { host, life });
            }
            Action::AskTended { addr, node } => {
                let delay = self.rng.between(200, 2 * MS);
                self.after(delay, Event::AskTended { host, life, addr, node });
            }
            Action::Lease(until) => self.lease(host, until),
            Action::Answer { token, verdict, text } => self.answered(host, token, verdict, &text),
            Action::Exit => self.may_end(host),
        }
    }

    fn fence(&mut self, host: usize, master: redis_hive::election::Master, to: RedisAddr) {
        let Some(hive) = self.hosts[host].hive.as_mut() else { return };
        let watch = hive.watch.as_ref().filter(|watch| watch.master.run_id == master.run_id);
        let Some(at) = watch.and_then(|watch| watch.to) else { return };
        if self.hosts[at.0].redis.run_id != master.run_id {
            return;
        }
        if let Some(hive) = self.hosts[host].hive.as_mut() {
            hive.order_no += 1;
            hive.fence = Some(Fence { to, at });
            let (life, no) = (hive.life, hive.order_no);
            hive.fence_no = no;
            self.after(300, Event::Fence { host, life, no });
        }
    }

    /// A route that all proxy threads took over.
    pub fn routed(&mut self, host: usize, life: u32, id: u64, route: Route) {
        let Some(hive) = self.hive(host, life) else { return };
        if hive.frozen {
            self.after(10 * MS, Event::Routed { host, life, id, route });
            return;
        }
        if id < hive.route_id {
            return;
        }
        // A connection stays where it is as long as the master does; only its epoch moves on.
        if destination(&hive.route) != destination(&route) {
            hive.route_no += 1;
        }
        hive.route = route;
        hive.route_id = id;
        self.route_set(host);
        self.deliver(host, life, Input::Routed { id });
    }

    pub fn heartbeat(&mut self, host: usize, life: u32) {
        if self.hive(host, life).is_some() {
            self.poll(host, life);
            self.after(HEARTBEAT, Event::Heartbeat { host, life });
        }
    }

    /// One look at the local Redis and at the watched master.
    pub fn poll(&mut self, host: usize, life: u32) {
        let Some(hive) = self.hive(host, life).filter(|hive| !hive.frozen) else { return };
        let watched = hive.watch.as_ref().map(|watch| watch.master.addr);
        if hive.wish.is_some() {
            self.after(300, Event::Wish { host, life });
        }
        let now = self.now;
        if !self.hosts[host].witness {
            let local = self.look(host, self.redis_addr(host));
            let Some(hive) = self.hive(host, life) else { return };
            if let Some(view) = settle(local, &mut hive.local_silent, now) {
                self.input(300, host, life, Input::Redis(view));
            }
        }
        let Some(addr) = watched else { return };
        let view = self.look(host, addr);
        let at = self.host_at(addr.ip).map(|at| (at, self.hosts[at].redis.life));
        let Some(hive) = self.hive(host, life) else { return };
        let Some(watch) = hive.watch.as_mut() else { return };
        match view {
            RedisView::Up(_) => watch.to = at,
            RedisView::Gone | RedisView::Unfit => watch.to = None,
            RedisView::Busy | RedisView::Silent => {}
        }
        if let Some(view) = settle(view, &mut watch.silent, now) {
            self.input(500, host, life, Input::Watched { addr, view });
        }
    }

    /// What an `INFO` from one host to a Redis address yields.
    pub fn look(&self, host: usize, addr: RedisAddr) -> RedisView {
        let Some(at) = self.host_at(addr.ip) else { return RedisView::Silent };
        let there = &self.hosts[at];
        match self.net.redis_path(host, at) {
            Path::Refused => return RedisView::Gone,
            Path::Dropped | Path::NoRoute => return RedisView::Silent,
            Path::Open => {}
        }
        let redis = &there.redis;
        if !redis.alive {
            RedisView::Gone
        } else if redis.frozen {
            RedisView::Silent
        } else if there.stranger == Some(Stranger::Rejects) {
            RedisView::Unfit
        } else if redis.busy(self.now) {
            RedisView::Busy
        } else {
            RedisView::Up(redis.passport(self.now, self.replicas(at)))
        }
    }

    pub fn replicas(&self, master: usize) -> u32 {
        let from = (master, self.hosts[master].redis.life);
        let attached = self.hosts.iter().filter(|host| host.redis.alive);
        attached.filter(|host| host.redis.link == Link::Up { from }).count() as u32
    }

    pub fn probe_ends(&mut self, host: usize, life: u32, addr: RedisAddr, waited: bool) {
        let view = self.look(host, addr);
        let told = self.host_at(addr.ip).map(|at| self.net.redis_path(host, at));
        let waited = waited || told == Some(Path::NoRoute);
        if view == RedisView::Silent && !waited {
            self.after(SILENT_AFTER, Event::ProbeEnds { host, life, addr, waited: true });
        } else {
            self.deliver(host, life, Input::Probed { addr, view });
        }
    }

    pub fn resolved(&mut self, host: usize, life: u32, again: bool) {
        let Some(hive) = self.hive(host, life) else { return };
        let me = hive.me;
        let answer = self.dns.answer(self.now, host, me);
        self.deliver(host, life, answer);
        if again {
            self.after(1_000 * MS, Event::Resolve { host, life, again });
        }
    }

    /// Schedules an input within about `within`.
    pub fn input(&mut self, within: Micros, host: usize, life: u32, input: Input) {
        let delay = self.rng.between(within / 2, within + 1);
        self.after(delay, Event::Input { host, life, input: Box::new(input) });
    }

    pub fn dialled(&mut self, host: usize, life: u32, addr: NodeId, outcome: Dialled) {
        self.deliver(host, life, Input::Dialled { addr, outcome });
    }

    fn report(&mut self, host: usize, report: Report) {
        self.tell(host, || format!("[{}] {:?}: {}", report.epoch, report.kind, report.reason));
        if let Some(hive) = self.hosts[host].hive.as_mut() {
            hive.reported = report.reason;
        }
    }

    /// The hive on a host, for tests that know it runs.
    pub fn running(&self, host: usize) -> &Hive {
        self.hosts[host].hive.as_ref().expect("the test started this hive")
    }
}

/// Marks a dial round that is not the regular one.
pub const ONCE: u32 = 1 << 31;

/// The run a route leads to.
fn destination(route: &Route) -> Option<redis_hive::election::RunId> {
    match route {
        Route::Forward { run_id, .. } | Route::Held { run_id, .. } => Some(*run_id),
        Route::Hold | Route::Refuse { .. } => None,
    }
}

/// A Redis is called silent only after a while; until then nothing is said.
fn settle(view: RedisView, silent: &mut Option<Micros>, now: Micros) -> Option<RedisView> {
    if view != RedisView::Silent {
        *silent = None;
        return Some(view);
    }
    let since = *silent.get_or_insert(now);
    (now - since >= SILENT_AFTER).then_some(view)
}
