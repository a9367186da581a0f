//! What is wrong with single hives: found out of the own one, heard from the others, and told in
//! sentences that name them. Those sentences are the same from every hive.

use std::net::IpAddr;

use super::show::Sources;
use crate::discovery::{Outcome, ServiceState};
use crate::election::{Trouble, Troubles, View};
use crate::redis::{BootFence, Memory};

/// So many hives are named in one sentence.
const NAMED: usize = 3;

/// What this hive complains about, as it tells it to the others. `open`: others reach its peer port,
/// and need no secret. `limit`: of the local Redis, bytes; 0: not known.
pub(super) fn own(from: &Sources<'_>, open: bool, limit: u64) -> Troubles {
    let (redis, facts) = (!from.view.witness, from.facts);
    let unset = !facts.missing_flags.is_empty() || !facts.warnings.is_empty();
    let found = [
        (Trouble::BootFence, redis && facts.boot_fence == BootFence::Missing),
        (Trouble::Memory, redis && is_short(&facts.memory, limit)),
        (Trouble::Dns, from.dns.iter().any(fails)),
        (Trouble::NoSecret, open),
        (Trouble::SecretFile, from.secret.is_some()),
        (Trouble::Credentials, !from.access.is_empty()),
        (Trouble::Settings, redis && unset),
        (Trouble::Redis, redis && !facts.problems.is_empty()),
    ];
    found.into_iter().filter_map(|(trouble, there)| there.then_some(trouble)).collect()
}

fn fails(service: &ServiceState) -> bool {
    matches!(service.outcome, Some(Outcome::Failed(_) | Outcome::Partly(_)))
}

/// Whether a full copy may need more memory than there is: the server forks for it, and every page
/// that is written meanwhile is held twice. With `maxmemory` at half of what there is, a full Redis has
/// some more than half.
fn is_short(memory: &Memory, limit: u64) -> bool {
    let room = [limit, memory.system].into_iter().filter(|room| *room > 0).min();
    room.is_some_and(|room| memory.resident > room / 5 * 3)
}

/// The troubles of all hives that are heard, by address.
pub(super) struct Heard {
    me: IpAddr,
    /// Whether its Redis answers, too.
    hives: Vec<(IpAddr, Troubles, bool)>,
}

impl Heard {
    /// Of this hive, at `me`, and of those it reaches.
    pub fn new(view: &View, me: IpAddr, own: Troubles) -> Heard {
        let peers = view.peers.iter().filter(|peer| peer.reachable);
        let peers = peers.map(|peer| (peer.node.ip, peer.troubles, peer.redis_answers));
        let mut hives: Vec<_> = peers.chain([(me, own, view.redis_answers)]).collect();
        hives.sort_by_key(|(ip, ..)| *ip);
        Heard { me, hives }
    }

    /// The sentence about this trouble; `None`: nobody has it, or the problems of the only hive that
    /// has it say more. A Redis that does not answer is told of elsewhere.
    pub fn sentence(&self, trouble: Trouble) -> Option<String> {
        let has = |(ip, troubles, answers): &(IpAddr, Troubles, bool)| {
            let told = says_more(trouble) && *ip == self.me;
            troubles.has(trouble) && !told && (trouble != Trouble::Redis || *answers)
        };
        let who: Vec<IpAddr> = self.hives.iter().filter(|hive| has(hive)).map(|it| it.0).collect();
        (!who.is_empty()).then(|| told(trouble, &names(&who)))
    }
}

/// Whether the hive itself tells this in sentences of its own.
fn says_more(trouble: Trouble) -> bool {
    match trouble {
        Trouble::BootFence | Trouble::Memory | Trouble::Dns | Trouble::NoSecret => false,
        Trouble::SecretFile | Trouble::Credentials | Trouble::Settings | Trouble::Redis => true,
    }
}

fn names(who: &[IpAddr]) -> String {
    let named: Vec<String> = who.iter().take(NAMED).map(IpAddr::to_string).collect();
    let rest = match who.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    named.join(", ") + &rest
}

fn told(trouble: Trouble, who: &str) -> String {
    match trouble {
        Trouble::BootFence => format!(
            "the Redis of {who} has no boot fence (--replicaof 127.0.0.1 1): a quick restart of it \
             as master could wipe its replicas"
        ),
        Trouble::Memory => format!(
            "the Redis of {who} takes more than 60 % of its memory: a full resync may need as much again"
        ),
        Trouble::Dns => format!("DNS: the last answer to {who} failed, wholly or in part"),
        Trouble::NoSecret => format!(
            "no secret (--secret-file) at {who}: whoever reaches the peer port can read the state and \
             make itself the leader"
        ),
        Trouble::SecretFile => {
            format!(
                "the --secret-file of {who} cannot be used; the secrets read before stay in force"
            )
        }
        Trouble::Credentials => {
            format!(
                "passwords or certificates for Redis need care at {who}: its `status` says which"
            )
        }
        Trouble::Settings => {
            format!("the settings of the Redis of {who} need care: its `status` says which")
        }
        Trouble::Redis => format!("the Redis of {who} needs care: its `status` says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::{id_of, peer, view};
    use super::*;
    use crate::election::PeerView;

    const ME: u8 = 1;

    fn heard(own: &[Trouble], second: Troubles) -> Heard {
        let peers = vec![PeerView { troubles: second, ..peer(2, None) }, peer(3, Some(2))];
        let view = View { peers, redis_answers: true, ..view(2, 2) };
        Heard::new(&view, id_of(ME).ip, own.iter().copied().collect())
    }

    fn of(trouble: Trouble) -> Troubles {
        [trouble].into_iter().collect()
    }

    #[test]
    fn who_has_it_is_named_whoever_is_asked() {
        let fence = Trouble::BootFence;
        let sentence = heard(&[], of(fence)).sentence(fence).expect("told");
        assert!(sentence.starts_with("the Redis of 10.0.0.2 has no boot fence"), "{sentence}");
        let sentence = heard(&[fence], of(fence)).sentence(fence).expect("told");
        assert!(sentence.starts_with("the Redis of 10.0.0.1, 10.0.0.2 has no"), "{sentence}");
        let nobody = heard(&[], Troubles::default());
        assert!(Trouble::ALL.into_iter().all(|trouble| nobody.sentence(trouble).is_none()));
        let newer = heard(&[], Troubles(!0xff));
        assert!(Trouble::ALL.into_iter().all(|trouble| newer.sentence(trouble).is_none()));
    }

    #[test]
    fn what_the_own_sentences_say_is_told_of_the_others_only() {
        let settings = Trouble::Settings;
        assert_eq!(heard(&[settings], Troubles::default()).sentence(settings), None);
        let both = heard(&[settings], of(settings)).sentence(settings).expect("told");
        assert!(both.contains("of 10.0.0.2 need care"), "{both}");
    }

    #[test]
    fn a_redis_that_does_not_answer_is_told_of_once() {
        let mut all = heard(&[], of(Trouble::Redis));
        assert!(all.sentence(Trouble::Redis).is_some());
        all.hives[1].2 = false;
        assert_eq!(all.sentence(Trouble::Redis), None);
    }

    #[test]
    fn a_silent_hive_is_not_quoted() {
        let silent = PeerView { troubles: Troubles(1), reachable: false, ..peer(2, None) };
        let view = View { peers: vec![silent], ..view(2, 2) };
        let all = Heard::new(&view, id_of(ME).ip, Troubles::default());
        assert_eq!(all.sentence(Trouble::BootFence), None);
    }

    #[test]
    fn a_sentence_about_many_stays_short() {
        let many: Vec<IpAddr> = (1..=50).map(|host| id_of(host).ip).collect();
        assert_eq!(names(&many), "10.0.0.1, 10.0.0.2, 10.0.0.3 and 47 more");
        assert_eq!(names(&many[..3]), "10.0.0.1, 10.0.0.2, 10.0.0.3");
    }

    #[test]
    fn a_redis_that_could_not_fork_is_short_of_memory() {
        let memory = |resident, system| Memory { resident, system, ..Memory::default() };
        assert!(!is_short(&memory(600, 1000), 0));
        assert!(is_short(&memory(601, 1000), 0));
        assert!(!is_short(&memory(601, 0), 0), "not stated");
    }

    /// Its container is smaller than the machine, as a rule; where it is not, the machine counts.
    #[test]
    fn the_smaller_of_container_and_machine_is_what_there_is() {
        let memory = Memory { resident: 601, system: 8000, ..Memory::default() };
        assert!(!is_short(&memory, 0));
        assert!(is_short(&memory, 1000));
        assert!(!is_short(&memory, 1005));
        assert!(is_short(&Memory { system: 1000, ..memory }, 8000));
        assert!(is_short(&Memory { system: 0, ..memory }, 1000));
        assert!(!is_short(&Memory { resident: 600, ..memory }, 1000));
    }
}
