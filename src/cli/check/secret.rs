//! Whether the peer port is locked, and how well.

use std::os::unix::fs::MetadataExt;

use secrecy::ExposeSecret;

use super::finding::Finding;
use crate::config::Config;
use crate::secrets::Secret;

/// 32 characters of base64 or 48 of hexadecimal digits are 192 bits; what is shorter was hardly
/// made by a machine.
const GOOD_LEN: usize = 32;
/// Permission of everybody to read.
const OTHERS_READ: u32 = 0o004;

const MEND: &str = "put the line that `openssl rand -base64 32` prints into a file, the same for all \
                    hives, and give --secret-file";

/// What is to be said of the shared secret.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let source = &config.secrets;
    let Some(first) = source.secrets.first() else {
        return vec![none(config)];
    };
    let mut findings = Vec::new();
    if source.secrets.all().iter().any(is_short) {
        findings.push(Finding::odd(
            "secret.short",
            format!("a secret is shorter than {GOOD_LEN} characters"),
            "who listens on the network can try guesses without being seen",
            MEND,
        ));
    }
    let mode = source.file.as_ref().and_then(|file| std::fs::metadata(file).ok());
    if mode.is_some_and(|meta| meta.mode() & OTHERS_READ != 0) {
        findings.push(Finding::odd(
            "secret.readable",
            "the file of --secret-file can be read by every user",
            "who has the secret can make itself the leader",
            "give it mode 0440 (defaultMode of the volume) and a group of this user's (fsGroup)",
        ));
    }
    if findings.is_empty() {
        let count = source.secrets.all().len();
        let others = if count == 1 { "" } else { ", others are accepted" };
        let len = first.text().expose_secret().len();
        let seen = format!("peers prove a secret of {len} characters{others}");
        findings.push(Finding::good("secret", seen));
    }
    findings
}

fn none(config: &Config) -> Finding {
    if !config.is_open() {
        return Finding::good("secret", "none, and only this machine reaches the peer port");
    }
    Finding::odd(
        "secret.none",
        "there is none",
        "whoever reaches the peer port can read the state and make itself the leader",
        MEND,
    )
}

fn is_short(secret: &Secret) -> bool {
    secret.text().expose_secret().len() < GOOD_LEN
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::finding::Level;
    use super::*;
    use crate::config::Outside;
    use crate::secrets::{SecretSource, Secrets};

    fn judge(bind: &str, secrets: Secrets, file: Option<PathBuf>) -> Vec<(Level, String)> {
        let bind = format!("--bind={bind}");
        let line = ["redis-hive", "check", "--peer=10.0.0.2", &bind];
        let (cli, _) = crate::cli::args::parse(line).expect("a command line");
        let crate::cli::args::Command::Check(args) = cli.command else { unreachable!() };
        let mut config =
            Config::from_flags(&args.flags, &Outside::default()).expect("settings").config;
        config.secrets = SecretSource { secrets: Arc::new(secrets), file };
        look(&config).into_iter().map(|finding| (finding.level, finding.seen)).collect()
    }

    #[test]
    fn an_open_peer_port_is_odd_unless_nobody_reaches_it() {
        assert_eq!(judge("::", Secrets::default(), None)[0].0, Level::Odd);
        assert_eq!(judge("127.0.0.1", Secrets::default(), None)[0].0, Level::Good);
    }

    #[test]
    fn a_short_secret_and_a_readable_file_are_odd() {
        let secrets = |text: &str| Secrets::parse(text).expect("secrets");
        let good = "k".repeat(GOOD_LEN);
        let file = std::env::temp_dir().join(format!("hive-check-secret-{}", std::process::id()));
        std::fs::write(&file, &good).expect("a file");
        let mode = |mode| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        mode(0o440);
        let found = judge("::", secrets(&good), Some(file.clone()));
        assert_eq!((found.len(), found[0].0), (1, Level::Good));
        mode(0o444);
        let short = format!("{good}\n{}", "s".repeat(GOOD_LEN - 1));
        let found = judge("::", secrets(&short), Some(file.clone()));
        std::fs::remove_file(&file).expect("the file");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|(level, _)| *level == Level::Odd), "{found:?}");
        assert!(found[0].1.contains("shorter") && found[1].1.contains("every user"), "{found:?}");
        assert!(!format!("{found:?}").contains(&good), "{found:?}");
    }
}
