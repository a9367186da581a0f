//! Passwords and certificates change in their files while the hive runs, and no connection is cut.

use std::path::Path;
use std::time::SystemTime;

use redis::Value;
use redis_hive::election::{RedisOrder, RedisView, Target};
use redis_hive::redis::{Access, AccessSettings, Facts, Password, RedisSettings, TlsFiles};
use redis_hive::secrets::reading::READ_EVERY;

use crate::support::certs::{Authority, Files, NAME, contents};
use crate::support::mount::Mount;
use crate::support::room::{Room, settings, soon};
use crate::support::servers::{PORT, Server};
use crate::{master_of, system};

const RIGHTS: &str = "+info +replicaof +config|get +config|set +client|setname +client|list \
                      +client|pause +client|unpause +psync +replconf";

fn let_in(server: &Server, password: &str) {
    let rule = format!("ACL SETUSER hive on >{password} -@all {RIGHTS}");
    server.ask(&rule.split_whitespace().collect::<Vec<_>>());
}

fn shut_out(server: &Server, password: &str) {
    server.ask(&["ACL", "SETUSER", "hive", &format!("<{password}")]);
}

fn masterauth(server: &Server) -> String {
    let Value::Array(pair) = server.ask(&["CONFIG", "GET", "masterauth"]) else {
        panic!("no pair")
    };
    redis::from_redis_value(pair[1].clone()).expect("text")
}

/// Connections of hives to this server that are no short ones.
fn standing(server: &Server) -> String {
    let list: String = redis::from_redis_value(server.ask(&["CLIENT", "LIST"])).expect("text");
    let hives = list.lines().filter(|line| {
        line.contains(" name=redis-hive-test ") || line.contains(" name=redis-hive-watch-test ")
    });
    let id = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    hives.map(id).collect::<Vec<_>>().join(" ")
}

fn room_with(file: &Mount, server: &Server) -> Room {
    let password = Password::File(file.path("password"));
    let settings_ = AccessSettings { username: Some("hive".into()), password, tls: None };
    let access = Access::open(settings_).expect("a good file");
    Room::open(RedisSettings { access, ..settings(server.addr) })
}

fn tls(mount: &Mount) -> Option<TlsFiles> {
    let files = Files::inside(mount.dir());
    Some(TlsFiles {
        ca: files.ca,
        pair: Some((files.cert, files.key)),
        server_name: Some(NAME.to_owned()),
    })
}

fn access(mount: &Mount) -> Access {
    let settings = AccessSettings { tls: tls(mount), ..AccessSettings::default() };
    Access::open(settings).expect("good files")
}

fn problems(room: &Room) -> Vec<String> {
    room.redis.access().problems(SystemTime::now())
}

/// The file comes before the servers accept what is in it, then one server, then the master: the old
/// password serves as long, is forgotten then, and nothing is ever cut.
#[tokio::test]
async fn a_password_is_changed_in_two_steps_without_a_cut_connection() {
    let Some(binary) = system() else { return };
    let (own, master) = (Server::fenced(&binary), Server::master(&binary));
    [&own, &master].into_iter().for_each(|server| let_in(server, "old-password"));
    let file = Mount::new(&[("password", "old-password\n")]);
    let mut room = room_with(&file, &own);
    let run_id = room.up("the local Redis", |_| true).await.run_id;
    room.redis.watch(Some(master_of(&master)));
    room.watched("the master", |view| matches!(view, RedisView::Up(_))).await;
    room.redis.order(1, Target::Own, run_id, RedisOrder::Follow(master.addr));
    room.done(1).await.expect("it follows");
    room.up("the link is up", |it| it.link_up).await;
    soon("masterauth is set", || (masterauth(&own) == "old-password").then_some(())).await;
    let before = (standing(&own), standing(&master));

    file.swap(&[("password", "new-password\n")]);
    soon("both refuse it", || (problems(&room).len() == 2).then_some(())).await;
    let told = problems(&room);
    assert!(
        told.iter().all(|it| it.contains("WRONGPASS") && !it.contains("new-password")),
        "{told:?}"
    );
    assert!(room.redis.access().ages().refused);
    // What is opened meanwhile is opened with the old one.
    room.redis.probe(own.addr);
    assert!(matches!(room.probed(own.addr).await, RedisView::Up(_)));

    let_in(&own, "new-password");
    soon("the local Redis takes it", || (problems(&room).len() == 1).then_some(())).await;
    assert_eq!(masterauth(&own), "old-password", "the master would refuse the new one");
    let_in(&master, "new-password");
    soon("both take it", || problems(&room).is_empty().then_some(())).await;
    assert!(!room.redis.access().ages().refused);
    soon("replicas use it", || (masterauth(&own) == "new-password").then_some(())).await;

    [&own, &master].into_iter().for_each(|server| shut_out(server, "old-password"));
    room.clear();
    room.up("the link was never down", |it| it.link_up).await;
    room.watched("the master goes on", |view| matches!(view, RedisView::Up(_))).await;
    assert_eq!((standing(&own), standing(&master)), before, "the connections are the same");
    assert_eq!(master.info_of("stats", "sync_full"), "1");

    // A link that breaks now comes back with the new password, and needs no copy.
    master.ask(&["CLIENT", "KILL", "TYPE", "replica"]);
    soon("it is back", || (master.info_of("stats", "sync_partial_ok") != "0").then_some(())).await;
    assert_eq!(master.info_of("stats", "sync_full"), "1");
    room.redis.probe(master.addr);
    assert!(matches!(room.probed(master.addr).await, RedisView::Up(_)));
}

/// A server that knows the old password, and a hive beside it that has this password file.
async fn begun(binary: &Path, passwords: &str) -> (Mount, Server, Room) {
    let server = Server::fenced(binary);
    let_in(&server, "old-password");
    let file = Mount::new(&[("password", passwords)]);
    let mut room = room_with(&file, &server);
    room.up("the server", |_| true).await;
    (file, server, room)
}

/// A hive that starts in the middle of a change knows the file only. What it had to begin with is told,
/// and left as soon as the server takes the first line.
#[tokio::test]
async fn of_several_passwords_the_first_that_is_accepted_is_used() {
    let Some(binary) = system() else { return };
    let (_file, server, mut room) = begun(&binary, "new-password\nold-password\n").await;
    soon("replicas use it", || (masterauth(&server) == "old-password").then_some(())).await;
    let told = problems(&room);
    assert!(told.len() == 1 && told[0].contains("refuses the first password"), "{told:?}");
    let before = standing(&server);

    let_in(&server, "new-password");
    soon("replicas use it", || (masterauth(&server) == "new-password").then_some(())).await;
    shut_out(&server, "old-password");
    assert_eq!(problems(&room), [""; 0]);
    room.clear();
    room.up("it goes on", |_| true).await;
    assert_eq!(standing(&server), before, "the connection is the same");
}

/// What a trial of what is in use says is taken back by the next one that goes well.
#[tokio::test]
async fn that_a_new_connection_would_fail_is_told_as_long_as_it_is_so() {
    let Some(binary) = system() else { return };
    let (_file, server, room) = begun(&binary, "new-password\nold-password\n").await;
    let told = |words: &'static str| {
        let room = &room;
        async move {
            soon(words, || {
                let told = problems(room);
                (told.len() == 1 && told[0].contains(words)).then_some(())
            })
            .await;
        }
    };
    told("refuses the first password").await;
    shut_out(&server, "old-password");
    told("would fail: WRONGPASS").await;
    let_in(&server, "old-password");
    told("refuses the first password").await;
    let_in(&server, "new-password");
    soon("nothing is left to say", || problems(&room).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_file_that_is_broken_changes_nothing_and_is_told() {
    let Some(binary) = system() else { return };
    let (file, server, mut room) = begun(&binary, "old-password\n").await;
    file.swap(&[("password", "\n")]);
    soon("it is told", || {
        problems(&room).iter().any(|it| it.starts_with("--redis-password-file")).then_some(())
    })
    .await;
    // It is told when it was found broken twice.
    let broken = room.redis.access().ages();
    assert!(broken.read >= Some(READ_EVERY), "{broken:?}");
    room.redis.probe(server.addr);
    assert!(matches!(room.probed(server.addr).await, RedisView::Up(_)));
    file.swap(&[("password", "old-password\n")]);
    soon("it is mended", || problems(&room).is_empty().then_some(())).await;
    let mended = room.redis.access().ages();
    assert!(mended.read < broken.read && mended.in_force > broken.in_force, "{mended:?}");
}

/// How often a command was given to this server.
fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.info_of("commandstats", &format!("cmdstat_{command}"));
    let calls = stats.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

/// The server refuses what is new, and cannot read its own files: it is told once, with measure, and no
/// longer than it is so.
#[tokio::test]
async fn a_server_is_let_read_its_certificates_once_for_each_change() {
    let Some(binary) = system() else { return };
    let authority = Authority::new("test CA");
    let identity = authority.identity(&[]);
    let good = contents(&authority.pem, &identity);
    let with = |password| [&good[..], &[("password", password)]].concat();
    let (theirs, ours) = (Mount::new(&good), Mount::new(&with("old-password\n")));
    let server = Server::with_tls(&binary, &Files::inside(theirs.dir()).redis_flags(PORT));
    let_in(&server, "old-password");
    let password = Password::File(ours.path("password"));
    let settings_ = AccessSettings { username: Some("hive".into()), password, tls: tls(&ours) };
    let access = Access::open(settings_).expect("good files");
    let mut room = Room::open(RedisSettings { access, ..settings(server.addr) });
    room.up("the server", |_| true).await;
    soon("its settings are put right", || (!masterauth(&server).is_empty()).then_some(())).await;
    room.facts("the run", |it| it.run_id.is_some()).await;
    let before = calls(&server, "config|set");

    theirs.swap(&[good[0], ("cert.pem", "none"), ("key.pem", "none")]);
    ours.swap(&with("new-password\n"));
    let unread = |it: &Facts| it.problems.iter().any(|it| it.contains("could not read its certif"));
    room.facts("it cannot read them", unread).await;
    let tried = calls(&server, "auth");
    soon("it is tried again", || (calls(&server, "auth") > tried + 1).then_some(())).await;
    assert_eq!(calls(&server, "config|set"), before + 1);

    theirs.swap(&good);
    ours.swap(&with("old-password\n"));
    let facts = room.facts("it can", |it| !unread(it)).await;
    assert!(!facts.warnings.iter().any(|it| it.contains("certificates")), "{facts:?}");
    soon("nothing is left to say", || problems(&room).is_empty().then_some(())).await;
}

/// First both CAs, then the new certificates, then only the new CA, as docs/security.md says. The
/// server reads its own files again because the hive lets it.
#[tokio::test]
async fn certificates_are_changed_without_a_cut_connection() {
    let Some(binary) = system() else { return };
    let (old, new) = (Authority::new("old CA"), Authority::new("new CA"));
    let (first, second) = (old.identity(&[]), new.identity(&[]));
    let mount = Mount::new(&contents(&old.pem, &first));
    let server = Server::with_tls(&binary, &Files::inside(mount.dir()).redis_flags(PORT));
    let mut room = Room::open(RedisSettings { access: access(&mount), ..settings(server.addr) });
    room.up("the server", |_| true).await;
    let before = standing(&server);

    // Others that trust and show only what belongs to the new CA.
    let other = Mount::new(&contents(&new.pem, &second));
    let both = format!("{}{}", old.pem, new.pem);
    let steps = [contents(&both, &first), contents(&both, &second), contents(&new.pem, &second)];
    for (number, step) in (1..).zip(steps) {
        mount.swap(&step);
        let settled = || room.redis.access().settled();
        soon("the change is in use", || (settled() == Some(number)).then_some(())).await;
        assert_eq!(problems(&room), [""; 0]);
    }
    let mut late = Room::open(RedisSettings {
        access: access(&other),
        node_name: "late".to_owned(),
        ..settings(server.addr)
    });
    late.up("the server shows the new certificate and takes the new one", |_| true).await;
    assert_eq!(standing(&server), before, "the connection is the same");

    // Files that do not belong together change nothing.
    let spoiled =
        [("ca.pem", new.pem.as_str()), ("cert.pem", &second.cert), ("key.pem", &first.key)];
    mount.swap(&spoiled);
    soon("it is told", || {
        problems(&room)
            .iter()
            .any(|it| it.starts_with("--redis-key: it does not belong"))
            .then_some(())
    })
    .await;
    room.redis.probe(server.addr);
    assert!(matches!(room.probed(server.addr).await, RedisView::Up(_)));
}
