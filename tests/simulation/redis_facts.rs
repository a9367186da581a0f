//! The model Redis behaves as real ones were seen to (LIBRARIES, ELECTION 2).

use redis_hive::election::RedisAddr;

use crate::history::Histories;
use crate::redis::{Answer, BACKLOG_BYTES, Link, Redis, Sync};
use crate::rng::Rng;

fn addr(last: u8) -> RedisAddr {
    RedisAddr::new([10, 0, 0, last].into(), 6379)
}

/// A master with a backlog and a replica that has everything.
fn pair(rng: &mut Rng, all: &mut Histories) -> (Redis, Redis) {
    let mut master = Redis::boot(1, rng);
    master.promote(rng);
    master.open_backlog(rng);
    master.data = all.found();
    write(&mut master, all);
    let mut replica = Redis::boot(1, rng);
    replica.follow(addr(1));
    full_sync(&mut replica, &master);
    (master, replica)
}

fn write(master: &mut Redis, all: &mut Histories) {
    all.write(&mut master.data);
    master.wrote(100);
}

fn full_sync(replica: &mut Redis, master: &Redis) {
    let sync = Sync {
        from: (0, 1),
        replid: master.replid,
        offset: master.offset,
        data: master.data,
        began: 0,
        until: 0,
    };
    replica.begin_transfer(sync);
    replica.begin_load(sync);
    replica.loaded(sync, true);
}

#[test]
fn a_boot_fenced_redis_is_blank_and_gives_no_copy() {
    let mut rng = Rng::new(1);
    let (fresh, other) = (Redis::boot(1, &mut rng), Redis::boot(1, &mut rng));
    let passport = fresh.passport(0, 0);
    assert!(passport.parked() && !passport.backlog && !fresh.complete());
    assert_eq!(fresh.answer(&other), Answer::Refused, "-NOMASTERLINK");
}

#[test]
fn writes_count_only_once_a_backlog_exists_and_its_making_changes_the_replid() {
    let (mut rng, mut all) = (Rng::new(2), Histories::new());
    let mut master = Redis::boot(1, &mut rng);
    master.promote(&mut rng);
    write(&mut master, &mut all);
    assert_eq!((master.offset, master.data.keys()), (0, 1));
    let before = master.replid;
    master.open_backlog(&mut rng);
    assert_ne!(master.replid, before);
    assert!(master.replid2.is_none());
    write(&mut master, &mut all);
    assert_eq!(master.offset, 100);
}

#[test]
fn parking_keeps_all_and_the_next_resync_is_partial() {
    let (mut rng, mut all) = (Rng::new(3), Histories::new());
    let (mut master, mut replica) = pair(&mut rng, &mut all);
    let before = (replica.replid, replica.offset, replica.data);
    replica.follow(RedisAddr::PARKED);
    assert!(replica.complete() && !replica.passport(0, 0).link_up);
    assert_eq!((replica.replid, replica.offset, replica.data), before);
    write(&mut master, &mut all);
    assert_eq!(master.answer(&replica), Answer::Partial);
    assert_eq!(replica.answer(&master), Answer::Refused, "parked: nobody copies from it");
}

#[test]
fn the_second_id_holds_up_to_the_fork_and_not_beyond() {
    let (mut rng, mut all) = (Rng::new(4), Histories::new());
    let (mut old, mut heir) = pair(&mut rng, &mut all);
    let mut twin = heir.clone();
    twin.unlink();
    heir.promote(&mut rng);
    assert_eq!(heir.replid2, old.replid);
    assert_eq!(heir.answer(&twin), Answer::Partial, "equal at the fork");
    write(&mut old, &mut all);
    old.follow(addr(2));
    assert_eq!(heir.answer(&old), Answer::Full, "it wrote after the fork");
    heir.begin_load(Sync {
        from: (0, 1),
        replid: old.replid,
        offset: 0,
        data: old.data,
        began: 0,
        until: 9,
    });
    assert_eq!(heir.answer(&twin), Answer::Refused, "-LOADING");
}

#[test]
fn an_aborted_transfer_keeps_the_data_and_forgets_the_cached_master() {
    let (mut rng, mut all) = (Rng::new(5), Histories::new());
    let (master, mut replica) = pair(&mut rng, &mut all);
    let kept = replica.data;
    let sync = Sync {
        from: (0, 1),
        replid: master.replid,
        offset: master.offset,
        data: master.data,
        began: 0,
        until: 9,
    };
    replica.begin_transfer(sync);
    replica.unlink();
    assert_eq!(replica.data, kept);
    assert!(replica.complete());
    assert_eq!(master.answer(&replica), Answer::Full);
}

#[test]
fn a_load_outlives_its_master_and_a_backlog_has_an_end() {
    let (mut rng, mut all) = (Rng::new(6), Histories::new());
    let (mut master, mut replica) = pair(&mut rng, &mut all);
    let sync = Sync {
        from: (0, 1),
        replid: master.replid,
        offset: master.offset,
        data: master.data,
        began: 5,
        until: 9,
    };
    replica.begin_transfer(sync);
    replica.begin_load(sync);
    replica.unlink();
    assert!(replica.loading() && !replica.complete());
    assert!(replica.passport(8, 0).loaded_bytes > replica.passport(6, 0).loaded_bytes);
    replica.loaded(sync, false);
    assert!(replica.complete() && replica.link == Link::Down);
    master.wrote(BACKLOG_BYTES + 1);
    assert_eq!(master.answer(&replica), Answer::Full);
}
