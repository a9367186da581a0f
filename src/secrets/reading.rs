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
/// a buffer that does not grow and is wiped.
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
    let seen = std::fs::metadata(path).map_err(unreadable)?;
    if !seen.is_file() {
        return Err(SecretsError::NoFile(path.to_owned()));
    }
    // A file may grow meanwhile, and some file systems say 0 for every size.
    let stated = usize::try_from(seen.len()).map_or(max, |size| size.min(max));
    for size in [stated, max] {
        let bytes = read_at_most(path, size + 1).map_err(unreadable)?;
        if bytes.len() <= size {
            return Ok(bytes);
        }
    }
    Err(SecretsError::FileTooLong(max))
}

/// The first `max` bytes of a file.
fn read_at_most(path: &Path, max: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(path)?;
    let mut bytes = Zeroizing::new(vec![0; max]);
    let mut len = 0;
    while let Some(room) = bytes.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read(room)? {
            0 => break,
            count => len += count,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in /proc, where every size is 0.
    #[test]
    fn a_file_that_states_no_size_is_read_whole_and_within_bounds() {
        let path = Path::new("/proc/self/status");
        let bytes = read_bytes(path, 64 << 10).expect("it can be read");
        assert!(bytes.starts_with(b"Name:") && bytes.len() > 100);
        assert_eq!(read_bytes(path, 100), Err(SecretsError::FileTooLong(100)));
    }
}
