//! Mixes of faults.

use crate::rng::Rng;

/// Which faults strike, and how often relative to each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    pub hive_crash: u64,
    pub redis_crash: u64,
    pub both_crash: u64,
    pub power: u64,
    pub moves: u64,
    pub stranger: u64,
    pub hive_freeze: u64,
    pub redis_freeze: u64,
    pub both_freeze: u64,
    pub busy: u64,
    pub partition: u64,
    pub one_way: u64,
    pub port_cut: u64,
    pub weather: u64,
    pub throttle: u64,
    pub clock: u64,
    pub dns: u64,
    pub demote: u64,
    pub slow_orders: u64,
    /// The Redis restarts before anybody looks.
    pub redis_reboot: u64,
    /// A hive is told to stop, and started again.
    pub stop: u64,
    /// A pod is deleted after a new one was started on another address.
    pub replace: u64,
    /// Somebody asks for another master.
    pub switchover: u64,
    /// Somebody asks for pause mode, and for its end.
    pub pause: u64,
    pub slow_commands: u64,
}

impl Mix {
    /// Everything that can happen.
    pub const ALL: Mix = Mix {
        hive_crash: 12,
        redis_crash: 12,
        both_crash: 12,
        power: 8,
        moves: 4,
        stranger: 3,
        hive_freeze: 8,
        redis_freeze: 6,
        both_freeze: 4,
        busy: 4,
        partition: 12,
        one_way: 6,
        port_cut: 6,
        weather: 8,
        throttle: 3,
        clock: 4,
        dns: 6,
        demote: 3,
        slow_orders: 4,
        redis_reboot: 5,
        stop: 8,
        replace: 6,
        switchover: 8,
        pause: 2,
        slow_commands: 3,
    };
    /// What a quorum has to stand: no address changes, no clock.
    pub const QUORUM: Mix = Mix {
        hive_crash: 8,
        redis_crash: 5,
        both_crash: 8,
        power: 5,
        hive_freeze: 10,
        redis_freeze: 8,
        both_freeze: 8,
        busy: 3,
        partition: 20,
        one_way: 10,
        port_cut: 8,
        weather: 6,
        throttle: 3,
        demote: 2,
        slow_orders: 6,
        redis_reboot: 3,
        stop: 6,
        switchover: 6,
        slow_commands: 8,
        ..Mix::NONE
    };
    /// Planned changes, and what a healthy set has to stand during them.
    pub const CHANGES: Mix = Mix {
        hive_freeze: 2,
        weather: 3,
        slow_orders: 3,
        slow_commands: 3,
        stop: 6,
        replace: 8,
        switchover: 12,
        ..Mix::NONE
    };
    pub const NONE: Mix = Mix {
        hive_crash: 0,
        redis_crash: 0,
        both_crash: 0,
        power: 0,
        moves: 0,
        stranger: 0,
        hive_freeze: 0,
        redis_freeze: 0,
        both_freeze: 0,
        busy: 0,
        partition: 0,
        one_way: 0,
        port_cut: 0,
        weather: 0,
        throttle: 0,
        clock: 0,
        dns: 0,
        demote: 0,
        slow_orders: 0,
        redis_reboot: 0,
        stop: 0,
        replace: 0,
        switchover: 0,
        pause: 0,
        slow_commands: 0,
    };

    fn weights(&self) -> [u64; 25] {
        [
            self.hive_crash,
            self.redis_crash,
            self.both_crash,
            self.power,
            self.moves,
            self.stranger,
            self.hive_freeze,
            self.redis_freeze,
            self.both_freeze,
            self.busy,
            self.partition,
            self.one_way,
            self.port_cut,
            self.weather,
            self.throttle,
            self.clock,
            self.dns,
            self.demote,
            self.slow_orders,
            self.redis_reboot,
            self.stop,
            self.replace,
            self.switchover,
            self.pause,
            self.slow_commands,
        ]
    }

    /// One of the faults, by weight.
    pub fn pick(&self, rng: &mut Rng) -> usize {
        let weights = self.weights();
        let mut left = rng.between(0, weights.iter().sum::<u64>().max(1));
        for (fault, weight) in weights.iter().enumerate() {
            if left < *weight {
                return fault;
            }
            left -= weight;
        }
        0
    }
}
