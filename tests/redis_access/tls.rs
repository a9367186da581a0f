//! A Redis that speaks nothing but TLS: everything works over it, and what does not is explained.

use std::path::Path;
use std::time::{Duration, Instant};

use redis_hive::election::{RedisOrder, RedisRole, RedisView, Target};
use redis_hive::redis::{Access, AccessSettings, RedisSettings, Rescue, TlsFiles};

use crate::support::certs::{Authority, Files, Identity, NAME, contents};
use crate::support::mount::Mount;
use crate::support::room::{Room, settings, soon};
use crate::support::servers::{PORT, Server};
use crate::{master_of, system};

/// The files of a server and of a hive, all signed by one CA.
struct Setting {
    authority: Authority,
    mount: Mount,
}

impl Setting {
    fn new() -> Setting {
        let authority = Authority::new("test CA");
        let identity = authority.identity(&[]);
        let mount = Mount::new(&contents(&authority.pem, &identity));
        Setting { authority, mount }
    }

    fn server(&self, binary: &Path) -> Server {
        Server::with_tls(binary, &Files::inside(self.mount.dir()).redis_flags(PORT))
    }
}

/// How a hive with these files reaches a server.
fn access(mount: &Mount, pair: bool, server_name: Option<&str>) -> Access {
    let files = Files::inside(mount.dir());
    let tls = TlsFiles {
        ca: files.ca,
        pair: pair.then_some((files.cert, files.key)),
        server_name: server_name.map(str::to_owned),
    };
    let settings = AccessSettings { tls: Some(tls), ..AccessSettings::default() };
    Access::open(settings).expect("good files")
}

fn room(server: &Server, access: Access) -> Room {
    Room::open(RedisSettings { access, ..settings(server.addr) })
}

#[tokio::test]
async fn orders_copies_and_replication_go_over_tls() {
    let Some(binary) = system() else { return };
    let setting = Setting::new();
    let (own, other) = (setting.server(&binary), setting.server(&binary));
    other.ask(&["CONFIG", "SET", "tls-replication", "yes"]);
    other.ask(&["REPLICAOF", "NO", "ONE"]);
    other.ask(&["SET", "key", "value"]);
    let shelf = Mount::new(&[]);
    let mut room = Room::open(RedisSettings {
        access: access(&setting.mount, true, Some(NAME)),
        rescue: Some(Rescue { dir: shelf.dir().to_owned(), max_bytes: 1 << 30 }),
        ..settings(own.addr)
    });
    let run_id = room.up("the local Redis", |_| true).await.run_id;
    let facts = room.facts("the run", |it| it.run_id.is_some()).await;
    assert!(facts.changed.contains(&"tls-replication: no -> yes".to_owned()), "{facts:?}");
    assert!(facts.missing_flags.contains(&"--tls-replication yes".to_owned()), "{facts:?}");
    room.redis.order(1, Target::Own, run_id, RedisOrder::Promote { first: true });
    assert!(room.done(1).await.expect("it is promoted").backlog, "begun over TLS");

    room.redis.watch(Some(master_of(&other)));
    room.watched("the master", |view| matches!(view, RedisView::Up(_))).await;
    room.redis.probe(other.addr);
    assert!(matches!(room.probed(other.addr).await, RedisView::Up(_)));
    room.redis.order(2, Target::Own, run_id, RedisOrder::Follow(other.addr));
    room.done(2).await.expect("it follows");
    room.up("the link is up", |it| it.link_up && it.keys == 1).await;
    room.redis.order(3, Target::Own, run_id, RedisOrder::Rescue);
    room.done(3).await.expect("it is parked");
    let facts = room.facts("a saved copy", |it| !it.rescued.is_empty()).await;
    let saved = std::fs::read(shelf.path(&facts.rescued[0])).expect("the file");
    assert!(saved.starts_with(b"REDIS"));
    assert_eq!(room.redis.access().problems(std::time::SystemTime::now()), [""; 0]);
}

#[tokio::test]
async fn death_and_silence_are_seen_as_fast_as_without_tls() {
    let Some(binary) = system() else { return };
    let setting = Setting::new();
    let mut server = setting.server(&binary);
    let mut room = room(&server, access(&setting.mount, true, Some(NAME)));
    let first = room.up("the first run", |_| true).await;
    server.freeze();
    room.view(RedisView::Silent).await;
    server.thaw();
    room.up("it is back", |_| true).await;
    room.clear();
    let killed = Instant::now();
    server.kill();
    room.view(RedisView::Gone).await;
    assert!(killed.elapsed() < Duration::from_millis(150), "{:?}", killed.elapsed());
    server.revive();
    room.up("the second run", |it| it.run_id != first.run_id).await;
    // One that is stopped in the middle of a handshake is silent, not refused.
    server.freeze();
    room.redis.probe(server.addr);
    assert_eq!(room.probed(server.addr).await, RedisView::Silent);
}

/// The fence is left in the kernel of a stopped master, encrypted, and works when it wakes.
#[tokio::test]
async fn a_fence_works_over_tls() {
    let Some(binary) = system() else { return };
    let setting = Setting::new();
    let (own, other) = (setting.server(&binary), setting.server(&binary));
    other.ask(&["REPLICAOF", "NO", "ONE"]);
    let mut room = room(&own, access(&setting.mount, true, Some(NAME)));
    let master = master_of(&other);
    room.redis.watch(Some(master));
    room.watched("the master", |view| matches!(view, RedisView::Up(_))).await;
    other.freeze();
    room.watched("its silence", |view| *view == RedisView::Silent).await;
    room.redis.fence(master, own.addr);
    room.redis.watch(None);
    room.up("own views go on", |_| true).await;
    other.thaw();
    soon("the fence works", || {
        let passport = other.passport();
        (passport.role == RedisRole::Replica && passport.upstream == Some(own.addr)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_not_trusted_is_unfit_with_a_reason() {
    let Some(binary) = system() else { return };
    let setting = Setting::new();
    let server = setting.server(&binary);
    let own = |identity: &Identity| Mount::new(&contents(&setting.authority.pem, identity));
    let stranger = Authority::new("another CA");
    let identity = setting.authority.identity(&[]);
    let expired = setting.authority.lasting(&[], -1);
    let foreign = stranger.identity(&[]);
    let cases = [
        (Mount::new(&contents(&stranger.pem, &identity)), true, NAME, "signed by no CA"),
        (own(&identity), true, "other.test", "is not for other.test, but for"),
        (own(&identity), false, NAME, "demands a certificate"),
        (own(&expired), true, NAME, "refuses the certificate"),
        (own(&foreign), true, NAME, "refuses the certificate"),
    ];
    for (mount, pair, name, word) in cases {
        let mut room = room(&server, access(&mount, pair, Some(name)));
        room.view(RedisView::Unfit).await;
        let facts = room.facts(word, |it| !it.problems.is_empty()).await;
        assert!(facts.problems[0].contains(word), "{word}: {facts:?}");
        room.redis.probe(server.addr);
        assert_eq!(room.probed(server.addr).await, RedisView::Unfit, "{word}");
    }
    // Without a name the address has to be in the certificate, which it is not.
    let mut room = room(&server, access(&setting.mount, true, None));
    room.view(RedisView::Unfit).await;
}

#[tokio::test]
async fn an_address_in_the_certificate_needs_no_name() {
    let Some(binary) = system() else { return };
    let setting = Setting::new();
    let server = setting.server(&binary);
    let identity = setting.authority.identity(&[server.addr.ip]);
    setting.mount.swap(&contents(&setting.authority.pem, &identity));
    server.ask(&[
        "CONFIG",
        "SET",
        "tls-cert-file",
        &setting.mount.path("cert.pem").to_string_lossy(),
    ]);
    let mut room = room(&server, access(&setting.mount, true, None));
    room.up("the server", |_| true).await;
}

#[tokio::test]
async fn certificates_that_end_soon_are_told() {
    let Some(binary) = system() else { return };
    let setting = Setting::new();
    let identity = setting.authority.lasting(&[], 5);
    setting.mount.swap(&contents(&setting.authority.pem, &identity));
    let server = setting.server(&binary);
    let mut room = room(&server, access(&setting.mount, true, Some(NAME)));
    room.up("the server", |_| true).await;
    let told = room.redis.access().problems(std::time::SystemTime::now());
    let own =
        told.iter().any(|it| it.starts_with("The certificate in --redis-cert expires in 5 days"));
    let theirs = told.iter().any(|it| it.contains(&format!("Redis at {}", server.addr)));
    assert!(own && theirs && told.len() == 2, "{told:?}");
    let ages = room.redis.access().ages();
    let until = |whose| ages.certificates.iter().find(|(it, _)| *it == whose).map(|(_, at)| *at);
    let in_days = |days: u64| {
        let at = std::time::SystemTime::now() + Duration::from_secs(days * 86_400);
        Some(at.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs())
    };
    for whose in ["client", "redis"] {
        assert!(until(whose) > in_days(5) && until(whose) < in_days(6), "{whose}: {ages:?}");
    }
    assert!(until("ca") > in_days(1000) && until("master").is_none(), "{ages:?}");
    assert!(ages.read.is_some() && ages.in_force.is_some() && !ages.refused, "{ages:?}");
}
