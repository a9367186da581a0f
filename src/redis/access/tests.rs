//! What two sets of credentials do, one after the other. No server is needed.

use super::*;

fn credentials(password: &str) -> Credentials {
    let settings = AccessSettings {
        password: Password::Given(SecretString::from(password.to_owned())),
        ..AccessSettings::default()
    };
    Credentials::read(&settings).expect("no files")
}

fn access(password: &str) -> Access {
    let access = Access::none();
    access.state.send_modify(|state| state.newest = Arc::new(credentials(password)));
    access
}

fn take(access: &Access, read: Result<Credentials, Vec<AccessError>>) {
    access.state.send_if_modified(|state| state.take(read.map(Some)));
}

fn passwords(access: &Access) -> Vec<String> {
    let choices = access.choices();
    choices.iter().map(|it| it.passwords[0].expose_secret().to_owned()).collect()
}

fn accept(access: &Access, who: Who) {
    accept_line(access, who, 0);
}

fn accept_line(access: &Access, who: Who, line: usize) {
    let used = Used { with: access.newest(), line: Some(line) };
    access.accepted(who, &Endpoint { host: "a".into(), port: 1 }, &used);
}

#[test]
fn the_old_set_stays_until_all_that_are_needed_have_taken_the_newest() {
    let access = access("old");
    access.need(Who::Local, true);
    access.watching(true);
    accept(&access, Who::Local);
    take(&access, Ok(credentials("new")));
    assert_eq!(passwords(&access), ["new", "old"]);
    accept(&access, Who::Local);
    assert_eq!(passwords(&access), ["new", "old"], "the master has not taken it");
    accept(&access, Who::Watched);
    assert_eq!(passwords(&access), ["new"]);
    // Nobody else is left to wait for.
    take(&access, Ok(credentials("newer")));
    accept(&access, Who::Local);
    access.watching(false);
    assert_eq!(passwords(&access), ["newer"]);
}

#[test]
fn what_was_never_accepted_does_not_replace_what_was() {
    let access = access("old");
    access.need(Who::Local, true);
    take(&access, Ok(credentials("mistyped")));
    take(&access, Ok(credentials("new")));
    assert_eq!(passwords(&access), ["new", "old"]);
}

#[test]
fn an_older_line_of_the_file_does_not_count_as_taken() {
    let access = access("old");
    access.need(Who::Local, true);
    let mut both = credentials("new");
    both.passwords.push(SecretString::from("old".to_owned()));
    take(&access, Ok(both));
    accept_line(&access, Who::Local, 1);
    assert_eq!(passwords(&access), ["new", "old"], "what was in use is kept");
    assert_eq!(access.settled(), None);
    assert_eq!(access.replication().1.expect("one").expose_secret(), "old");
    let told = access.problems(SystemTime::now());
    assert!(told.len() == 1 && told[0].contains("refuses the first password"), "{told:?}");
    accept_line(&access, Who::Local, 0);
    assert_eq!(access.settled(), Some(1));
    assert_eq!(access.replication().1.expect("one").expose_secret(), "new");
    assert_eq!(access.problems(SystemTime::now()), [""; 0]);
}

#[test]
fn replicas_log_in_with_what_the_master_took() {
    let access = access("old");
    access.need(Who::Local, true);
    accept(&access, Who::Local);
    let (first, password) = access.replication();
    assert_eq!(password.expect("one").expose_secret(), "old");
    access.watching(true);
    take(&access, Ok(credentials("new")));
    accept(&access, Who::Local);
    assert_eq!(access.replication().0, first, "the master has not taken it");
    accept(&access, Who::Watched);
    let (second, password) = access.replication();
    assert!(second > first);
    assert_eq!(password.expect("one").expose_secret(), "new");
    accept(&access, Who::Watched);
    assert_eq!(access.replication().0, second, "nothing has changed");
}

/// Its Redis is told before it is pointed at anybody, also where a master is watched already.
#[test]
fn who_starts_beside_a_master_does_not_wait_for_its_word() {
    let access = access("only");
    access.need(Who::Local, true);
    access.watching(true);
    accept(&access, Who::Local);
    assert_eq!(access.replication().1.expect("one").expose_secret(), "only");
}

/// Files that belong together are swapped one after the other: what is found once may be half of it.
#[test]
fn broken_files_are_told_when_they_stay_broken_and_change_nothing() {
    let access = access("old");
    let broken =
        || Err(vec![AccessError::new("--redis-key", "it does not belong to --redis-cert")]);
    take(&access, broken());
    assert_eq!(access.problems(SystemTime::now()), [""; 0]);
    take(&access, broken());
    let told = access.problems(SystemTime::now());
    assert!(told.len() == 1 && told[0].starts_with("--redis-key: it does not belong"), "{told:?}");
    assert_eq!(passwords(&access), ["old"]);
    access.state.send_if_modified(|state| state.take(Ok(None)));
    assert_eq!(access.problems(SystemTime::now()), [""; 0]);
    assert_eq!(access.newest().generation, 0, "nothing has changed");
}

#[test]
fn what_was_refused_is_looked_at_again_until_it_is_taken() {
    let access = access("only");
    access.need(Who::Watched, true);
    let now = SystemTime::now();
    let refuse = |in_use| {
        let endpoint = Endpoint { host: "a".into(), port: 1 };
        access.refused(Who::Watched, &endpoint, "its certificate has expired", in_use);
    };
    refuse(true);
    let told = access.problems(now);
    assert_eq!(
        told,
        ["A new connection to the Redis at a:1 would fail: its certificate has expired."]
    );
    assert!(access.is_doubtful(Who::Watched, now) && !access.is_doubtful(Who::Local, now));
    refuse(false);
    assert!(access.problems(now)[0].contains("does not accept what is new"));
    accept(&access, Who::Watched);
    assert_eq!(access.problems(now), [""; 0]);
    assert!(!access.is_doubtful(Who::Watched, now));
}

#[test]
fn what_the_files_held_before_is_not_taken_again() {
    let path = std::env::temp_dir().join(format!("redis-hive-password-{}", std::process::id()));
    let settings =
        AccessSettings { password: Password::File(path.clone()), ..AccessSettings::default() };
    std::fs::write(&path, "old\n").expect("a file");
    let known = Credentials::read(&settings).expect("a good file");
    assert!(Credentials::read_again(&settings, &known).expect("a good file").is_none());
    std::fs::write(&path, "new\nold\n").expect("a file");
    let read = Credentials::read_again(&settings, &known).expect("a good file").expect("a change");
    assert_eq!(read.passwords.len(), 2);
    std::fs::write(&path, "\n").expect("a file");
    let errors = Credentials::read_again(&settings, &known).err().expect("nothing is in it");
    assert_eq!(errors[0].flag, "--redis-password-file");
    std::fs::remove_file(&path).expect("the file");
}

#[test]
fn no_secret_is_shown() {
    let access = Access::fixed(Some("hive".into()), Some(SecretString::from("sesame".to_owned())));
    access.refused(Who::Local, &Endpoint { host: "a".into(), port: 1 }, "WRONGPASS", false);
    let shown = format!("{access:?} {:?}", access.problems(SystemTime::now()));
    assert!(!shown.contains("sesame") && shown.contains("WRONGPASS"), "{shown}");
}
