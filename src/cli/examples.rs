//! What stands below the flags in `--help` and in the manual: examples and exit codes.

/// Of the program.
pub(super) const ALL: &str = "\
Examples:
  redis-hive dev                          try it out: servers and their hives
  redis-hive status                       what is wrong, who leads, who follows
  redis-hive switchover --to 10.0.0.7     move the master without losing a write
  redis-hive explain                      why the master is where it is

Exit codes: 0 done, 1 it did not work, 64 bad usage, 69 something needed is
unavailable.";

/// Of `run`.
pub(super) const RUN: &str = "\
Examples:
  redis-hive run --service redis-hive-peers --secret-file /run/hive/secret
  redis-hive run --peer 10.0.0.2 --peer 10.0.0.3 --redis 127.0.0.1:6379
  redis-hive run --service redis-hive-peers --quorum 2 --witness

Every flag can be set as a variable too: --peer-port is HIVE_PEER_PORT.
Exit codes: 0 told to stop, 1 it cannot go on, 64 wrong flags (all at once).";

/// Of `check`.
pub(super) const CHECK: &str = "\
Examples:
  redis-hive check                        in the container of a hive
  redis-hive check --service redis-hive-peers --redis 127.0.0.1:6379
  redis-hive check --json

Exit codes: 0 nothing to mend, 1 something to mend, 64 wrong flags (all at
once).";

/// Of `status`.
pub(super) const STATUS: &str = "\
Examples:
  redis-hive status
  redis-hive status --watch --http 10.0.0.7
  redis-hive status --json

Exit codes: 0 healthy, 1 degraded (the first line says why), 64 bad usage,
69 no hive answers. With --watch: 0 when it is interrupted.";

/// Of `explain`.
pub(super) const EXPLAIN: &str = "\
Examples:
  redis-hive explain                      the last change of the master
  redis-hive explain 7                    what began epoch 7
  redis-hive explain --http 10.0.0.7      as that hive saw it

Every hive tells what it saw itself, of the last 256 changes since it started.
Exit codes: 0 told, 1 it knows of none, 64 bad usage, 69 the hive cannot be
reached.";

/// Of `switchover`.
pub(super) const SWITCHOVER: &str = "\
Examples:
  redis-hive switchover                   to the youngest hive that is fit
  redis-hive switchover --to 10.0.0.7
  redis-hive switchover --http 10.0.0.1 --secret-file /run/hive/secret

Any hive takes it and passes it on to the leader.
Exit codes: 0 the master has moved, 1 it has not (and why), 64 bad usage,
69 the hive cannot be reached.";

/// Of `pause`.
pub(super) const PAUSE: &str = "\
Examples:
  redis-hive pause
  redis-hive pause --http 10.0.0.1 --secret-file /run/hive/secret

While paused the death of the master is an outage: keep it short.
Exit codes: 0 paused, 1 not (and why), 64 bad usage, 69 the hive cannot be
reached.";

/// Of `resume`.
pub(super) const RESUME: &str = "\
Examples:
  redis-hive resume
  redis-hive resume --http 10.0.0.1 --secret-file /run/hive/secret

Exit codes: 0 ended, 1 not (and why), 64 bad usage, 69 the hive cannot be
reached.";

/// Of `dev`.
pub(super) const DEV: &str = "\
Examples:
  redis-hive dev
  redis-hive dev --nodes 5 --base-port 7100
  redis-hive dev --hive-arg=--quorum=2

Exit codes: 0 stopped, 1 it did not work, 64 bad usage, 69 no redis-server, or
a port is taken.";

/// Of `completions`.
pub(super) const COMPLETIONS: &str = "\
Examples:
  redis-hive completions bash > /etc/bash_completion.d/redis-hive
  redis-hive completions zsh > /usr/share/zsh/site-functions/_redis-hive
  redis-hive completions fish > ~/.config/fish/completions/redis-hive.fish";

/// Of `man`.
pub(super) const MAN: &str = "\
Examples:
  redis-hive man > /usr/share/man/man1/redis-hive.1
  redis-hive man status > /usr/share/man/man1/redis-hive-status.1

Exit codes: 0 written, 64 there is no such command.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::args::{Cli, parse};
    use super::super::text::WIDTH;

    /// The command lines in a text, without what is said beside them.
    fn lines(help: &str) -> Vec<String> {
        let examples = help.lines().filter_map(|line| line.strip_prefix("  redis-hive"));
        let bare = |line: &str| {
            let line = line.split(" > ").next().unwrap_or_default();
            format!("redis-hive{}", line.split("   ").next().unwrap_or_default())
        };
        examples.map(bare).collect()
    }

    #[test]
    fn every_command_has_examples_that_work() {
        let cli = Cli::command();
        let whole = std::iter::once(&cli).chain(cli.get_subcommands());
        for command in whole {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = lines(&help);
            assert!(lines.len() >= 2, "{} has {lines:?}", command.get_name());
            for line in lines {
                let words = line.split_whitespace();
                assert!(parse(words).is_ok(), "{line}");
                assert!(command.get_name() == "redis-hive" || line.contains(command.get_name()));
            }
            for line in help.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }
}
