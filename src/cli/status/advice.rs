//! What to do about each thing that is wrong, in a few words. `docs/operations.md` says more.

/// What is done where nothing better is known.
const OTHERWISE: &str = "see docs/operations.md, what /status complains about";

const WAIT: &str = "wait; if it lasts, look at the pod that is named";
const UNFENCED: &str = "start Redis as the manifests do, with the start script";
const RIGHTS: &str = "give the user the rights in docs/security.md; no rename-command";
const MISSING_REPLICA: &str = "look at the pods without a current copy; run three hives or more";
const ASK_IT: &str = "run `redis-hive status` in the pod that is named";
const FILES: &str = "mend the file or the Secret it comes from; nothing was lost";

/// Words of a complaint, and what to do about it. The first that fit count.
const ADVICE: &[(&str, &str)] = &[
    // These quote a reason, which may have any words.
    ("the secrets read before stay", FILES),
    ("what was read before stays in use", FILES),
    (
        "There is no TLS with Redis",
        "do what the reason says; docs/security.md has the whole setting",
    ),
    ("no master is known", "wait for a second; then look at the pods: `kubectl get pods`"),
    ("no leader", "wait for a second; then see what it waits for, and the pods"),
    ("clients are held", "nothing, if it ends: they go on once there is a master"),
    ("clients are turned away", "bring a master back; they come again by themselves"),
    (
        "DNS has not answered yet",
        "check --service, the DNS of the pod, the NetworkPolicy (port 53)",
    ),
    ("blank and", WAIT),
    ("has not stated its copy yet", WAIT),
    ("does not know yet what its Redis holds", WAIT),
    ("the listed address", "is another hive, or a dead pod, at that address? It may hold data"),
    ("is there and says nothing", "look at that pod: another --name, secret or version?"),
    ("is gone and its address still listed", "wait until DNS forgets it; look at its pod"),
    ("nobody has answered yet at", "look at the pods at these addresses"),
    ("waiting for", WAIT),
    ("are in reach, --quorum", "bring hives back, or the network between them; keep --quorum"),
    ("no lease", "bring hives back, or the network between them; keep --quorum"),
    ("of another history", "delete the pod whose data you do not want: it comes back empty"),
    ("no epoch is left", "change the secret and start all hives anew: somebody forged frames"),
    ("paused", "`redis-hive resume` when the work is done"),
    ("stopping, and still here", "let it: it ends when others have what it holds"),
    ("does not answer", "look at the log and the CPU of the container redis"),
    ("Nothing listens on", "look at the log of the container redis; is --redis right?"),
    ("There is no way to", "look at the log of the container redis; is --redis right?"),
    ("busy with a script", "wait, or end it: SCRIPT KILL, at the Redis itself"),
    ("closes every connection", "raise maxclients of Redis; is --redis right, is TLS meant?"),
    (
        "does not accept the credentials",
        "mend the Secret; `redis-hive check` names what is missing",
    ),
    ("What answers there is no Redis", "give the address of the local Redis with --redis"),
    ("Redis refuses INFO", RIGHTS),
    ("This Redis cannot be used", "use Redis 6.2 or later, or Valkey"),
    ("Cluster node", "start Redis with cluster-enabled no"),
    ("no replica is current", MISSING_REPLICA),
    ("one replica only", MISSING_REPLICA),
    ("is not current", "wait; if it lasts, look at both logs of Redis and at port 6379"),
    ("holds no complete copy", "wait; if it lasts, look at both logs of Redis and at port 6379"),
    ("MiB behind", "look at the CPU and the network of that pod, and the rate of writes"),
    ("never came to its end", "put the larger values into the configuration; more memory"),
    ("cannot be told", "nothing, with the manifests; `redis-hive check` in a new pod tells"),
    ("no boot fence", UNFENCED),
    ("was started without", UNFENCED),
    ("saves its data to disk", "start Redis with --save \"\" --appendonly no"),
    ("append-only file", "start Redis with --save \"\" --appendonly no"),
    ("The last save of Redis", "turn persistence off, or make room on the disk"),
    ("A script may keep Redis silent", "raise --redis-timeout or lower busy-reply-threshold"),
    ("refused CONFIG SET", RIGHTS),
    ("Redis knows no setting", RIGHTS),
    ("does not tell its setting", RIGHTS),
    ("could not be saved before", "make room in --rescue-dir, or raise --rescue-max-bytes"),
    ("Writes go on while the copy", "make room in --rescue-dir, or raise --rescue-max-bytes"),
    ("has been silent for", "is the pod alive? NetworkPolicy (6390), secret, version?"),
    ("a full resync may need", "more memory or less data; keep maxmemory at half of the limit"),
    ("certificates for Redis need care at", ASK_IT),
    ("the settings of the Redis of", ASK_IT),
    ("needs care", ASK_IT),
    ("the clock of", "set the clocks of the nodes (NTP)"),
    ("of several versions run", "end the rollout, or go back"),
    ("DNS: the last answer", "look at the DNS of the pod; no harm while nobody comes or goes"),
    ("no secret (--secret-file)", "give --secret-file, the same on all hives"),
    ("does not accept what is new", "do the step that was left out: docs/security.md"),
    ("refuses the first password", "let Redis accept it too, then take the older one away"),
    ("A new connection to", "renew what the reason names, before the connection breaks"),
    ("The certificate", "renew it; both sides read it by themselves"),
    ("could not read its certificates", "mend the Secret of the certificates"),
];

/// What to do about this complaint.
pub(super) fn advice(complaint: &str) -> &'static str {
    let known = ADVICE.iter().find(|(words, _)| complaint.contains(words));
    known.map_or(OTHERWISE, |(_, todo)| todo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::WIDTH;

    /// Every complaint that the document explains.
    fn complaints() -> Vec<&'static str> {
        let document = include_str!("../../../docs/operations.md");
        let (_, table) = document.split_once("## What `/status` complains").expect("the table");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let firsts = rows.filter_map(|row| row.split(" | ").next());
        let quoted = firsts.flat_map(|cell| cell.split('`').step_by(2));
        // The second halves of a complaint are quoted too.
        quoted.filter(|words| !words.starts_with("it")).collect()
    }

    #[test]
    fn there_is_advice_for_every_complaint_that_is_documented() {
        let complaints = complaints();
        assert!(complaints.len() > 40, "{complaints:?}");
        let without: Vec<_> = complaints.iter().filter(|it| advice(it) == OTHERWISE).collect();
        assert!(without.is_empty(), "{without:?}");
        assert_eq!(advice("the sky falls"), OTHERWISE);
    }

    #[test]
    fn a_quoted_reason_does_not_decide() {
        for (complaint, todo) in [
            (
                "--secret-file: there is no secret in it; the secrets read before stay in force",
                FILES,
            ),
            ("--redis-cert: it cannot be used: bad; what was read before stays in use.", FILES),
        ] {
            assert_eq!(advice(complaint), todo, "{complaint}");
        }
    }

    #[test]
    fn advice_is_one_line() {
        for (words, todo) in ADVICE {
            assert!(todo.chars().count() <= WIDTH - 5, "{words}: {todo}");
        }
    }

    /// A complaint must not be caught by words that are meant for another.
    #[test]
    fn the_narrow_words_come_before_the_wide_ones() {
        for (at, (words, _)) in ADVICE.iter().enumerate() {
            let caught = ADVICE.iter().take(at).find(|(wide, _)| words.contains(wide));
            assert!(caught.is_none(), "{words} is never reached: {caught:?}");
        }
    }
}
