//! Reads files again and again: what is mounted changes while a hive runs.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::SecretsError;

/// How often files are read again. Kubernetes itself takes up to a minute to bring a change.
pub const READ_EVERY: Duration = Duration::from_secs(2);

/// Calls `read` so often, where it may block, and hands what it found to `take`, which says whether
/// those who listen are to be told. Ends when nobody listens to `sender` any more.
pub async fn keep_reading<S, T: Send + 'static>(
    every: Duration,
    sender: watch::Sender<S>,
    read: impl Fn() -> T + Clone + Send + 'static,
    mut take: impl FnMut(&mut S, T) -> bool,
) {
    while timeout(every, sender.closed()).await.is_err() {
        // A volume of the network may hang; this thread has heartbeats to send.
        let Ok(found) = tokio::task::spawn_blocking(read.clone()).await else { return };
        sender.send_if_modified(|state| take(state, found));
    }
}

/// The content of a regular file of at most `max` bytes. Symbolic links are followed. It is read into
/// one buffer that is wiped.
///
/// # Errors
///
/// [`SecretsError::Unreadable`], [`SecretsError::NoFile`], [`SecretsError::FileTooLong`].
pub fn read_bytes(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    let unreadable = |error: std::io::Error| SecretsError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    };
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SecretsError::NoFile(path.to_owned()));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(vec![0; max + 1]);
    let mut len = 0;
    while let Some(room) = bytes.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read(room).map_err(unreadable)? {
            0 => break,
            count => len += count,
        }
    }
    if len > max {
        return Err(SecretsError::FileTooLong(max));
    }
    bytes.truncate(len);
    Ok(bytes)
}
