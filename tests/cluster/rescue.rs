//! Two leaders meet: one copy is given up, and saved before.

use std::path::{Path, PathBuf};

use redis_hive::cli::dev::dns::Fault;
use redis_hive::cli::dev::nodes::{Part, REDIS_PORT};
use redis_hive::cli::dev::process::Process;

use super::clients::{assert_kept, fill, missing};
use super::harness::{Hive, SOON, wait_until};

/// Two hives that did not know of each other have led, each with data of its own. When they meet,
/// the smaller data set is given up, and a plain server can load what was saved of it.
#[test]
fn the_copy_given_up_is_saved() {
    let Some(mut hive) = Hive::empty(|_| {}) else { return };
    let shelf = hive.dir().join("rescued");
    std::fs::create_dir(&shelf).expect("a folder");
    let args = ["--rescue-dir", shelf.to_str().expect("a path")];
    hive.start_with(1, &args, &[]).expect("start");
    hive.settle();
    // The first one sleeps while the second one is born, and wakes without DNS.
    hive.freeze(1, Part::Both).expect("freeze");
    let (first, second) = (hive.ip(1), hive.ip(2));
    hive.dns().unlist(first);
    hive.start_with(2, &args, &[]).expect("start");
    let leads = |hive: &Hive, host: u8| (hive.status_text(host, "/role") == "leader").then_some(());
    wait_until("the second one leads", SOON, || leads(&hive, 2));
    hive.dns().set_fault(Fault::ServFail);
    hive.thaw(1, Part::Both).expect("thaw");
    wait_until("the first one leads", SOON, || leads(&hive, 1));
    let kept = fill(&hive, 1, "kept", 3_000, 0);
    let given_up = fill(&hive, 2, "given-up", 50, 0);
    wait_until("both lead", SOON, || leads(&hive, 1).and_then(|()| leads(&hive, 2)));

    hive.dns().set([first.into(), second.into()]);
    hive.dns().set_fault(Fault::None);
    let after = hive.settle();
    assert_eq!(after.master, 1, "more data win");
    assert_kept(&hive, 2, &[1, 2], &kept);
    assert_eq!(missing(&hive, hive.redis(2), &given_up).len(), given_up.len());
    let status = hive.status(2).expect("status");
    let told: Vec<_> = status["transitions"].as_array().expect("transitions").clone();
    println!("{told:#?}");
    assert!(told.iter().any(|t| t["reason"].as_str().is_some_and(|r| r.contains("data"))));

    let saved = files(&shelf);
    let [file] = &saved[..] else { panic!("one copy was given up: {saved:?}") };
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.contains(&second.to_string()) && name.ends_with(".rdb"), "{name}");
    assert_loads(&hive, file, &given_up);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// A plain server that loads the file has these keys.
#[track_caller]
fn assert_loads(hive: &Hive, file: &Path, keys: &[String]) {
    let plain = hive.dir().join("plain");
    std::fs::create_dir(&plain).expect("a folder");
    std::fs::copy(file, plain.join("dump.rdb")).expect("copy");
    let options = hive.options();
    let args = [
        "--port".to_owned(),
        REDIS_PORT.to_string(),
        "--bind".to_owned(),
        hive.ip(200).to_string(),
        "--dir".to_owned(),
        plain.to_string_lossy().into_owned(),
    ];
    let log = plain.join("redis.log");
    let _server =
        Process::start(&options.exe, &options.redis_server, args, log).expect("a plain server");
    wait_until("the plain server has loaded", SOON, || {
        (hive.info(200, "loading")? == "0").then_some(())
    });
    assert_eq!(missing(hive, hive.redis(200), keys), [""; 0]);
}
