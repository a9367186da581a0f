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
    };

    fn weights(&self) -> [u64; 20] {
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
