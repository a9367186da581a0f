use super::ReportKind::{Change, Claim, Granted, Paused, Warning};
use super::*;
use crate::election::frame::Grant;
use crate::election::{
    Copy, CopyState, Epoch, Frame, Id, Incarnation, Keep, Master, NodeId, Passport, RedisRole,
    RedisView, Version,
};

const ME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));
const LEADS: ReportKind = ReportKind::Leads { took_ms: 1 };
const FOLLOWS: ReportKind = ReportKind::Follows { took_ms: 1 };
const CAMPAIGN: ReportKind = ReportKind::Campaign { cause: Cause::Silent };
const RESIGNED: ReportKind = ReportKind::Resigned { cause: Cause::Planned };

fn node(host: u8) -> NodeId {
    NodeId::new([10, 0, 0, host].into(), 6390)
}

fn master(host: u8) -> Master {
    let addr = RedisAddr::new([10, 0, 0, host].into(), 6379);
    Master { addr, run_id: Id([host; 20]), replid: Id::NONE, root: Id::NONE }
}

/// What holds while this node's Redis is the master.
pub fn view(host: u8) -> View {
    let leadership = Leadership {
        epoch: Epoch(1),
        leader: node(host),
        incarnation: Incarnation(1),
        master: master(host),
    };
    View {
        role: HiveRole::Leader,
        epoch: Epoch(1),
        leadership: Some(leadership),
        route: Route::Hold,
        copy: None,
        redis_answers: true,
        peers: Vec::new(),
        stopping: false,
        waiting: String::new(),
        master_offset: None,
        election_timestamp: Wall(0),
        paused: true,
        lease: None,
        change: "the master moves".to_owned(),
        witness: false,
    }
}

fn journal() -> Journal {
    Journal::new(Pages::new(String::new()), ME, 100)
}

fn report(journal: &mut Journal, ms: u64, kind: ReportKind, host: u8) {
    let report = Report { at: Wall(ms), epoch: Epoch(1), kind, reason: String::new() };
    journal.write(&report, &view(host), Time(ms * 1000));
}

/// What is kept of these reports, one a second, each with the master there is after it.
fn kinds(reports: &[(ReportKind, u8)]) -> Vec<String> {
    let mut journal = journal();
    for (at, (kind, master)) in (1..).zip(reports) {
        report(&mut journal, at * 1000, *kind, *master);
    }
    journal.last(99).into_iter().map(|transition| transition.kind).collect()
}

#[test]
fn a_planned_change_ends_as_a_switchover_on_both_sides() {
    let successor = [(CAMPAIGN, 0), (FOLLOWS, 1), (CAMPAIGN, 0), (LEADS, 2)];
    assert_eq!(kinds(&successor), ["follows", "switchover"]);
    let old = [(Claim, 0), (LEADS, 1), (Change, 1), (RESIGNED, 0), (CAMPAIGN, 0), (FOLLOWS, 2)];
    assert_eq!(kinds(&old), ["leads", "resigned", "switchover"]);
}

/// A follower that neither leads before nor after, and only saw that everybody holds.
#[test]
fn who_only_held_for_it_knows_a_switchover_too() {
    let mut journal = journal();
    report(&mut journal, 0, FOLLOWS, 1);
    let held = Route::Held { epoch: Epoch(1), master: master(1).addr, run_id: Id([1; 20]) };
    journal.did(&Action::Route { id: 2, route: held, keep: Keep::None }, Time(1_000));
    report(&mut journal, 5, CAMPAIGN, 0);
    report(&mut journal, 8, FOLLOWS, 2);
    let told = journal.last(1).pop().expect("an entry");
    assert_eq!((told.kind.as_str(), told.cause.as_str()), ("switchover", "planned"));
    let phases: Vec<_> = told.phases.iter().map(|it| (it.name.as_str(), it.us)).collect();
    assert_eq!(phases, [("hold", 4_000), ("handover", 3_000)]);
}

#[test]
fn an_election_is_a_failover() {
    let successor = [(FOLLOWS, 1), (CAMPAIGN, 0), (Claim, 0), (LEADS, 2)];
    assert_eq!(kinds(&successor), ["follows", "failover"]);
    let lost = [(LEADS, 1), (Change, 1), (RESIGNED, 0), (Granted, 0), (FOLLOWS, 2)];
    assert_eq!(kinds(&lost), ["leads", "resigned", "failover"]);
    let healed = [(LEADS, 1), (RESIGNED, 0), (FOLLOWS, 2)];
    assert_eq!(kinds(&healed), ["leads", "resigned", "failover"]);
    let undone = [&[(LEADS, 1), (Change, 1)][..], &[(Warning, 1); 10]].concat();
    let long_ago = [&undone[..], &[(RESIGNED, 0), (FOLLOWS, 2)]].concat();
    assert_eq!(kinds(&long_ago), ["leads", "resigned", "failover"]);
}

/// A regent gives its leadership to the hive beside the master.
#[test]
fn another_leader_of_the_same_master_is_neither() {
    assert_eq!(kinds(&[(FOLLOWS, 1), (LEADS, 1)]), ["follows", "leads"]);
}

#[test]
fn pause_mode_is_kept() {
    assert_eq!(kinds(&[(FOLLOWS, 1), (Paused, 1)]), ["follows", "paused"]);
}

fn passport(host: u8, replid: u8, replid2: u8, offset: u64) -> Passport {
    Passport {
        run_id: Id([host; 20]),
        version: Version::default(),
        role: RedisRole::Master,
        loading: false,
        loaded_bytes: 0,
        backlog: true,
        offset,
        keys: 7,
        dataset_bytes: 1,
        replid: Id([replid; 20]),
        replid2: Id([replid2; 20]),
        second_offset: 901,
        upstream: None,
        link_up: false,
        syncing: false,
        replicas: 1,
    }
}

fn route(journal: &mut Journal, ms: u64, id: u64, open: bool) {
    let forward = Route::Forward { epoch: Epoch(1), master: master(2).addr, run_id: Id([2; 20]) };
    let route = if open { forward } else { Route::Hold };
    let now = Time(ms * 1000);
    journal.did(&Action::Route { id, route, keep: Keep::None }, now);
    journal.saw(&Input::Routed { id }, now);
}

/// An election as the claimer sees it, with 100 bytes that only the old master had.
#[test]
fn a_failover_is_told_with_its_phases_votes_and_cost() {
    let mut journal = journal();
    report(&mut journal, 0, FOLLOWS, 1);
    route(&mut journal, 0, 1, true);
    let seen = |passport| Input::Watched { addr: master(1).addr, view: RedisView::Up(passport) };
    journal.saw(&seen(passport(1, 1, 0, 1000)), Time(0));
    report(&mut journal, 100, CAMPAIGN, 0);
    report(&mut journal, 140, Claim, 0);
    let copy = Copy {
        passport: passport(3, 1, 0, 900),
        state: CopyState::Complete,
        root: None,
        provisional: false,
        offset: 900,
        current: true,
    };
    let grant = Message::Grant(Grant { epoch: Epoch(1), copy: Some(copy) });
    let frame = Frame { node: node(3), incarnation: Incarnation(1), number: 1, message: grant };
    journal.saw(&Input::Frame(Box::new(frame)), Time(150_000));
    route(&mut journal, 150, 2, false);
    let order = |order| Action::Redis { id: 1, at: Target::Own, run_id: Id([2; 20]), order };
    journal.did(&order(RedisOrder::Park), Time(150_000));
    journal.did(&order(RedisOrder::Promote { first: false }), Time(155_000));
    report(&mut journal, 160, LEADS, 2);
    route(&mut journal, 161, 3, true);
    assert_eq!(journal.last(1)[0].bytes_given_up, None, "not known yet");
    journal.saw(&Input::Redis(RedisView::Up(passport(2, 2, 1, 901))), Time(170_000));

    let told = journal.pages.after(1).pop().expect("an entry");
    assert_eq!((told.kind.as_str(), told.cause.as_str()), ("failover", "leader_silent"));
    assert_eq!((told.from, told.to), (Some(socket(master(1).addr)), Some(socket(master(2).addr))));
    let phases: Vec<_> = told.phases.iter().map(|it| (it.name.as_str(), it.us)).collect();
    let expected = [
        ("ask", 40_000),
        ("consent", 10_000),
        ("freeze", 5_000),
        ("promote", 5_000),
        ("open", 1_000),
    ];
    assert_eq!(phases, expected);
    assert_eq!(told.held_us, Some(11_000));
    assert_eq!(told.bytes_given_up, Some(100));
    assert_eq!(told.offers.iter().map(|it| it.offset).collect::<Vec<_>>(), [0, 900]);
    assert!(told.votes.iter().all(|vote| vote.granted && vote.by == node(3).ip));
    let counted = journal.told();
    assert_eq!((counted.given_up, counted.failovers.count(), counted.holds.count()), (100, 1, 1));
    let changes: Vec<_> = counted.changes.iter().filter(|it| it.count > 0).collect();
    let named = |kind, cause| super::Change { kind, cause, count: 1 };
    assert_eq!(changes, [&named("follows", "started"), &named("failover", "leader_silent")]);
}

/// Nothing of a change that was undone is left for the next story.
#[test]
fn an_undone_change_leaves_no_trace() {
    let mut journal = journal();
    report(&mut journal, 0, LEADS, 1);
    route(&mut journal, 0, 1, true);
    report(&mut journal, 10, Change, 1);
    let held = Route::Held { epoch: Epoch(1), master: master(1).addr, run_id: Id([1; 20]) };
    journal.did(&Action::Route { id: 2, route: held, keep: Keep::None }, Time(20_000));
    route(&mut journal, 30, 3, true);
    assert_eq!(journal.story.step(), None);
    assert_eq!(journal.told().holds.count(), 1);
    assert_eq!(journal.last(9).len(), 1);
    assert_eq!(journal.last(9)[0].held_us, None);
}
