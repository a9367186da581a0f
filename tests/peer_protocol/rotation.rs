//! A new secret is brought in while the hives run: add it everywhere, use it everywhere, take the
//! old one out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis_hive::election::{Dialled, Input, NodeId};
use redis_hive::peer::PeerSettings;
use redis_hive::secrets::{Keyring, SecretSource, Secrets};

use crate::net::{Hive, free, settings, talk, until};
use crate::sealed::locked;

const OLD: &str = "old-secret-of-these-tests";
const NEW: &str = "new-secret-of-these-tests";

/// What the file holds before, in the steps of, and after a rotation.
fn steps() -> [String; 4] {
    [OLD.into(), format!("{OLD}\n{NEW}"), format!("{NEW}\n{OLD}"), NEW.into()]
}

/// A hive that reads its secret from a file.
struct Node {
    hive: Hive,
    file: PathBuf,
    keyring: Keyring,
}

impl Node {
    async fn start(id: NodeId, incarnation: u64, secrets: &str) -> Node {
        let name = format!("hive-rotation-{}-{}", id.ip, std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, secrets).expect("a file");
        let source = SecretSource {
            secrets: Arc::new(Secrets::read(&file).expect("secrets")),
            file: Some(file.clone()),
        };
        let keyring = Keyring::reading(source, Duration::from_millis(5));
        let settings = PeerSettings { keyring: keyring.clone(), ..settings(id, incarnation) };
        Node { hive: Hive::with(settings).await, file, keyring }
    }

    /// The file has other secrets from now on, and the hive has noticed.
    async fn change(&self, secrets: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, secrets).expect("a file");
        std::fs::rename(&next, &self.file).expect("a swap");
        let wanted = Secrets::parse(secrets).expect("secrets");
        until("change", || *self.keyring.secrets() == wanted).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What is left in the temporary directory hurts nobody.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// How many links were made anew with the secret that is used now.
fn renewed(nodes: &[Node]) -> u64 {
    nodes.iter().map(|node| node.hive.peers.counters().renewed).sum()
}

#[tokio::test]
async fn no_link_is_lost_while_three_hives_change_their_secret() {
    for (round, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].into_iter().enumerate() {
        let ids = [1, 2, 3].map(|host| free([127, 73, 1 + round as u8, host]));
        let mut nodes = Vec::new();
        for (incarnation, id) in (1..).zip(ids) {
            nodes.push(Node::start(id, incarnation, OLD).await);
        }
        nodes.iter().for_each(|node| node.hive.peers.dial(ids.to_vec()));
        let everybody = |nodes: &[Node]| nodes.iter().all(|it| it.hive.peers.linked().len() == 2);
        until("all links", || everybody(&nodes)).await;

        for (step, secrets) in steps().iter().enumerate().skip(1) {
            for at in order {
                nodes[at].change(secrets).await;
                let [one, two, three] = &mut nodes[..] else { unreachable!() };
                exchange(one, two).await;
                exchange(one, three).await;
                exchange(two, three).await;
            }
            if step == 2 {
                until("three new links", || renewed(&nodes) >= 3).await;
            }
        }
        for node in &mut nodes {
            let counts = node.hive.peers.counters();
            assert_eq!((counts.old_secret, counts.wrong_secret), (0, 0), "{order:?}: {counts:?}");
            let lost = node.hive.reported().into_iter().any(is_loss);
            assert!(!lost, "{order:?}: a link was lost");
        }
    }
}

fn is_loss(input: Input) -> bool {
    matches!(input, Input::LinkDown { .. })
}

/// A frame each way, and no loss meanwhile.
async fn exchange(a: &mut Node, b: &mut Node) {
    hear(&mut a.hive, &mut b.hive).await;
    hear(&mut b.hive, &mut a.hive).await;
}

async fn hear(from: &mut Hive, to: &mut Hive) {
    let frame = from.say();
    from.peers.broadcast(&frame);
    to.next("frame", |input| match input {
        Input::Frame(heard) => (**heard == frame).then_some(()),
        Input::LinkDown { .. } => panic!("a link was lost"),
        _ => None,
    })
    .await;
}

/// Whoever restarts, and in whatever order: neighbouring steps always find each other, each by its
/// own dial; of steps that are two apart one finds the other.
#[tokio::test]
async fn hives_of_neighbouring_steps_find_each_other() {
    let steps = steps();
    for (dialler, first) in steps.iter().enumerate() {
        for (dialled, second) in steps.iter().enumerate() {
            let mut a = Hive::with(locked(free([127, 73, 11, 1]), 1, first)).await;
            let mut b = Hive::with(locked(free([127, 73, 11, 2]), 2, second)).await;
            a.peers.dial(vec![b.id]);
            let used = first.lines().next().expect("a secret");
            if second.lines().any(|accepted| accepted == used) {
                talk(&mut a, &mut b).await;
            } else {
                assert!(dialler.abs_diff(dialled) > 1, "{dialler} does not find {dialled}");
                assert_eq!(a.outcome(b.id).await, Dialled::Foreign);
            }
        }
    }
}

/// The old secret is taken out before anybody used the new one: what was made with it is closed,
/// and comes back when the other side has the new one too.
#[tokio::test]
async fn links_with_a_secret_that_was_taken_out_are_closed() {
    let mut a = Node::start(free([127, 73, 12, 1]), 1, OLD).await;
    let mut b = Node::start(free([127, 73, 12, 2]), 2, OLD).await;
    a.hive.peers.dial(vec![b.hive.id]);
    b.hive.peers.dial(vec![a.hive.id]);
    talk(&mut a.hive, &mut b.hive).await;
    a.change(NEW).await;
    a.hive.link_down(&b.hive).await;
    b.hive.link_down(&a.hive).await;
    assert_eq!(a.hive.peers.counters().old_secret, 1);
    assert_eq!(a.hive.outcome(b.hive.id).await, Dialled::Foreign);
    b.change(NEW).await;
    talk(&mut a.hive, &mut b.hive).await;
}

/// A file that breaks while the hive runs costs no link.
#[tokio::test]
async fn a_broken_file_costs_no_link() {
    let mut a = Node::start(free([127, 73, 13, 1]), 1, OLD).await;
    let mut b = Node::start(free([127, 73, 13, 2]), 2, OLD).await;
    a.hive.peers.dial(vec![b.hive.id]);
    talk(&mut a.hive, &mut b.hive).await;
    std::fs::write(&a.file, "short").expect("a file");
    until("problem", || a.keyring.problem().is_some()).await;
    exchange(&mut a, &mut b).await;
    assert_eq!(a.hive.peers.counters().old_secret, 0);
}
