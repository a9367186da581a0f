//! Random runs: from a seed to a set of hosts, a mix of faults and the times at which they strike.

use redis_hive::election::{Ablation, Ask};

use crate::audit::{CONVERGED_WITHIN, Outcome};
use crate::hosts::ip;
use crate::mix::Mix;
use crate::network::Weather;
use crate::rng::Rng;
use crate::world::{Config, MS, Micros, SEC, World};

/// A kind of random run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub hosts: (u64, u64),
    pub mix: Mix,
    /// How long faults strike.
    pub span: (Micros, Micros),
    /// Longest time between two of them.
    pub pace: Micros,
    /// Full syncs take seconds in every run, not only in some.
    pub slow_syncs: bool,
    /// Two sides that do not see each other start, each from nothing.
    pub split_birth: bool,
    /// Packets are late all the time, and writes are many.
    pub late_streams: bool,
    /// `--quorum` of more than half, with or without a witness.
    pub quorum: bool,
    /// Faults are such that nothing may be lost: nothing dies, sleep is short, weather is fair.
    pub mild: bool,
    /// Hives complain, each about something else.
    pub troubled: bool,
    pub ablation: Ablation,
}

impl Plan {
    pub fn all() -> Plan {
        Plan {
            hosts: (1, 10),
            mix: Mix::ALL,
            span: (8 * SEC, 15 * SEC),
            pace: 3 * SEC,
            slow_syncs: false,
            split_birth: false,
            late_streams: false,
            quorum: false,
            mild: false,
            troubled: false,
            ablation: Ablation::default(),
        }
    }

    /// Never two masters: ELECTION 8.
    pub fn quorum() -> Plan {
        Plan { mix: Mix::QUORUM, quorum: true, pace: 2 * SEC, ..Plan::all() }
    }

    /// Planned changes under writers.
    pub fn changes() -> Plan {
        let span = (8 * SEC, 20 * SEC);
        Plan { hosts: (2, 5), mix: Mix::CHANGES, span, mild: true, ..Plan::all() }
    }

    /// A mix that isolates one rule.
    pub fn of(mix: Mix, ablation: Ablation) -> Plan {
        Plan { hosts: (2, 6), mix, ablation, ..Plan::all() }
    }
}

/// One seed of a plan, from the first start to the audit.
pub fn run(plan: &Plan, seed: u64, told: bool) -> Outcome {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut world = begin(plan, seed, told, &mut rng);
    let end = world.now + rng.between(plan.span.0, plan.span.1);
    while world.now < end && !world.checks.broken() {
        let fault = plan.mix.pick(&mut rng);
        world.strike(plan, fault, &mut rng);
        // Faults come alone or in a burst.
        let pause =
            if rng.chance(1, 3) { rng.between(0, 300 * MS) } else { rng.between(0, plan.pace) };
        world.run_for(pause.min(end.saturating_sub(world.now)));
    }
    world.revive_all();
    world.heal();
    world.come_to_rest();
    // Where every copy is gone, the empty ones wait for addresses that stay silent.
    let limit = CONVERGED_WITHIN + 10 * SEC * u64::from(!world.any_copy());
    let mut outcome = world.audit(limit);
    if plan.mild && outcome.lost > 0 {
        let lost = outcome.lost;
        outcome.violations.push(format!("INV-43 at all: {lost} acknowledged writes are lost"));
    }
    outcome
}

/// A world of this plan in which all hosts were started and, mostly, agree.
fn begin(plan: &Plan, seed: u64, told: bool, rng: &mut Rng) -> World {
    let (hosts, quorum, witness) = match [(3, 2, false), (5, 3, false), (3, 2, true)][rng.below(3)]
    {
        shape if plan.quorum => shape,
        _ => (few(rng, plan.hosts), 1, false),
    };
    let Plan { ablation, troubled, .. } = *plan;
    let mut config = Config { told, quorum, ablation, troubled, ..Config::new(seed) };
    config.first_ip = [1, 5, 7, 95][rng.below(4)];
    config.write_every = rng.between(25, 90) * MS;
    config.rescue = rng.chance(1, 2);
    config.min_replicas = if rng.chance(1, 4) { rng.between(1, 3) as u32 } else { 0 };
    if rng.chance(1, 4) || plan.slow_syncs {
        config.transfer = (20 * MS, rng.between(30, 1_500) * MS);
        config.load = (20 * MS, rng.between(30, 2_500) * MS);
    }
    let mut world = World::new(config, hosts);
    if witness {
        world.hosts[rng.below(hosts)].witness = true;
    } else if rng.chance(1, 8) {
        world.hosts[rng.below(hosts)].priority = 0;
    }
    if plan.split_birth {
        world.split(1 | rng.next() & 0b110);
    }
    for host in 0..hosts {
        let wait = if rng.chance(1, 3) { rng.between(0, 2 * SEC) } else { rng.between(0, 50 * MS) };
        world.run_for(wait);
        world.start_both(host);
    }
    world.start_writers();
    if plan.split_birth {
        world.run_for(rng.between(11, 14) * SEC);
        world.mend();
    }
    if plan.mild || rng.chance(3, 4) {
        world.settle(15 * SEC);
    }
    if plan.late_streams {
        world.net.weather = Weather { loss: 0, duplicated: 0, late: 500, late_by: 12 * MS };
        world.config.write_every = 4 * MS;
    }
    world
}

/// Small sets are the usual ones.
fn few(rng: &mut Rng, (low, high): (u64, u64)) -> usize {
    let size =
        if rng.chance(1, 5) { rng.between(low, high) } else { rng.between(low, high.min(6)) };
    size.max(1) as usize
}

impl World {
    /// Faults that people and their tools make.
    pub fn strike_plan(&mut self, fault: usize, host: usize, soon: Micros, rng: &mut Rng) {
        let stops = self.hosts[host].hive.as_ref().is_none_or(|hive| hive.stopping.is_some());
        let alone = self.ours().iter().filter(|at| self.hosts[**at].hive.is_some()).count() < 2;
        match fault {
            20 if !stops && !alone => {
                self.stop(host);
                self.later(soon, rng, |world| {
                    world.run_until(4 * SEC, |w| w.hosts[host].hive.is_none());
                    world.start_both(host);
                });
            }
            21 if !stops => {
                let wait = if rng.chance(1, 3) { 0 } else { rng.between(0, 5 * SEC) };
                self.replace(host, wait);
            }
            22 => {
                let to = ip(self.config.first_ip, rng.below(self.hosts.len()));
                let to = rng.chance(1, 2).then_some(to);
                self.ask(host, Ask::Switchover { to });
            }
            23 => {
                let pause = !self.paused() || rng.chance(1, 3);
                self.ask(host, if pause { Ask::Pause } else { Ask::Resume });
            }
            24 => {
                let slow = &mut self.hosts[host].slow_commands;
                *slow = if *slow > 0 { 0 } else { rng.between(5, 400) * MS };
                let slow = *slow;
                self.tell(host, || format!("---- slow commands: {} ms ----", slow / MS));
            }
            _ => {}
        }
    }

    fn revive_all(&mut self) {
        for host in self.ours() {
            if self.hosts[host].retiring && self.hosts[host].hive.is_none() {
                self.end(host);
                continue;
            }
            if !self.hosts[host].powered {
                self.power_on(host);
            }
            self.start_both(host);
        }
    }

    /// After the faults: pause mode ends, and who was told to stop ends. Hives that stopped start again.
    fn come_to_rest(&mut self) {
        for _ in 0..4 {
            let paused = |host: &usize| {
                self.hosts[*host].hive.as_ref().is_some_and(|hive| hive.core.view().paused)
            };
            let Some(host) = self.ours().into_iter().find(paused) else { break };
            self.ask(host, Ask::Resume);
            self.run_for(SEC);
        }
        if self.stopping() {
            let ended = self.run_until(90 * SEC, |world| !world.stopping());
            let late = self
                .hosts
                .iter()
                .position(|there| there.hive.as_ref().is_some_and(|hive| hive.stopping.is_some()));
            if let Some(host) = late.filter(|_| !ended && !self.checks.broken()) {
                self.violated("INV-44", host, || "a stopping hive does not end".into());
            }
        }
        self.revive_all();
    }

    /// Whether any hive is in pause mode.
    pub fn paused(&self) -> bool {
        self.hosts
            .iter()
            .any(|there| there.hive.as_ref().is_some_and(|hive| hive.core.view().paused))
    }
}
