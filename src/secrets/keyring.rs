//! The secrets in force, read again while the hive runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::reading::{READ_EVERY, keep_reading};
use super::{SecretSource, Secrets, SecretsError};

/// The secrets in force. Clones see every change.
#[derive(Clone, Debug)]
pub struct Keyring(watch::Receiver<InForce>);

#[derive(Clone, Debug, Default)]
struct InForce {
    secrets: Arc<Secrets>,
    problem: Option<String>,
    /// When the file was read last and could be used; `None` without a file.
    read_at: Option<Instant>,
}

impl Keyring {
    /// Secrets that never change.
    pub fn fixed(secrets: Secrets) -> Keyring {
        let in_force = InForce { secrets: secrets.into(), ..InForce::default() };
        Keyring(watch::channel(in_force).1)
    }

    /// The secrets of the start, and from now on those of the file. Within a tokio runtime only.
    /// Reading ends with the last clone.
    pub fn start(source: SecretSource) -> Keyring {
        Keyring::reading(source, READ_EVERY)
    }

    /// As [`Keyring::start`], with the file read so often.
    pub fn reading(source: SecretSource, every: Duration) -> Keyring {
        let read_at = source.file.as_ref().map(|_| Instant::now());
        let in_force = InForce { secrets: source.secrets, problem: None, read_at };
        let (sender, receiver) = watch::channel(in_force);
        if let Some(file) = source.file {
            let path = file.clone();
            let read = move || Secrets::read(&path);
            let take = move |in_force: &mut InForce, read| take(in_force, &file, read);
            tokio::spawn(keep_reading(every, sender, read, take));
        }
        Keyring(receiver)
    }

    /// The secrets in force now.
    pub fn secrets(&self) -> Arc<Secrets> {
        self.0.borrow().secrets.clone()
    }

    /// Why the file's present content is not in force, as a sentence that names the flag.
    pub fn problem(&self) -> Option<String> {
        self.0.borrow().problem.clone()
    }

    /// How long ago the file was read and could be used; `None` without a file.
    pub fn read_age(&self) -> Option<Duration> {
        self.0.borrow().read_at.map(|at| at.elapsed())
    }

    /// Returns after the next change, or never.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Takes what was read over; whether anything is different now. A file that cannot be used changes
/// nothing: the secrets read last stay in force.
fn take(in_force: &mut InForce, file: &Path, read: Result<Secrets, SecretsError>) -> bool {
    if read.is_ok() {
        in_force.read_at = Some(Instant::now());
    }
    match read {
        Ok(secrets) if secrets == *in_force.secrets => in_force.problem.take().is_some(),
        Ok(secrets) => {
            let count = secrets.all().len();
            let file = file.display();
            tracing::info!(%file, count, "the --secret-file has changed: it is in force");
            in_force.secrets = secrets.into();
            in_force.problem = None;
            true
        }
        Err(error) => {
            let problem = format!("--secret-file: {error}; the secrets read before stay in force");
            let news = in_force.problem.as_ref() != Some(&problem);
            if news {
                tracing::warn!(what = problem, "the --secret-file cannot be used");
            }
            in_force.problem = Some(problem);
            news
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio::time::timeout;

    use super::*;

    const OLD: &str = "old-secret-of-this-test";
    const NEW: &str = "new-secret-of-this-test";

    /// A directory as Kubernetes mounts a Secret: the file is a link through `..data`, which is
    /// swapped in one step.
    struct Mount(PathBuf);

    impl Mount {
        fn new(name: &str) -> Mount {
            let dir = std::env::temp_dir().join(format!("hive-{name}-{}", std::process::id()));
            std::fs::create_dir(&dir).expect("a directory");
            let mount = Mount(dir);
            mount.swap("1", OLD);
            std::os::unix::fs::symlink("..data/hive-secret", mount.file()).expect("a link");
            mount
        }

        fn file(&self) -> PathBuf {
            self.0.join("hive-secret")
        }

        fn swap(&self, version: &str, text: &str) {
            let dir = self.0.join(version);
            std::fs::create_dir(&dir).expect("a directory");
            std::fs::write(dir.join("hive-secret"), text).expect("a file");
            let link = self.0.join("..tmp");
            std::os::unix::fs::symlink(version, &link).expect("a link");
            std::fs::rename(&link, self.0.join("..data")).expect("a swap");
        }

        fn keyring(&self) -> Keyring {
            let secrets = Arc::new(Secrets::read(&self.file()).expect("secrets"));
            let source = SecretSource { secrets, file: Some(self.file()) };
            Keyring::reading(source, Duration::from_millis(5))
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            // What is left in the temporary directory hurts nobody.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    async fn change(keyring: &mut Keyring) {
        timeout(Duration::from_secs(10), keyring.changed()).await.expect("a change");
    }

    #[tokio::test]
    async fn a_swapped_file_is_in_force_without_a_restart() {
        let mount = Mount::new("swap");
        let mut keyring = mount.keyring();
        assert!(keyring.secrets().accepts(OLD));
        mount.swap("2", &format!("{OLD}\n{NEW}\n"));
        change(&mut keyring).await;
        assert!(keyring.secrets().accepts(OLD) && keyring.secrets().accepts(NEW));
        mount.swap("3", NEW);
        change(&mut keyring).await;
        assert!(!keyring.secrets().accepts(OLD) && keyring.secrets().accepts(NEW));
    }

    #[tokio::test]
    async fn a_broken_file_changes_nothing_and_is_told_until_it_is_mended() {
        let mount = Mount::new("broken");
        let mut keyring = mount.keyring();
        mount.swap("2", "short");
        change(&mut keyring).await;
        assert!(keyring.secrets().accepts(OLD));
        let problem = keyring.problem().expect("a problem");
        let broken_for = keyring.read_age();
        assert!(broken_for.is_some());
        assert!(problem.starts_with("--secret-file: the secret in line 1"), "{problem}");
        std::fs::remove_file(mount.0.join("..data")).expect("the link");
        change(&mut keyring).await;
        assert!(keyring.problem().expect("a problem").contains("cannot read"));
        mount.swap("3", OLD);
        change(&mut keyring).await;
        assert_eq!(keyring.problem(), None);
        assert!(keyring.secrets().accepts(OLD));
        let read_again = async {
            while keyring.read_age() >= broken_for {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), read_again).await.expect("it is read again");
    }

    #[tokio::test]
    async fn a_problem_is_told_once() {
        let mut in_force = InForce::default();
        let file = Path::new("/etc/hive/secret");
        assert!(take(&mut in_force, file, Err(SecretsError::Empty)));
        assert!(!take(&mut in_force, file, Err(SecretsError::Empty)));
        assert!(take(&mut in_force, file, Err(SecretsError::TooMany)));
    }
}
