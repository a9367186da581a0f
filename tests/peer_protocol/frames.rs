//! Frames to test with: the golden ones, and any number of random ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use redis_hive::election::frame::*;
use redis_hive::election::*;
use redis_hive::peer::codec::{Hello, MINOR};

/// The golden hello.
pub fn hello() -> Hello {
    Hello {
        minor: MINOR,
        abilities: 0,
        name: "cache-peers.prod.svc.cluster.local.".into(),
        node: node(1),
        incarnation: Incarnation(0x0123_4567_89ab_cdef),
        dial: 3,
    }
}

/// The golden frames, each with the name of its file.
pub fn golden() -> Vec<(&'static str, Frame)> {
    let denial = |reason| Message::Denial(Denial { epoch: Epoch(8), reason });
    let messages = vec![
        ("state-starting", Message::State(Box::new(starting()))),
        ("state-leader", Message::State(Box::new(leader()))),
        ("state-candidate", Message::State(Box::new(candidate()))),
        (
            "claim-succession",
            Message::Claim(Claim {
                epoch: Epoch(8),
                since: Wall(1_790_000_000_123),
                copy: Some(copy(2)),
                living: None,
            }),
        ),
        (
            "claim-regent",
            Message::Claim(Claim {
                epoch: Epoch(8),
                since: Wall(1_790_000_000_123),
                copy: None,
                living: Some(living()),
            }),
        ),
        ("grant", Message::Grant(Grant { epoch: Epoch(8), copy: Some(copy(3)) })),
        ("grant-witness", Message::Grant(Grant { epoch: Epoch(8), copy: None })),
        ("denial-has-leader", denial(DenialReason::HasLeader(leadership(7)))),
        ("denial-better", denial(DenialReason::Better(node(2)))),
        ("denial-epoch", denial(DenialReason::Epoch(Epoch(9)))),
        ("denial-promised", denial(DenialReason::Promised(promise()))),
        ("denial-living", denial(DenialReason::Living(living()))),
        ("denial-not-ready", denial(DenialReason::NotReady)),
        (
            "withdrawal",
            Message::Withdrawal(Withdrawal { epoch: Epoch(8), in_favour: Some(node(3)) }),
        ),
        (
            "order",
            Message::Order(Order {
                epoch: Epoch(8),
                from: leadership(7),
                master: master(2),
                lease_ms: Some(480),
            }),
        ),
        ("hold", Message::Hold(Hold { epoch: Epoch(7), hold: true })),
        ("held", Message::Held(Held { epoch: Epoch::MAX })),
        ("request", Message::Request(Request { epoch: Epoch(7), to: Some(node(2)) })),
        (
            "answer",
            Message::Answer(Answer {
                epoch: Epoch(7),
                verdict: Verdict::Unfit,
                reason: "10.42.0.2 is 3 MB behind".into(),
            }),
        ),
    ];
    let frame = |number, message| Frame {
        node: node(1),
        incarnation: Incarnation(0x0123_4567_89ab_cdef),
        number,
        message,
    };
    let numbered = (100..).zip(messages);
    numbered.map(|(number, (name, message))| (name, frame(number, message))).collect()
}

/// A short frame that this hive would send.
pub fn state(node: NodeId, incarnation: Incarnation, number: u64) -> Frame {
    Frame { node, incarnation, number, message: Message::State(Box::new(starting())) }
}

/// The largest state that can be written.
pub fn largest() -> Frame {
    let mut random = Random(7);
    let mut full = leader();
    full.redis = Some(RedisAddr::new(Ipv4Addr::LOCALHOST.into(), 1));
    full.since = Some(Wall(1));
    full.promise = Some(promise());
    full.living = Some(living());
    full.resignations =
        (0..64).map(|_| Resignation { successor: Some(node(1)), ..random.resignation() }).collect();
    full.leaders = (0..64).map(|_| random.news()).collect();
    full.sheets = (0..64).map(|_| random.sheet()).collect();
    full.hears = (0..256).map(|_| random.heard()).collect();
    full.usable = (0..256).map(|_| random.node()).collect();
    Frame {
        node: node(1),
        incarnation: Incarnation(1),
        number: u64::MAX,
        message: Message::State(Box::new(full)),
    }
}

fn node(n: u8) -> NodeId {
    NodeId::new(IpAddr::from([10, 42, 0, n]), 6390)
}

fn id(first: u8) -> Id {
    Id(std::array::from_fn(|i| first.wrapping_mul(16).wrapping_add(i as u8)))
}

fn master(n: u8) -> Master {
    Master {
        addr: RedisAddr::new(IpAddr::from([10, 42, 0, n]), 6379),
        run_id: id(n),
        replid: id(4),
        root: id(5),
    }
}

fn leadership(epoch: u64) -> Leadership {
    Leadership {
        epoch: Epoch(epoch),
        leader: node(1),
        incarnation: Incarnation(0x0123_4567_89ab_cdef),
        master: master(1),
    }
}

fn living() -> Living {
    Living {
        epoch: Epoch(7),
        master: master(1),
        offset: 1_000_123,
        dataset_bytes: 5 << 20,
        keys: 4242,
    }
}

fn promise() -> Promise {
    Promise { epoch: Epoch(8), to: node(3) }
}

fn copy(n: u8) -> Copy {
    Copy {
        passport: Passport {
            run_id: id(n),
            version: Version { major: 7, minor: 0, patch: 15 },
            role: RedisRole::Replica,
            loading: false,
            loaded_bytes: 0,
            backlog: true,
            offset: 1_000_100,
            keys: 4240,
            dataset_bytes: 5 << 20,
            replid: id(4),
            replid2: Id::NONE,
            second_offset: 0,
            upstream: Some(RedisAddr::PARKED),
            link_up: false,
            syncing: false,
            replicas: 0,
        },
        state: CopyState::Complete,
        root: Some(id(5)),
        provisional: false,
        offset: 1_000_100,
        current: false,
    }
}

fn starting() -> State {
    State {
        epoch: Epoch(0),
        role: HiveRole::Starting,
        start_age_ms: 12,
        stopping: false,
        asks: false,
        witness: false,
        priority: 100,
        failed_promotion: false,
        redis: None,
        copy: None,
        redis_answers: false,
        follows: None,
        since: None,
        promise: None,
        living: None,
        resignations: vec![],
        leaders: vec![],
        sheets: vec![],
        hears: vec![],
        usable: vec![],
        pause: None,
        reach: 0,
        clock: Wall(0),
        version: Version::default(),
        troubles: Troubles::default(),
    }
}

fn leader() -> State {
    let mut own = copy(1);
    own.passport.role = RedisRole::Master;
    own.passport.upstream = None;
    own.passport.replicas = 2;
    own.current = true;
    State {
        epoch: Epoch(7),
        role: HiveRole::Leader,
        redis: Some(master(1).addr),
        copy: Some(own),
        redis_answers: true,
        follows: Some(Following {
            leadership: leadership(7),
            heard_ms: Some(0),
            lease_ms: Some(600),
        }),
        sheets: vec![FactSheet {
            leadership: leadership(7),
            against: node(9),
            against_incarnation: Incarnation(77),
            against_epoch: Epoch(6),
            root: id(5),
            dataset_bytes: 5 << 20,
            keys: 4242,
            holders: 3,
            offset: 1_000_123,
            since: Wall(1_790_000_000_000),
        }],
        hears: vec![
            Heard { node: node(2), incarnation: Incarnation(22), number: 1001 },
            Heard {
                node: NodeId::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3).into(), 6390),
                incarnation: Incarnation(33),
                number: 1002,
            },
        ],
        usable: vec![node(2), node(3)],
        pause: Some(Pause { counter: 4, node: node(2), paused: false }),
        reach: 258,
        clock: Wall(1_790_000_000_456),
        version: Version { major: 1, minor: 20, patch: 300 },
        // The highest bit is one that no version knows yet.
        troubles: Troubles(0x8000_0005),
        ..starting()
    }
}

fn candidate() -> State {
    State {
        epoch: Epoch(7),
        role: HiveRole::Candidate,
        start_age_ms: 3_600_000,
        stopping: true,
        asks: true,
        witness: true,
        failed_promotion: true,
        since: Some(Wall(1_790_000_000_123)),
        promise: Some(promise()),
        living: Some(living()),
        resignations: vec![
            Resignation {
                epoch: Epoch(7),
                leader: node(1),
                incarnation: Incarnation(11),
                successor: None,
            },
            Resignation {
                epoch: Epoch(6),
                leader: node(2),
                incarnation: Incarnation(22),
                successor: Some(node(1)),
            },
        ],
        leaders: vec![LeaderNews { leadership: leadership(7), age_ms: 350 }],
        ..starting()
    }
}

/// Random frames from a seed (splitmix64). Values of all sizes, lists of all allowed lengths.
pub struct Random(pub u64);

impl Random {
    pub fn frame(&mut self) -> Frame {
        Frame {
            node: self.node(),
            incarnation: Incarnation(self.u64()),
            number: self.u64(),
            message: self.message(),
        }
    }

    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.u64() % end
    }

    fn message(&mut self) -> Message {
        let epoch = self.epoch();
        match self.below(11) {
            0 | 1 => Message::State(Box::new(self.state())),
            2 => Message::Claim(Claim {
                epoch,
                since: Wall(self.u64()),
                copy: self.option(Self::copy),
                living: self.option(Self::living),
            }),
            3 => Message::Grant(Grant { epoch, copy: self.option(Self::copy) }),
            4 => Message::Denial(Denial { epoch, reason: self.reason() }),
            5 => Message::Withdrawal(Withdrawal { epoch, in_favour: self.option(Self::node) }),
            6 => Message::Order(Order {
                epoch,
                from: self.leadership(),
                master: self.master(),
                lease_ms: self.option(Self::u32),
            }),
            7 => Message::Hold(Hold { epoch, hold: self.bool() }),
            8 => Message::Held(Held { epoch }),
            9 => Message::Answer(Answer {
                epoch,
                verdict: self.pick(&[
                    Verdict::Done,
                    Verdict::Conflict,
                    Verdict::Unfit,
                    Verdict::Failed,
                ]),
                reason: self.text(),
            }),
            _ => Message::Request(Request { epoch, to: self.option(Self::node) }),
        }
    }

    fn state(&mut self) -> State {
        State {
            epoch: self.epoch(),
            role: self.pick(&[
                HiveRole::Starting,
                HiveRole::Follower,
                HiveRole::Candidate,
                HiveRole::Leader,
            ]),
            start_age_ms: self.u64(),
            stopping: self.bool(),
            asks: self.bool(),
            witness: self.bool(),
            priority: self.u32(),
            failed_promotion: self.bool(),
            redis: self.option(Self::redis),
            copy: self.option(Self::copy),
            redis_answers: self.bool(),
            follows: self.option(|it| Following {
                leadership: it.leadership(),
                heard_ms: it.option(Self::u32),
                lease_ms: it.option(Self::u32),
            }),
            since: self.option(|it| Wall(it.u64())),
            promise: self.option(Self::promise),
            living: self.option(Self::living),
            resignations: self.list(64, Self::resignation),
            leaders: self.list(64, Self::news),
            sheets: self.list(64, Self::sheet),
            hears: self.list(256, Self::heard),
            usable: self.list(256, Self::node),
            pause: self.option(|it| Pause {
                counter: it.u64(),
                node: it.node(),
                paused: it.bool(),
            }),
            reach: self.u64() as u16,
            clock: Wall(self.u64()),
            version: self.version(),
            troubles: Troubles(self.u32()),
        }
    }

    fn version(&mut self) -> Version {
        let mut part = || self.u64() as u16;
        Version { major: part(), minor: part(), patch: part() }
    }

    fn reason(&mut self) -> DenialReason {
        match self.below(6) {
            0 => DenialReason::HasLeader(self.leadership()),
            1 => DenialReason::Better(self.node()),
            2 => DenialReason::Epoch(self.epoch()),
            3 => DenialReason::Promised(self.promise()),
            4 => DenialReason::Living(self.living()),
            _ => DenialReason::NotReady,
        }
    }

    fn copy(&mut self) -> Copy {
        Copy {
            passport: Passport {
                run_id: self.id(),
                version: self.version(),
                role: self.pick(&[RedisRole::Master, RedisRole::Replica]),
                loading: self.bool(),
                loaded_bytes: self.u64(),
                backlog: self.bool(),
                offset: self.u64(),
                keys: self.u64(),
                dataset_bytes: self.u64(),
                replid: self.id(),
                replid2: self.id(),
                second_offset: self.u64(),
                upstream: self.option(Self::redis),
                link_up: self.bool(),
                syncing: self.bool(),
                replicas: self.u32(),
            },
            state: self.pick(&[CopyState::Blank, CopyState::Coming, CopyState::Complete]),
            root: self.option(Self::id),
            provisional: self.bool(),
            offset: self.u64(),
            current: self.bool(),
        }
    }

    fn master(&mut self) -> Master {
        Master { addr: self.redis(), run_id: self.id(), replid: self.id(), root: self.id() }
    }

    fn leadership(&mut self) -> Leadership {
        Leadership {
            epoch: self.epoch(),
            leader: self.node(),
            incarnation: Incarnation(self.u64()),
            master: self.master(),
        }
    }

    fn living(&mut self) -> Living {
        Living {
            epoch: self.epoch(),
            master: self.master(),
            offset: self.u64(),
            dataset_bytes: self.u64(),
            keys: self.u64(),
        }
    }

    fn promise(&mut self) -> Promise {
        Promise { epoch: self.epoch(), to: self.node() }
    }

    fn resignation(&mut self) -> Resignation {
        Resignation {
            epoch: self.epoch(),
            leader: self.node(),
            incarnation: Incarnation(self.u64()),
            successor: self.option(Self::node),
        }
    }

    fn news(&mut self) -> LeaderNews {
        LeaderNews { leadership: self.leadership(), age_ms: self.u32() }
    }

    fn sheet(&mut self) -> FactSheet {
        FactSheet {
            leadership: self.leadership(),
            against: self.node(),
            against_incarnation: Incarnation(self.u64()),
            against_epoch: self.epoch(),
            root: self.id(),
            dataset_bytes: self.u64(),
            keys: self.u64(),
            holders: self.u32(),
            offset: self.u64(),
            since: Wall(self.u64()),
        }
    }

    fn heard(&mut self) -> Heard {
        Heard { node: self.node(), incarnation: Incarnation(self.u64()), number: self.u64() }
    }

    fn node(&mut self) -> NodeId {
        NodeId::new(self.ip(), self.u64() as u16)
    }

    fn redis(&mut self) -> RedisAddr {
        RedisAddr::new(self.ip(), self.u64() as u16)
    }

    fn ip(&mut self) -> IpAddr {
        if self.bool() {
            Ipv4Addr::from_bits(self.u32()).into()
        } else {
            Ipv6Addr::from_bits(u128::from(self.u64()) << 64 | u128::from(self.u64())).into()
        }
    }

    fn id(&mut self) -> Id {
        Id(std::array::from_fn(|_| self.u64() as u8))
    }

    fn epoch(&mut self) -> Epoch {
        Epoch(self.below(Epoch::MAX.0 + 1))
    }

    fn text(&mut self) -> String {
        let characters = self.below(128);
        (0..characters).map(|_| self.pick(&['a', ' ', '\n', '\u{e9}'])).collect()
    }

    fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    fn bool(&mut self) -> bool {
        self.below(2) == 1
    }

    fn pick<T: std::marker::Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.bool() { Some(value(self)) } else { None }
    }

    /// Mostly short, now and then as long as allowed.
    fn list<T>(&mut self, max: u64, mut entry: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = if self.below(16) == 0 { max } else { self.below(4) };
        (0..len).map(|_| entry(self)).collect()
    }
}
