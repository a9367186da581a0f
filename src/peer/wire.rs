//! The shapes of the bodies on the wire: every struct lists its fields in wire order, and the
//! list is all there is. `proto/peer.md` says the same for other implementations.

use serde::{Deserialize, Serialize};

use super::codec::CodecError;
use super::form::{Bounded, Wire, WireAddr, WireId};
use crate::election::frame::*;
use crate::election::types::*;

/// The most entries of `hears` and `usable`: as many as a hive keeps links.
pub(super) const MAX_HIVES: usize = 256;
/// The most entries of `leaders`, `sheets` and `resignations`.
pub(super) const MAX_NEWS: usize = 64;

/// Declares a form and both conversions: fields in wire order, each with the form it travels in.
macro_rules! wire {
    ($(#[$doc:meta])* $form:ident is $value:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize)]
        pub(super) struct $form {
            $($field: $type),*
        }

        impl Wire<$form> for $value {
            fn pack(&self) -> $form {
                $form { $($field: Wire::<$type>::pack(&self.$field)),* }
            }

            fn unpack(form: $form) -> Result<$value, CodecError> {
                Ok($value { $($field: Wire::<$type>::unpack(form.$field)?),* })
            }
        }
    };
}

/// Declares the tags of an enum without fields. 0 is never a tag.
macro_rules! tags {
    ($value:ident as $name:literal { $($variant:ident = $tag:literal),* $(,)? }) => {
        impl Wire<u8> for $value {
            fn pack(&self) -> u8 {
                match self { $($value::$variant => $tag),* }
            }

            fn unpack(tag: u8) -> Result<$value, CodecError> {
                match tag {
                    $($tag => Ok($value::$variant),)*
                    _ => Err(CodecError::UnknownTag { field: $name, tag }),
                }
            }
        }
    };
}

/// The election's frames without their message: who speaks, and the number of the frame.
#[derive(Serialize, Deserialize)]
pub(super) struct WireHead {
    pub(super) node: WireAddr,
    pub(super) incarnation: u64,
    pub(super) number: u64,
}

wire!(
    /// [`State`], kind 0x10.
    WireState is State {
        epoch: u64,
        role: u8,
        start_age_ms: u64,
        stopping: bool,
        asks: bool,
        witness: bool,
        priority: u32,
        failed_promotion: bool,
        redis: Option<WireAddr>,
        copy: Option<WireCopy>,
        redis_answers: bool,
        follows: Option<WireFollowing>,
        since: Option<u64>,
        promise: Option<WirePromise>,
        living: Option<WireLiving>,
        resignations: Bounded<WireResignation, MAX_NEWS>,
        leaders: Bounded<WireLeaderNews, MAX_NEWS>,
        sheets: Bounded<WireFactSheet, MAX_NEWS>,
        hears: Bounded<WireHeard, MAX_HIVES>,
        usable: Bounded<WireAddr, MAX_HIVES>,
        pause: Option<WirePause>,
        reach: u16,
        clock: u64,
        version: WireVersion,
        troubles: u32,
    }
);

wire!(
    /// [`Claim`], kind 0x11.
    WireClaim is Claim {
        epoch: u64,
        since: u64,
        copy: Option<WireCopy>,
        living: Option<WireLiving>,
    }
);

wire!(
    /// [`Grant`], kind 0x12.
    WireGrant is Grant { epoch: u64, copy: Option<WireCopy> }
);

/// [`Denial`], kind 0x13. Only the field that belongs to the reason is present.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct WireDenial {
    epoch: u64,
    reason: u8,
    leader: Option<WireLeadership>,
    better: Option<WireAddr>,
    highest: Option<u64>,
    promise: Option<WirePromise>,
    living: Option<WireLiving>,
}

wire!(
    /// [`Withdrawal`], kind 0x14.
    WireWithdrawal is Withdrawal { epoch: u64, in_favour: Option<WireAddr> }
);

wire!(
    /// [`Order`], kind 0x15.
    WireOrder is Order {
        epoch: u64,
        from: WireLeadership,
        master: WireMaster,
        lease_ms: Option<u32>,
    }
);

wire!(
    /// [`Hold`], kind 0x16.
    WireHold is Hold { epoch: u64, hold: bool }
);

wire!(
    /// [`Held`], kind 0x17.
    WireHeld is Held { epoch: u64 }
);

wire!(
    /// [`Request`], kind 0x18.
    WireRequest is Request { epoch: u64, to: Option<WireAddr> }
);

wire!(
    /// [`Answer`], kind 0x19.
    WireAnswer is Answer { epoch: u64, verdict: u8, reason: String }
);

wire!(WireVersion is Version { major: u16, minor: u16, patch: u16 });

wire!(WirePassport is Passport {
    run_id: WireId,
    version: WireVersion,
    role: u8,
    loading: bool,
    loaded_bytes: u64,
    backlog: bool,
    offset: u64,
    keys: u64,
    dataset_bytes: u64,
    replid: WireId,
    replid2: WireId,
    second_offset: u64,
    upstream: Option<WireAddr>,
    link_up: bool,
    syncing: bool,
    replicas: u32,
});

wire!(WireCopy is Copy {
    passport: WirePassport,
    state: u8,
    root: Option<WireId>,
    provisional: bool,
    offset: u64,
    current: bool,
});

wire!(WireMaster is Master {
    addr: WireAddr,
    run_id: WireId,
    replid: WireId,
    root: WireId,
});

wire!(WireLeadership is Leadership {
    epoch: u64,
    leader: WireAddr,
    incarnation: u64,
    master: WireMaster,
});

wire!(WireFollowing is Following {
    leadership: WireLeadership,
    heard_ms: Option<u32>,
    lease_ms: Option<u32>,
});

wire!(WirePromise is Promise { epoch: u64, to: WireAddr });

wire!(WireLiving is Living {
    epoch: u64,
    master: WireMaster,
    offset: u64,
    dataset_bytes: u64,
    keys: u64,
});

wire!(WireResignation is Resignation {
    epoch: u64,
    leader: WireAddr,
    incarnation: u64,
    successor: Option<WireAddr>,
});

wire!(WireLeaderNews is LeaderNews { leadership: WireLeadership, age_ms: u32 });

wire!(WireFactSheet is FactSheet {
    leadership: WireLeadership,
    against: WireAddr,
    against_incarnation: u64,
    against_epoch: u64,
    root: WireId,
    dataset_bytes: u64,
    keys: u64,
    holders: u32,
    offset: u64,
    since: u64,
});

wire!(WireHeard is Heard { node: WireAddr, incarnation: u64, number: u64 });

wire!(WirePause is Pause { counter: u64, node: WireAddr, paused: bool });

tags!(HiveRole as "role" { Starting = 1, Follower = 2, Candidate = 3, Leader = 4 });
tags!(Verdict as "verdict" { Done = 1, Conflict = 2, Unfit = 3, Failed = 4 });
tags!(RedisRole as "redis role" { Master = 1, Replica = 2 });
tags!(CopyState as "copy state" { Blank = 1, Coming = 2, Complete = 3 });

const HAS_LEADER: u8 = 1;
const BETTER: u8 = 2;
const EPOCH: u8 = 3;
const PROMISED: u8 = 4;
const LIVING: u8 = 5;
const NOT_READY: u8 = 6;

impl Wire<WireDenial> for Denial {
    fn pack(&self) -> WireDenial {
        let mut form = WireDenial { epoch: self.epoch.pack(), ..WireDenial::default() };
        match &self.reason {
            DenialReason::HasLeader(leader) => {
                form.reason = HAS_LEADER;
                form.leader = Some(leader.pack());
            }
            DenialReason::Better(node) => {
                form.reason = BETTER;
                form.better = Some(node.pack());
            }
            DenialReason::Epoch(highest) => {
                form.reason = EPOCH;
                form.highest = Some(highest.pack());
            }
            DenialReason::Promised(promise) => {
                form.reason = PROMISED;
                form.promise = Some(promise.pack());
            }
            DenialReason::Living(living) => {
                form.reason = LIVING;
                form.living = Some(living.pack());
            }
            DenialReason::NotReady => form.reason = NOT_READY,
        }
        form
    }

    fn unpack(form: WireDenial) -> Result<Denial, CodecError> {
        let epoch = Wire::unpack(form.epoch)?;
        let reason = match (
            form.reason,
            form.leader,
            form.better,
            form.highest,
            form.promise,
            form.living,
        ) {
            (HAS_LEADER, Some(leader), None, None, None, None) => {
                DenialReason::HasLeader(Wire::unpack(leader)?)
            }
            (BETTER, None, Some(node), None, None, None) => {
                DenialReason::Better(Wire::unpack(node)?)
            }
            (EPOCH, None, None, Some(highest), None, None) => {
                DenialReason::Epoch(Wire::unpack(highest)?)
            }
            (PROMISED, None, None, None, Some(promise), None) => {
                DenialReason::Promised(Wire::unpack(promise)?)
            }
            (LIVING, None, None, None, None, Some(living)) => {
                DenialReason::Living(Wire::unpack(living)?)
            }
            (NOT_READY, None, None, None, None, None) => DenialReason::NotReady,
            (HAS_LEADER..=NOT_READY, ..) => {
                return Err(CodecError::Malformed("a denial's fields do not fit its reason"));
            }
            (tag, ..) => return Err(CodecError::UnknownTag { field: "denial reason", tag }),
        };
        Ok(Denial { epoch, reason })
    }
}
