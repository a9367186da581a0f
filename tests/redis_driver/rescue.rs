//! A copy is saved before it is given up.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use redis_hive::election::{OrderError, RedisOrder, RedisRole, RedisView, RunId, Target};
use redis_hive::redis::{RedisSettings, Rescue};

use super::support::room::{Room, settings, soon};
use super::support::servers::{self, Server, send};
use super::{is_up, master_of, system};

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

/// A folder of a test, removed when dropped.
struct Folder {
    path: PathBuf,
    mounted: bool,
}

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("redis-hive-rescue-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder { path, mounted: false }
    }

    /// A disk of so many bytes; `None` after saying that it cannot be made here.
    fn disk(bytes: u32) -> Option<Folder> {
        let mut folder = Folder::new();
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
        let mount = mount.arg(&folder.path).stderr(std::process::Stdio::null()).status();
        folder.mounted = mount.is_ok_and(|status| status.success());
        if !folder.mounted {
            eprintln!("SKIPPED: no right to make a small disk");
        }
        folder.mounted.then_some(folder)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).expect("the folder").flatten();
        let mut names: Vec<String> =
            entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn put(&self, name: &str, bytes: usize) {
        std::fs::write(self.path.join(name), vec![0; bytes]).expect("a file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn saving_to(server: &Server, folder: &Path, max_bytes: u64) -> RedisSettings {
    let rescue = Some(Rescue { dir: folder.to_owned(), max_bytes });
    RedisSettings { rescue, node_name: "10.0.0.1:6390".to_owned(), ..settings(server.addr) }
}

/// A room for this master, which has as many keys.
async fn tend(server: &Server, folder: &Path, max_bytes: u64, keys: u32) -> (Room, RunId) {
    let mut client = server.client();
    for key in 0..keys {
        let value = format!("{key}").repeat(1_000);
        send(&mut client, &["SET", &format!("key{key}"), &value]).expect("a master takes it");
    }
    let mut room = Room::open(saving_to(server, folder, max_bytes));
    let run_id = room.up("the server", |_| true).await.run_id;
    room.facts("the run", |it| it.run_id.is_some()).await;
    (room, run_id)
}

/// Writes until an error; how many keys were acknowledged.
fn write_until_an_error(server: &Server) -> std::thread::JoinHandle<u32> {
    let mut client = server.client();
    std::thread::spawn(move || {
        (0..)
            .find(|number| send(&mut client, &["SET", &format!("w{number}"), "x"]).is_err())
            .expect("a number")
    })
}

#[tokio::test]
async fn a_master_is_saved_whole_and_a_plain_server_loads_it() {
    for (name, diskless) in [
        ("redis-6.2", "yes"),
        ("redis-system", "yes"),
        ("redis-system", "no"),
        ("redis-8.2", "yes"),
        ("valkey-9.1", "yes"),
        ("valkey-9.1", "no"),
    ] {
        let Some(binary) = servers::binary(name) else { continue };
        let (folder, server) = (Folder::new(), Server::master(&binary));
        let (mut room, run_id) = tend(&server, &folder.path, 1 << 30, 200).await;
        server.ask(&["CONFIG", "SET", "repl-diskless-sync", diskless]);
        let writer = write_until_an_error(&server);
        soon("it is written to", || (server.passport().keys > 300).then_some(())).await;

        room.redis.order(1, Target::Own, run_id, RedisOrder::Rescue);
        let parked = room.done(1).await.expect("it is parked");
        assert!(parked.parked(), "{name}");
        // It is no longer paused, so who waited there knows.
        let acknowledged = writer.join().expect("the writer ended");
        let files = folder.files();
        let [file] = &files[..] else { panic!("{files:?}") };
        assert!(file.starts_with("redis-hive_10.0.0.1_") && file.ends_with("Z.rdb"), "{file}");
        assert_eq!(file.split('_').nth(2), Some(parked.replid.to_string().as_str()));
        assert_eq!(room.redis.facts().borrow().rescued, files, "{name}");

        let dir = folder.path.to_str().expect("text");
        let plain = Server::start(&binary, &["--dbfilename", file, "--dir", dir, "--save", ""]);
        assert_eq!(plain.passport().keys, parked.keys, "{name} {diskless}");
        let mut client = plain.client();
        for number in 0..acknowledged {
            let found = send(&mut client, &["GET", &format!("w{number}")]).expect("it answers");
            assert_ne!(found, redis::Value::Nil, "{name}: acknowledged and not saved");
        }
    }
}

#[tokio::test]
async fn views_go_on_while_a_copy_is_saved_and_a_newer_order_ends_it() {
    let Some(binary) = system() else { return };
    let (folder, server) = (Folder::new(), Server::master(&binary));
    let (mut room, run_id) = tend(&server, &folder.path, 1 << 30, 200).await;
    server.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
    // Microseconds a key: 20 s for all.
    server.ask(&["CONFIG", "SET", "rdb-key-save-delay", "100000"]);
    let writer = write_until_an_error(&server);
    room.redis.order(1, Target::Own, run_id, RedisOrder::Rescue);
    soon("a file is begun", || folder.files().iter().any(|it| it.ends_with(".part")).then_some(()))
        .await;
    room.clear();
    for _ in 0..8 {
        room.up("a master that is being saved", |it| it.role == RedisRole::Master).await;
    }
    let asked = Instant::now();
    room.redis.order(2, Target::Own, run_id, RedisOrder::Park);
    assert!(room.done(2).await.expect("it is parked").parked());
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    soon("nothing of it stays", || folder.files().is_empty().then_some(())).await;
    writer.join().expect("who waited was told");
    assert!(room.redis.facts().borrow().rescued.is_empty());
}

#[tokio::test]
async fn a_save_that_stands_still_is_given_up() {
    let Some(binary) = system() else { return };
    let (folder, server) = (Folder::new(), Server::master(&binary));
    let (mut room, run_id) = tend(&server, &folder.path, 1 << 30, 200).await;
    server.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
    server.ask(&["CONFIG", "SET", "rdb-key-save-delay", "100000"]);
    room.redis.order(1, Target::Own, run_id, RedisOrder::Rescue);
    soon("a file is begun", || (!folder.files().is_empty()).then_some(())).await;
    server.freeze();
    // It is given up after ten seconds: the order of one that is silent takes that long here.
    for _ in 0..20 {
        room.view(RedisView::Silent).await;
    }
    assert!(!folder.files().is_empty(), "four seconds are not enough");
    assert_eq!(room.done(1).await, Err(OrderError::Silent));
    assert!(folder.files().is_empty());
    let warnings = room.redis.facts().borrow().warnings.clone();
    assert!(warnings.iter().any(|it| it.contains("no byte came")), "{warnings:?}");
    server.thaw();
    room.redis.order(2, Target::Own, run_id, RedisOrder::Park);
    assert!(room.done(2).await.expect("it is parked").parked());
}

#[tokio::test]
async fn what_cannot_be_saved_is_told_and_parked_all_the_same() {
    let Some(binary) = system() else { return };
    let missing = PathBuf::from("/nowhere/at/all");
    for (case, word) in [("gone", "No such file"), ("large", "larger"), ("disk", "No space")] {
        let (max, disk) = match case {
            "large" => (20_000, Some(Folder::new())),
            "disk" => (1 << 30, Folder::disk(65_536)),
            _ => (1 << 30, None),
        };
        let path = match &disk {
            Some(folder) => &folder.path,
            None if case == "gone" => &missing,
            None => continue,
        };
        let server = Server::master(&binary);
        server.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
        let (mut room, run_id) = tend(&server, path, max, 300).await;
        room.redis.order(1, Target::Own, run_id, RedisOrder::Rescue);
        assert!(room.done(1).await.expect("it is parked").parked(), "{case}");
        let warnings = room.redis.facts().borrow().warnings.clone();
        assert!(warnings.iter().any(|it| it.contains(word)), "{case}: {warnings:?}");
        if let Some(folder) = &disk {
            assert!(folder.files().is_empty(), "{case}: {:?}", folder.files());
        }
    }
}

#[tokio::test]
async fn a_replica_is_saved_while_its_link_is_up_and_not_afterwards() {
    let Some(binary) = system() else { return };
    let (folder, master, server) =
        (Folder::new(), Server::master(&binary), Server::fenced(&binary));
    server.follow(&master);
    master.ask(&["SET", "key", "value"]);
    server.await_copy_of(&master);
    let (mut room, run_id) = tend(&server, &folder.path, 1 << 30, 0).await;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Rescue);
    assert!(room.done(1).await.expect("it is parked").parked());
    assert_eq!(folder.files().len(), 1);
    room.redis.order(2, Target::Own, run_id, RedisOrder::Rescue);
    assert!(room.done(2).await.expect("it is parked").parked());
    assert_eq!(folder.files().len(), 1);
    let warnings = room.redis.facts().borrow().warnings.clone();
    assert!(warnings.iter().any(|it| it.contains("without a link")), "{warnings:?}");
}

#[tokio::test]
async fn the_oldest_copies_make_room_and_nothing_else_does() {
    let Some(binary) = system() else { return };
    let (folder, server) = (Folder::new(), Server::master(&binary));
    let old = |day: u32| format!("redis-hive_10.0.0.{day}_{ID}_7_202601{day:02}T000000Z.rdb");
    for day in [13, 11, 12] {
        folder.put(&old(day), 100_000);
    }
    folder.put("dump.rdb", 300_000);
    folder.put("redis-hive_10.0.0.1.9.part", 10);
    folder.put("redis-hive_10.0.0.2.9.part", 10);
    let (mut room, run_id) = tend(&server, &folder.path, 250_000, 10).await;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Rescue);
    assert!(room.done(1).await.expect("it is parked").parked());
    let rescued = room.redis.facts().borrow().rescued.clone();
    let mut expected = vec!["dump.rdb".to_owned(), "redis-hive_10.0.0.2.9.part".to_owned()];
    expected.extend([old(12), old(13), rescued[0].clone()]);
    expected.sort();
    assert_eq!(folder.files(), expected);
}

#[tokio::test]
async fn the_watched_master_is_saved_too() {
    let Some(binary) = system() else { return };
    let (folder, server) = (Folder::new(), Server::master(&binary));
    server.ask(&["SET", "key", "value"]);
    let settings = RedisSettings { local: None, ..saving_to(&server, &folder.path, 1 << 30) };
    let mut room = Room::open(settings);
    room.redis.watch(Some(master_of(&server)));
    room.watched("the master", is_up).await;
    let run_id = server.passport().run_id;
    room.redis.order(1, Target::Watched, run_id, RedisOrder::Rescue);
    assert!(room.done(1).await.expect("it is parked").parked());
    assert_eq!(folder.files().len(), 1);
}
