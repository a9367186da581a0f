//! A rendered pod as podman runs it. What it cannot translate fails the test: nothing is left out
//! silently.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redis_hive::cli::dev::http;
use serde_json::Value;

use super::super::render::config_map;
use super::super::settings::variables;
use super::engine::{CGROUP, Engine};
use super::site::NETWORK;

/// What a pod is made of.
pub struct Template<'a> {
    /// All rendered objects.
    pub objects: &'a [Value],
    /// The Deployment.
    pub workload: &'a Value,
    /// The Secret's `stringData`.
    pub secret: &'a Value,
}

impl Template<'_> {
    fn spec(&self) -> &Value {
        &self.workload["spec"]["template"]["spec"]
    }

    /// In the order in which they start: native sidecars, then the others.
    fn sidecars(&self) -> &[Value] {
        let found = list(&self.spec()["initContainers"]);
        assert!(found.iter().all(|c| c["restartPolicy"] == "Always"), "only native sidecars");
        found
    }

    fn main_containers(&self) -> &[Value] {
        list(&self.spec()["containers"])
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.sidecars().iter().chain(self.main_containers())
    }

    fn find(&self, container: &str) -> &Value {
        let found = self.all().find(|c| c["name"] == container);
        found.unwrap_or_else(|| panic!("no container {container}"))
    }

    /// The image of a container.
    pub fn image(&self, container: &str) -> &str {
        text(&self.find(container)["image"])
    }

    /// The most memory of a container, in bytes.
    pub fn memory(&self, container: &str) -> u64 {
        bytes(text(&self.find(container)["resources"]["limits"]["memory"]))
    }

    /// The number of a port with a name.
    pub fn port(&self, name: &str) -> u16 {
        let mut ports = self.all().flat_map(|container| list(&container["ports"]));
        let port = ports.find(|port| port["name"] == name);
        let number = port.unwrap_or_else(|| panic!("no port {name}"))["containerPort"].as_u64();
        u16::try_from(number.expect("a number")).expect("a port")
    }
}

/// A running pod.
pub struct Pod<'a> {
    engine: &'a Engine,
    template: &'a Template<'a>,
    name: String,
    /// Its address.
    pub ip: Ipv4Addr,
}

impl<'a> Pod<'a> {
    /// Makes its network, and nothing that runs in it.
    pub fn create(engine: &'a Engine, template: &'a Template<'a>, name: &str) -> Pod<'a> {
        let spec = template.spec();
        assert!(spec["hostNetwork"].is_null() && spec["dnsPolicy"].is_null(), "the usual network");
        let mut create = vec!["pod".to_owned(), "create".into(), format!("--name={name}")];
        create.extend(["--share=net,ipc,uts".to_owned(), format!("--hostname={name}")]);
        create.push(format!("--cgroup-parent={CGROUP}"));
        create.extend(NETWORK.of_a_pod());
        engine.podman(&create);
        engine.podman(&["pod", "start", name]);
        let infra = engine.podman(&["pod", "inspect", "--format={{.InfraContainerID}}", name]);
        let address = "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let ip = engine.podman(&["inspect", address, &infra]).parse().expect("an address");
        let pod = Pod { engine, template, name: name.to_owned(), ip };
        list(&spec["volumes"]).iter().for_each(|volume| pod.fill(volume));
        pod
    }

    /// Starts the sidecars in their order, each when the one before is up, then the others.
    pub fn start(&self) {
        for container in self.template.sidecars() {
            self.start_one(container);
            self.await_startup(container);
        }
        self.template.main_containers().iter().for_each(|container| self.start_one(container));
    }

    /// Whether all its readiness probes say so now.
    pub fn ready(&self) -> bool {
        let mut probes = self.template.all().map(|container| &container["readinessProbe"]);
        probes.all(|probe| probe.is_null() || self.probe(probe))
    }

    /// What the hive says of itself.
    pub fn status(&self) -> Option<Value> {
        let at = (self.ip, self.template.port("http")).into();
        let (code, body) = http::get(at, "/status", Duration::from_secs(1)).ok()?;
        (code == 200).then(|| serde_json::from_str(&body).expect("JSON"))
    }

    /// Ends it as the kubelet does: all main containers at once, then the sidecars in reverse order; each
    /// has what is left of the grace period, its preStop included. Returns how long it took.
    ///
    /// # Panics
    ///
    /// Redis did not end last.
    pub fn terminate(&self) -> Duration {
        let grace = self.template.spec()["terminationGracePeriodSeconds"].as_u64();
        let grace = Duration::from_secs(grace.expect("a grace period"));
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for container in self.template.main_containers() {
                scope.spawn(move || self.end(container, grace));
            }
        });
        for container in self.template.sidecars().iter().rev() {
            self.end(container, grace.saturating_sub(begin.elapsed()));
        }
        let [redis, hive] = ["redis", "hive"].map(|container| self.ended_at(container));
        assert!(redis > hive, "{}: Redis ended {} ns before its hive", self.ip, hive - redis);
        self.remove();
        begin.elapsed()
    }

    /// Runs the preStop of a container, then stops it.
    fn end(&self, container: &Value, grace: Duration) {
        let (name, begin) = (self.container(container), Instant::now());
        let lifecycle = &container["lifecycle"];
        if !lifecycle.is_null() {
            let command = list(&lifecycle["preStop"]["exec"]["command"]);
            assert!(!command.is_empty(), "{lifecycle} is not translated");
            let exec = ["exec", &name].into_iter().chain(command.iter().map(text));
            self.engine.podman(&exec.collect::<Vec<_>>());
        }
        let left = grace.saturating_sub(begin.elapsed()).as_secs();
        self.engine.podman(&["stop", &format!("--time={left}"), &name]);
    }

    /// Removes it without a word, as one that is deleted with no grace period.
    pub fn remove(&self) {
        self.engine.podman(&["pod", "rm", "--force", "--time=0", &self.name]);
    }

    /// The number of a container's first process.
    pub fn pid(&self, container: &str) -> u32 {
        let name = format!("{}-{container}", self.name);
        self.engine.podman(&["inspect", "--format={{.State.Pid}}", &name]).parse().expect("a pid")
    }

    /// When a container ended, in nanoseconds since 1970.
    fn ended_at(&self, container: &str) -> i128 {
        let name = format!("{}-{container}", self.name);
        let at = self.engine.podman(&["inspect", "--format={{.State.FinishedAt.UnixNano}}", &name]);
        at.parse().expect("a number")
    }

    /// Its containers' last words, for a test that failed.
    pub fn log(&self) -> String {
        let names = self.template.all().map(|container| self.container(container));
        let logs = names.map(|name| {
            let output = self.engine.command("podman").args(["logs", "--tail=40", &name]).output();
            let output = output.expect("podman runs");
            let said = [output.stdout, output.stderr].concat();
            format!("---- {name}\n{}", String::from_utf8_lossy(&said))
        });
        logs.collect()
    }

    fn container(&self, container: &Value) -> String {
        format!("{}-{}", self.name, text(&container["name"]))
    }

    fn start_one(&self, container: &Value) {
        let name = self.container(container);
        let mut create = vec!["create".to_owned(), format!("--pod={}", self.name)];
        create.extend([format!("--name={name}"), "--pull=never".into()]);
        create.extend(self.rights(container));
        let limit = text(&container["resources"]["limits"]["memory"]);
        create.push(format!("--memory={}", bytes(limit)));
        create.extend(self.environment(container).iter().map(|(k, v)| format!("--env={k}={v}")));
        create.extend(list(&container["volumeMounts"]).iter().map(|mount| self.mount(mount)));
        if container["command"].is_array() {
            create.push(format!("--entrypoint={}", container["command"]));
        }
        create.push(text(&container["image"]).to_owned());
        create.extend(list(&container["args"]).iter().map(|word| text(word).to_owned()));
        self.engine.podman(&create);
        self.engine.podman(&["start", &name]);
    }

    /// The security context of the pod and of the container, as flags.
    fn rights(&self, container: &Value) -> Vec<String> {
        let (of_pod, own) =
            (&self.template.spec()["securityContext"], &container["securityContext"]);
        let known = ["runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy"];
        only(of_pod, &[known.as_slice(), &["seccompProfile"]].concat());
        only(own, &["allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"]);
        // podman's own default is a filter of the same kind.
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
        let mut flags = vec![
            format!("--user={}:{}", of_pod["runAsUser"], of_pod["runAsGroup"]),
            format!("--group-add={}", of_pod["fsGroup"]),
            format!("--read-only={}", own["readOnlyRootFilesystem"]),
            "--read-only-tmpfs=false".to_owned(),
        ];
        if own["allowPrivilegeEscalation"] == false {
            flags.push("--security-opt=no-new-privileges".to_owned());
        }
        let dropped = list(&own["capabilities"]["drop"]).iter();
        flags.extend(dropped.map(|name| format!("--cap-drop={}", text(name))));
        flags
    }

    fn environment(&self, container: &Value) -> BTreeMap<String, String> {
        let mut found = variables(self.template.objects, container);
        for own in list(&container["env"]).iter().filter(|own| own["value"].is_null()) {
            found.insert(text(&own["name"]).to_owned(), self.reference(&own["valueFrom"]));
        }
        found
    }

    /// What a variable gets that is taken from the pod itself.
    fn reference(&self, from: &Value) -> String {
        only(from, &["fieldRef", "resourceFieldRef"]);
        let resource = &from["resourceFieldRef"];
        if resource.is_null() {
            assert_eq!(from["fieldRef"]["fieldPath"], "status.podIP");
            return self.ip.to_string();
        }
        only(resource, &["containerName", "resource"]);
        assert_eq!(resource["resource"], "limits.memory");
        self.template.memory(text(&resource["containerName"])).to_string()
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.engine.dir().join("volumes").join(&self.name).join(name)
    }

    fn mount(&self, mount: &Value) -> String {
        only(mount, &["name", "mountPath", "readOnly"]);
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        let from = self.volume(text(&mount["name"]));
        format!("--volume={}:{}:{mode}", from.display(), text(&mount["mountPath"]))
    }

    /// Makes a volume as the kubelet does, for the group `fsGroup`.
    fn fill(&self, volume: &Value) {
        let folder = self.volume(text(&volume["name"]));
        std::fs::create_dir_all(&folder).expect("a folder");
        let group = self.template.spec()["securityContext"]["fsGroup"].as_u64().expect("a group");
        let group = u32::try_from(group).expect("a group");
        chown(&folder, None, Some(group)).expect("root may");
        let mode = if volume["emptyDir"].is_object() { 0o2777 } else { 0o2755 };
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).expect("root may");
        for (name, content, mode) in self.files(volume) {
            let path = folder.join(name);
            std::fs::write(&path, content).expect("a file");
            chown(&path, None, Some(group)).expect("root may");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("root may");
        }
    }

    /// Name, content and mode of the files of a volume.
    fn files<'v>(&'v self, volume: &'v Value) -> Vec<(&'v str, &'v str, u32)> {
        only(volume, &["name", "emptyDir", "configMap", "secret"]);
        let mode = |source: &Value| {
            u32::try_from(source["defaultMode"].as_u64().expect("a mode")).expect("a mode")
        };
        if volume["configMap"].is_object() {
            let source = &volume["configMap"];
            let data = config_map(self.template.objects, text(&source["name"]));
            let files = data.as_object().expect("data").iter();
            return files
                .map(|(name, content)| (name.as_str(), text(content), mode(source)))
                .collect();
        }
        let source = &volume["secret"];
        let items = list(&source["items"]).iter();
        let content = |item: &Value| text(&self.template.secret[text(&item["key"])]);
        items.map(|item| (text(&item["path"]), content(item), mode(source))).collect()
    }

    /// Waits as long as the startup probe says.
    fn await_startup(&self, container: &Value) {
        let probe = &container["startupProbe"];
        let number = |name: &str| probe[name].as_u64().expect("a number");
        let limit = Duration::from_secs(number("periodSeconds") * number("failureThreshold"));
        let begin = Instant::now();
        while !self.probe(probe) {
            assert!(
                begin.elapsed() < limit,
                "{} does not start\n{}",
                container["name"],
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks once.
    fn probe(&self, probe: &Value) -> bool {
        let limit = Duration::from_secs(probe["timeoutSeconds"].as_u64().unwrap_or(1));
        let at = |action: &Value| (self.ip, self.template.port(text(&action["port"]))).into();
        if probe["tcpSocket"].is_object() {
            return TcpStream::connect_timeout(&at(&probe["tcpSocket"]), limit).is_ok();
        }
        let action = &probe["httpGet"];
        let answer = http::get(at(action), text(&action["path"]), limit);
        answer.is_ok_and(|(code, _)| (200..400).contains(&code))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Fails if it has a key that is not translated.
#[track_caller]
fn only(value: &Value, known: &[&str]) {
    for key in value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
        assert!(known.contains(&key), "{key} is not translated");
    }
}

/// A quantity of memory.
fn bytes(quantity: &str) -> u64 {
    let units = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("", 1)];
    let split = units.iter().find_map(|(unit, size)| Some((quantity.strip_suffix(unit)?, size)));
    let (number, size) = split.expect("every text ends in nothing");
    number.parse::<u64>().expect("a number") * size
}

/// What the kernel holds a container's first process to: uids, rights, the options of its root, and
/// the most memory in bytes.
pub fn confinement(pid: u32) -> BTreeMap<String, String> {
    let read = |file: &str| {
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file))
            .expect("it runs")
    };
    let status = read("status");
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    let mut found: BTreeMap<String, String> =
        lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let mounts = read("mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).expect("a root");
    found.insert("root".to_owned(), root.split(' ').nth(3).expect("options").to_owned());
    found.insert("memory".to_owned(), memory_limit(&read("cgroup")));
    found
}

/// Of the cgroups in `/proc/PID/cgroup`; those of version 1 name their controllers.
fn memory_limit(cgroups: &str) -> String {
    let find = |controller: &str, file: &str| {
        let mut lines = cgroups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let line = lines.find(|line| line[1] == controller)?;
        let top = Path::new("/sys/fs/cgroup").join(controller);
        std::fs::read_to_string(top.join(line[2].trim_start_matches('/')).join(file)).ok()
    };
    let found = find("memory", "memory.limit_in_bytes").or_else(|| find("", "memory.max"));
    found.expect("a cgroup with memory in it").trim().to_owned()
}
