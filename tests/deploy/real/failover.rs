//! Three pods of the base: one is lost, then all are replaced by pods for old clusters, and one of those
//! is replaced.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::render::{self, parse_yaml, workloads};
use super::super::support::servers::eventually;
use super::super::tools::root;
use super::clients::{Clients, Seen, connect, missing};
use super::engine::{self, Engine};
use super::images;
use super::pod::{Pod, Template, confinement};
use super::site::Site;

/// What a crash may take of acknowledged writes: those of its last moment. More than a heartbeat,
/// for a machine with other work.
const LAST_MOMENT: Duration = Duration::from_millis(500);
const CLIENTS: usize = 4;

/// The pods of a Deployment, in their network.
struct Cluster<'a> {
    engine: &'a Engine,
    template: &'a Template<'a>,
    site: Site,
    password: String,
    pods: Vec<Pod<'a>>,
    made: Cell<u32>,
}

impl<'a> Cluster<'a> {
    fn new(engine: &'a Engine, template: &'a Template<'a>) -> Cluster<'a> {
        let site = Site::new(engine, template.objects);
        let password = template.secret["redis-password"].as_str().expect("a password").to_owned();
        Cluster { engine, template, site, password, pods: Vec::new(), made: Cell::new(0) }
    }

    /// A new pod that starts, and is found by the others from now on.
    fn begin(&self) -> Pod<'a> {
        self.made.set(self.made.get() + 1);
        let pod = Pod::create(self.engine, self.template, &format!("pod-{}", self.made.get()));
        self.site.publish(pod.ip);
        pod.start();
        pod
    }

    /// Waits until it is ready; then Services lead to it.
    fn join(&mut self, pod: Pod<'a>) {
        let begin = Instant::now();
        while !pod.ready() {
            let limit = Duration::from_secs(60);
            assert!(begin.elapsed() < limit, "not ready: {:?}\n{}", pod.status(), pod.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.site.ready.add(pod.ip);
        self.pods.push(pod);
    }

    /// The index of the leader that all pods agree on.
    fn leader(&self) -> usize {
        eventually("all agree on a leader, and hold a copy", || {
            let all: Vec<Value> = self.pods.iter().map(Pod::status).collect::<Option<_>>()?;
            let leader = all[0]["leader"].as_str()?;
            let agree =
                all.iter().all(|one| one["leader"] == leader && one["epoch"] == all[0]["epoch"]);
            let current = all.iter().all(|one| one["redis"]["current"] == true);
            let known = self.pods.iter().position(|pod| pod.ip.to_string() == leader)?;
            (agree && current).then_some(known)
        })
    }

    fn clients(&self, prefix: &str) -> Clients {
        let port = self.template.port("tcp-write");
        let clients = Clients::start(CLIENTS, prefix, &self.site.ready, port, &self.password);
        clients.wait_for(100);
        clients
    }

    fn redis(&self, pod: &Pod) -> SocketAddr {
        (pod.ip, self.template.port("tcp-redis")).into()
    }

    /// Writes keys, and waits until all replicas have them.
    fn fill(&self, count: usize) -> Vec<String> {
        let keys: Vec<String> = (0..count).map(|number| format!("kept:{number}")).collect();
        let through = self.site.ready.pick(0, self.template.port("tcp-write")).expect("a pod");
        let mut connection = connect(through, &self.password).expect("a connection");
        let mut pipe = redis::pipe();
        for key in &keys {
            pipe.cmd("SET").arg(key).arg(key).ignore();
        }
        pipe.exec(&mut connection).expect("they are written");
        let replicas = self.pods.len() - 1;
        eventually("all replicas have them", || {
            let wait = redis::cmd("WAIT").arg(replicas).arg(100).query::<usize>(&mut connection);
            wait.is_ok_and(|have| have == replicas).then_some(())
        });
        keys
    }

    /// Fails unless every pod has all the keys.
    fn assert_kept(&self, keys: &[String]) {
        assert!(!keys.is_empty());
        for pod in &self.pods {
            eventually(&format!("{} has all {} keys", pod.ip, keys.len()), || {
                missing(self.redis(pod), &self.password, keys).is_empty().then_some(())
            });
        }
    }

    /// The leader's pod is deleted without a grace period, and a new one comes for it.
    fn lose_the_leader(&mut self) {
        let clients = self.clients("crash");
        let lost = self.pods.remove(self.leader());
        let begin = Instant::now();
        lost.remove();
        let end = Instant::now();
        self.site.forget(lost.ip);
        clients.wait_for(200);
        let next = self.leader();
        assert_ne!(self.pods[next].ip, lost.ip);
        let new = self.begin();
        self.join(new);
        clients.wait_for(200);
        let seen = report("the leader's pod was removed", clients);
        self.leader();

        let keys: Vec<String> = seen.acked.iter().map(|acked| acked.key.clone()).collect();
        let master = self.redis(&self.pods[self.leader()]);
        let gone = missing(master, &self.password, &keys);
        println!("{} of {} acknowledged writes went with it", gone.len(), keys.len());
        for acked in seen.acked.iter().filter(|acked| gone.contains(&acked.key)) {
            let in_time = acked.at + LAST_MOMENT >= begin && acked.at <= end;
            assert!(
                in_time,
                "{} was lost, {:?} before",
                acked.key,
                begin.checked_duration_since(acked.at)
            );
        }
        let kept: Vec<String> = keys.into_iter().filter(|key| !gone.contains(key)).collect();
        self.assert_kept(&kept);
    }

    /// All pods are replaced, one after another: a new one starts in the moment in which an old one is
    /// told to stop, as the Deployment's surge and unavailability allow.
    fn replace_all(&mut self) {
        let clients = self.clients("rollout");
        for _ in 0..self.pods.len() {
            self.replace(0);
            clients.wait_for(100);
        }
        self.assert_all_kept("all pods were replaced", clients);
    }

    /// The same for the pod that leads.
    fn replace_the_leader(&mut self) {
        let clients = self.clients("leader");
        self.replace(self.leader());
        clients.wait_for(100);
        self.assert_all_kept("the leader's pod was replaced", clients);
    }

    fn replace(&mut self, index: usize) {
        let old = self.pods.remove(index);
        // Services know at once, connections that exist stay.
        self.site.ready.remove(old.ip);
        let new = std::thread::scope(|scope| {
            let stopping = scope.spawn(|| old.terminate());
            let new = self.begin();
            let took = stopping.join().expect("it stops");
            println!("{} stopped within {took:?}", old.ip);
            new
        });
        self.site.forget(old.ip);
        self.join(new);
        self.leader();
    }

    fn assert_all_kept(&self, what: &str, clients: Clients) {
        let seen = report(what, clients);
        let keys: Vec<String> = seen.acked.into_iter().map(|acked| acked.key).collect();
        self.assert_kept(&keys);
    }

    /// The kernel holds both containers to what the manifest says.
    fn assert_confined(&self) {
        for pod in &self.pods {
            for container in ["redis", "hive"] {
                let found = confinement(pod.pid(container));
                let is = |name: &str, value: &str| {
                    assert_eq!(found[name], value, "{container}: {name}");
                };
                is("Uid", "65532\t65532\t65532\t65532");
                is("Gid", "65532\t65532\t65532\t65532");
                ["CapEff", "CapPrm", "CapBnd"].iter().for_each(|set| is(set, "0000000000000000"));
                is("NoNewPrivs", "1");
                is("Seccomp", "2");
                is("memory", &self.template.memory(container).to_string());
                assert!(found["root"].split(',').any(|option| option == "ro"), "{container}");
            }
        }
    }
}

/// What the clients saw, none of whose users heard of it.
fn report(what: &str, clients: Clients) -> Seen {
    let seen = clients.stop();
    println!(
        "{what}: {} writes, {} retries, the longest write took {:?}",
        seen.acked.len(),
        seen.retries,
        seen.longest
    );
    assert_eq!(seen.failed, Vec::<String>::new(), "{what}");
    seen
}

#[test]
fn pods_of_the_base_fail_over_and_are_replaced() {
    // Rendered outside: there the tools may be missing, which skips or fails the test.
    let Some(base) = render::get("base") else { return };
    let Some(old) = render::get("overlays/old-clusters") else { return };
    let Some(engine) =
        engine::inside("real::failover::pods_of_the_base_fail_over_and_are_replaced")
    else {
        return;
    };
    let example = root().join("deploy/kubernetes/base/secret.example.yaml");
    let example = std::fs::read_to_string(example).expect("the example");
    let mut secret = parse_yaml(&example).expect("the tools are there");
    // As it stands nobody can run with it: the hive refuses one that is so short.
    secret[0]["stringData"]["hive-secret"] = "0123456789abcdef0123456789abcdef".into();
    let secret = &secret[0]["stringData"];
    let [template, without_sidecars] = [base, old].map(|rendered| {
        let workload = workloads(&rendered.objects).next().expect("a Deployment");
        Template { objects: &rendered.objects, workload, secret }
    });
    images::redis(&engine, template.image("redis"));
    images::hive(&engine, template.image("hive"), images::FOLDER);

    let mut cluster = Cluster::new(&engine, &template);
    let replicas = template.workload["spec"]["replicas"].as_u64().expect("a number");
    let pods: Vec<Pod> = (0..replicas).map(|_| cluster.begin()).collect();
    pods.into_iter().for_each(|pod| cluster.join(pod));
    cluster.leader();
    cluster.assert_confined();
    let keys = cluster.fill(500);
    cluster.assert_kept(&keys);
    cluster.lose_the_leader();
    cluster.assert_kept(&keys);
    // Where there are no native sidecars Redis waits for the hive before it stops.
    cluster.template = &without_sidecars;
    cluster.replace_all();
    cluster.assert_kept(&keys);
    cluster.replace_the_leader();
    cluster.assert_kept(&keys);
}
