//! The folder in which copies are saved before they are given up, and what may stand in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use super::Rescue;
use crate::election::ReplId;

const PREFIX: &str = "redis-hive_";
const SUFFIX: &str = ".rdb";
/// What the name of an unfinished file ends with.
const DRAFT: &str = ".part";

/// A part of a copy on its way to the disk.
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// Nothing is missing. A copy without it is thrown away.
    End,
}

/// What is known of a copy before its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title {
    pub replid: ReplId,
    pub offset: u64,
}

/// Where one hive's copies are saved.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    rescue: Rescue,
    /// The hive, as it is written in file names.
    node: String,
}

impl Shelf {
    pub fn new(rescue: Rescue, node_name: &str) -> Shelf {
        // The port tells nobody anything, and neither `:` nor `_` may be in the name.
        let ip = node_name.rsplit_once(':').map_or(node_name, |(ip, _)| ip);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let node: String = ip.trim_matches(['[', ']']).chars().map(plain).collect();
        Shelf { rescue, node }
    }

    /// Removes what a hive that was killed while it saved has left there. Blocks.
    pub fn sweep(&self) {
        let begin = format!("{PREFIX}{}.", self.node);
        let Ok(entries) = fs::read_dir(&self.rescue.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&begin) && name.ends_with(DRAFT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Writes what comes until its end and gives the file its name. Without an end, or after an
    /// error, nothing of it stays. Blocks.
    pub fn write(&self, title: Title, parts: mpsc::Receiver<Part>) -> Result<String, String> {
        // A save that was given up may end after the next one began.
        static DRAFTS: AtomicU32 = AtomicU32::new(0);
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = self.rescue.dir.join(format!("{PREFIX}{}.{number}{DRAFT}", self.node));
        let written = self.fill(&draft, parts).and_then(|()| {
            let name = self.name(title, SystemTime::now());
            fs::rename(&draft, self.rescue.dir.join(&name)).map_err(told)?;
            // The name is on the disk only when the folder is.
            File::open(&self.rescue.dir).and_then(|dir| dir.sync_all()).map_err(told)?;
            Ok(name)
        });
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn fill(&self, draft: &Path, mut parts: mpsc::Receiver<Part>) -> Result<(), String> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(draft)
            .map_err(told)?;
        let mut old = self.saved().map_err(told)?;
        let mut size: u64 = 0;
        loop {
            match parts.blocking_recv() {
                Some(Part::Bytes(bytes)) => {
                    size += bytes.len() as u64;
                    self.make_room(size, &mut old)?;
                    file.write_all(&bytes).map_err(told)?;
                }
                Some(Part::End) => return file.sync_all().map_err(told),
                None => return Err("it was given up".to_owned()),
            }
        }
    }

    /// Removes old copies, oldest first, until one of this size fits beside them.
    fn make_room(&self, size: u64, old: &mut Vec<Saved>) -> Result<(), String> {
        let max = self.rescue.max_bytes;
        if size > max {
            return Err(format!("it is larger than --rescue-max-bytes {max}"));
        }
        while old.iter().map(|it| it.bytes).sum::<u64>() > max - size {
            let oldest = old.remove(0);
            fs::remove_file(&oldest.path).map_err(told)?;
            tracing::info!(file = %oldest.path.display(), "an old saved copy was removed");
        }
        Ok(())
    }

    /// All saved copies, of whichever hive, oldest first.
    fn saved(&self) -> io::Result<Vec<Saved>> {
        let mut saved = Vec::new();
        for entry in fs::read_dir(&self.rescue.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(at) = name.to_str().and_then(time_in)
                && let Ok(data) = entry.metadata()
                && data.is_file()
            {
                saved.push(Saved { at: at.to_owned(), bytes: data.len(), path: entry.path() });
            }
        }
        saved.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(saved)
    }

    fn name(&self, title: Title, now: SystemTime) -> String {
        let Title { replid, offset } = title;
        format!("{PREFIX}{}_{replid}_{offset}_{}{SUFFIX}", self.node, utc(now))
    }
}

struct Saved {
    at: String,
    bytes: u64,
    path: PathBuf,
}

fn told(error: io::Error) -> String {
    error.to_string()
}

/// The time in the name of a saved copy; `None` for every other name.
fn time_in(name: &str) -> Option<&str> {
    let parts: Vec<&str> = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split('_').collect();
    let [node, replid, offset, at] = parts[..] else { return None };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let dated = at.strip_suffix('Z').and_then(|at| at.split_once('T'));
    let dated = dated.is_some_and(|(day, time)| {
        day.len() == 8 && time.len() == 6 && digits(day) && digits(time)
    });
    let ours = !node.is_empty() && ReplId::parse(replid).is_some() && digits(offset) && dated;
    ours.then_some(at)
}

/// `20261121T090000Z`
fn utc(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March, so that the leap day is the last one; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) =
        (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::Id;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_709_251_200, "20240301T000000Z"),
            (1_798_761_599, "20261231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn only_the_names_of_saved_copies_are_ours() {
        let rescue = Rescue { dir: PathBuf::new(), max_bytes: 0 };
        for node in ["10.0.0.1:6390", "[fd00::1]:6390", "odd_name"] {
            let title = Title { replid: Id([7; 20]), offset: 42 };
            let name = Shelf::new(rescue.clone(), node).name(title, UNIX_EPOCH);
            assert_eq!(time_in(&name), Some("19700101T000000Z"), "{name}");
        }
        let id = "07".repeat(20);
        for name in [
            "dump.rdb".to_owned(),
            "redis-hive_10.0.0.1.part".to_owned(),
            format!("redis-hive_10.0.0.1_{id}_42_19700101T000000Z.rdb.bak"),
            format!("redis-hive_10.0.0.1_{id}_42_19700101T000000.rdb"),
            format!("redis-hive_10.0.0.1_{id}_x_19700101T000000Z.rdb"),
            format!("redis-hive_{id}_42_19700101T000000Z.rdb"),
            "redis-hive_notes_about_old_copies.rdb".to_owned(),
        ] {
            assert_eq!(time_in(&name), None, "{name}");
        }
    }
}
