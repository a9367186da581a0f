//! The password of Redis is changed as the document tells, with what a cluster would do played.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::markdown::{blocks, documents};
use super::support::certs::{Authority, Files, contents};
use super::support::servers::{Server, binary};
use super::tools::stdout;

const OLD: &str = r#"the "old" \n one"#;
const NEW: &str = r#"a \\ "new" $one 'too'"#;

/// One pod, whose files are below this folder, and a Secret that arrives in it at once.
const KUBECTL: &str = r#"#!/bin/sh
case $1 in
get) echo pod/one ;;
exec)
    for last in "$@"; do :; done
    exec sh -c "$(printf '%s' "$last" | sed "s#/etc/redis-hive-#$PWD/pod-#g")"
    ;;
create)
    for word in "$@"; do
        case $word in
        --from-file=redis-password*) cp "${word##*=}" pod-secrets/redis-password ;;
        esac
    done
    ;;
apply) cat >/dev/null ;;
esac
"#;
const REDIS_CLI: &str = "#!/bin/sh\nexec /usr/bin/redis-cli -h \"$SERVER\" \"$@\"\n";
const OPENSSL: &str = "#!/bin/sh\ncat next\n";

/// Somebody's folder, with the programs that the document calls.
struct Desk {
    dir: PathBuf,
}

impl Desk {
    fn new(name: &str) -> Desk {
        let process = std::process::id();
        let dir = std::env::temp_dir().join(format!("redis-hive-rotation-{process}-{name}"));
        let desk = Desk { dir };
        for (program, text) in
            [("kubectl", KUBECTL), ("redis-cli", REDIS_CLI), ("openssl", OPENSSL)]
        {
            let path = desk.write(&format!("bin/{program}"), text);
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(path, executable).expect("it may be run");
        }
        for file in ["redis-password", "pod-secrets/redis-password"] {
            desk.write(file, &format!("{OLD}\n"));
        }
        desk.write("next", &format!("{NEW}\n"));
        desk
    }

    fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.dir.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// A server in the pod, which asks for the old password.
    fn server(&self, tls: bool) -> Option<Server> {
        let redis = binary("redis-system")?;
        let server = if tls {
            let authority = Authority::new("the CA of this pod");
            let identity = authority.identity(&[]);
            for (file, text) in contents(&authority.pem, &identity) {
                let mounted =
                    [("ca.pem", "ca.crt"), ("cert.pem", "tls.crt"), ("key.pem", "tls.key")];
                let name = mounted.iter().find(|(from, _)| *from == file).expect("one of them").1;
                self.write(&format!("pod-tls/{file}"), text);
                self.write(&format!("pod-tls/{name}"), text);
            }
            let files = Files::inside(&self.dir.join("pod-tls"));
            Server::with_tls(&redis, &files.redis_flags(6379))
        } else {
            Server::master(&redis)
        };
        server.ask(&["CONFIG", "SET", "requirepass", OLD]);
        Some(server)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The commands below this heading, each block by itself.
fn section(heading: &str) -> Vec<String> {
    let document = documents().into_iter().find(|it| it.path == Path::new("docs/kubernetes.md"));
    let text = document.expect("the document").text;
    let rest = text.split_once(heading).expect("the heading is there").1;
    let own = rest.split("\n### ").next().expect("a first part");
    blocks(own).into_iter().map(|block| block.text).collect()
}

#[test]
fn the_password_is_changed_as_the_document_tells() {
    let mut commands = section("### The password of Redis\n");
    let at = commands.iter().position(|block| block.contains("tls=")).expect("a block about TLS");
    let about_tls = commands.remove(at);
    for tls in [false, true] {
        let desk = Desk::new(if tls { "tls" } else { "plain" });
        let Some(server) = desk.server(tls) else { return };
        let first = if tls { about_tls.as_str() } else { "" };
        let script = [first, &commands.concat()].concat();
        let path = format!("{}:/usr/bin:/bin", desk.dir.join("bin").display());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-s"]).current_dir(&desk.dir);
        bash.env("PATH", path).env("SERVER", server.addr.ip.to_string());
        let told = stdout(&mut bash, script.as_bytes());
        assert_eq!(told.trim(), "OK\nOK", "TLS {tls}");
        assert!(server.try_ask(&["AUTH", NEW]).is_ok(), "TLS {tls}: the new one is taken");
        assert!(server.try_ask(&["AUTH", OLD]).is_err(), "TLS {tls}: the old one is not");
        let left = std::fs::read_to_string(desk.dir.join("pod-secrets/redis-password"));
        assert_eq!(left.expect("it is mounted"), format!("{NEW}\n"), "TLS {tls}");
    }
}
