//! The Sentinel-compatible port over real sockets: what it answers, what it publishes, and clients
//! that mean no good. Fields are compared with those of a real Sentinel.

#[path = "sentinel/fields.rs"]
mod fields;
#[path = "sentinel/hostile.rs"]
mod hostile;
#[path = "sentinel/talk.rs"]
mod talk;

use redis_hive::secrets::{Keyring, Secrets};
use redis_hive::sentinel::{Limits, Topology};
use talk::{Port, healthy, without_master};

/// What a client says, and what it is answered.
fn dialogue(port: &Port, lines: &[(&str, &str)]) {
    let mut client = port.client();
    for (asked, answer) in lines {
        client.send(format!("{asked}\r\n").as_bytes());
        let answer = answer.replace('|', "\r\n");
        assert_eq!(client.read(answer.len()), answer, "{asked}");
    }
}

#[test]
fn the_master_is_told_by_its_name() {
    let port = Port::start();
    port.sentinel.publish(healthy(1));
    dialogue(
        &port,
        &[
            ("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster", "*2|$8|10.0.0.1|$4|6379|"),
            ("sentinel get-master-addr-by-name other", "*-1|"),
            ("sentinel myid", &format!("$40|{}|", "1".repeat(40))),
            ("role", "*2|$8|sentinel|*1|$8|mymaster|"),
            (
                "sentinel ckquorum mymaster",
                "+OK 3 usable Sentinels. Quorum and failover authorization can be reached|",
            ),
            ("sentinel ckquorum other", "-ERR No such master with that name|"),
            ("sentinel master other", "-ERR No such master with that name|"),
            ("sentinel replicas other", "-ERR No such master with that name|"),
            ("sentinel slaves other", "-ERR No such master with that name|"),
            ("sentinel sentinels other", "-ERR No such master with that name|"),
        ],
    );
}

#[test]
fn without_a_master_there_is_no_address() {
    let port = Port::start();
    let nothing: &[(&str, &str)] = &[
        ("sentinel get-master-addr-by-name mymaster", "*-1|"),
        ("sentinel masters", "*0|"),
        ("sentinel master mymaster", "-ERR No such master with that name|"),
        ("sentinel replicas mymaster", "*0|"),
        ("sentinel sentinels mymaster", "*0|"),
        ("role", "*2|$8|sentinel|*0|"),
    ];
    dialogue(&port, nothing);
    port.sentinel.publish(healthy(1));
    port.sentinel.publish(without_master());
    dialogue(&port, &[("sentinel get-master-addr-by-name mymaster", "*-1|")]);
    let master = port.client().lines(b"SENTINEL MASTER mymaster\r\n", "s_down,o_down,master");
    assert!(master.contains("10.0.0.1"), "the last one: {master}");
}

/// What a client of Redis does first, in both protocols.
#[test]
fn connections_are_set_up_as_with_redis() {
    let port = Port::start();
    dialogue(
        &port,
        &[
            ("PING", "+PONG|"),
            ("ping you", "$3|you|"),
            ("client id", ":1|"),
            ("client getname", "$-1|"),
            ("client setname me", "+OK|"),
            ("client getname", "$2|me|"),
            ("client setinfo lib-name x", "+OK|"),
            ("client setinfo lib-age x", "-ERR Unrecognized option 'lib-age'|"),
            (
                "client maint_notifications on",
                "-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP.|",
            ),
            ("hello 4", "-NOPROTO unsupported protocol version|"),
            ("hello x", "-ERR Protocol version is not an integer or out of range|"),
            ("hello 2 foo", "-ERR Syntax error in HELLO option 'foo'|"),
            (
                "hello 3 setname you",
                "%6|$6|server|$5|redis|$7|version|$6|7.0.15|$5|proto|:3|$2|id|:1|$4|mode|$8|sentinel|\
                 $7|modules|*0|",
            ),
            ("client getname", "$3|you|"),
            ("sentinel get-master-addr-by-name mymaster", "_|"),
            ("reset", "+RESET|"),
            ("client getname", "$-1|"),
            ("get x", "-ERR unknown command 'get', with args beginning with: 'x' |"),
            ("role now", "-ERR wrong number of arguments for 'role' command|"),
            ("sentinel", "-ERR wrong number of arguments for 'sentinel' command|"),
        ],
    );
    let mut client = port.client();
    client.send(b"sentinel master\r\nQUIT\r\nPING\r\n");
    let told = client.until_end();
    assert_eq!(told, "-ERR wrong number of arguments for 'sentinel|master' command\r\n+OK\r\n");
}

#[test]
fn passwords_are_held_against_the_secret() {
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.|";
    let open = Port::start();
    dialogue(&open, &[("auth default x", "+OK|"), ("auth me x", wrong)]);
    let refused = open.client().lines(b"AUTH x\r\n", "\r\n");
    assert!(refused.starts_with("-ERR AUTH <password> called without any password"), "{refused}");
    let locked = Port::with(|settings| {
        let secrets = Secrets::parse("open-sesame-open-sesame").expect("a secret");
        settings.keyring = Keyring::fixed(secrets);
    });
    dialogue(&locked, &[("auth x", wrong), ("auth default x", wrong), ("ping", "+PONG|")]);
    let mut client = locked.client();
    client.send(b"*2\r\n$4\r\nAUTH\r\n$23\r\nopen-sesame-open-sesame\r\n");
    assert_eq!(client.read(5), "+OK\r\n");
    client.send(b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$23\r\nopen-sesame-open-sesame\r\n");
    assert!(client.read(10).starts_with("-WRONGPASS"));
}

/// Each refusal names what to use instead.
#[test]
fn nothing_can_be_changed_from_here() {
    let port = Port::start();
    port.sentinel.publish(healthy(1));
    let mut client = port.client();
    for (asked, instead) in [
        ("failover mymaster", "redis-hive switchover"),
        ("set mymaster quorum 1", "redis-hive run"),
        ("config set announce-ip 1.1.1.1", "redis-hive run"),
        ("monitor x 1.1.1.1 6379 1", "--sentinel-name"),
        ("remove mymaster", "--sentinel-name"),
        ("reset *", "redis-hive status"),
        ("flushconfig", "nothing on disk"),
        ("simulate-failure crash-after-election", "redis-hive dev"),
        ("is-master-down-by-addr 10.0.0.1 6379 0 *", "SENTINEL MASTERS"),
    ] {
        let told = client.lines(format!("SENTINEL {asked}\r\n").as_bytes(), "\r\n");
        assert!(told.starts_with("-ERR redis-hive is not steered"), "{asked}: {told}");
        assert!(told.contains(instead), "{asked}: {told}");
    }
    assert!(client.lines(b"SHUTDOWN\r\n", "\r\n").starts_with("-ERR"));
    assert!(client.lines(b"PUBLISH a b\r\n", "\r\n").starts_with("-ERR"));
    client.send(b"SENTINEL GET-MASTER-ADDR-BY-NAME mymaster\r\n");
    assert_eq!(client.read(4), "*2\r\n", "nothing has changed");
}

#[test]
fn subscribers_hear_of_a_new_master() {
    let port = Port::start();
    port.sentinel.publish(healthy(1));
    let (mut channel, mut pattern) = (port.client(), port.client());
    channel.send(b"SUBSCRIBE +switch-master\r\n");
    channel.until("*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    pattern.send(b"HELLO 3\r\nPSUBSCRIBE [-+]sdown +slave\r\n");
    pattern.until(">3\r\n$10\r\npsubscribe\r\n$6\r\n+slave\r\n:2\r\n");
    port.sentinel.publish(without_master());
    pattern.until(
        ">4\r\n$8\r\npmessage\r\n$9\r\n[-+]sdown\r\n$6\r\n+sdown\r\n\
         $29\r\nmaster mymaster 10.0.0.1 6379\r\n",
    );
    port.sentinel.publish(healthy(2));
    channel.until(
        "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n\
         $36\r\nmymaster 10.0.0.1 6379 10.0.0.2 6379\r\n",
    );
    pattern.until("slave 10.0.0.1:6379 10.0.0.1 6379 @ mymaster 10.0.0.2 6379\r\n");
    // Whoever heard of it gets the new address.
    let asked = "sentinel get-master-addr-by-name mymaster";
    dialogue(&port, &[(asked, "*2|$8|10.0.0.2|$4|6379|")]);
}

#[test]
fn subscriptions_come_and_go() {
    let port = Port::start();
    dialogue(
        &port,
        &[
            ("unsubscribe", "*3|$11|unsubscribe|$-1|:0|"),
            (
                "subscribe a a b",
                "*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|b|:2|",
            ),
            ("ping", "*2|$4|pong|$0||"),
            ("ping you", "*2|$4|pong|$3|you|"),
        ],
    );
    let mut client = port.client();
    client.send(
        b"SUBSCRIBE a\r\nPSUBSCRIBE b*\r\nROLE\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE b*\r\nROLE\r\n",
    );
    client.until("-ERR Can't execute 'role': only (P|S)SUBSCRIBE");
    client.until("*3\r\n$12\r\npunsubscribe\r\n$2\r\nb*\r\n:0\r\n*2\r\n$8\r\nsentinel\r\n");
    let mut resp3 = port.client();
    resp3.send(b"HELLO 3\r\nSUBSCRIBE a\r\nROLE\r\nRESET\r\nROLE\r\n");
    resp3.until(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*2\r\n$8\r\nsentinel\r\n");
    resp3.until("+RESET\r\n*2\r\n$8\r\nsentinel\r\n");
}

#[test]
fn a_client_has_few_subscriptions() {
    let port = Port::start();
    let mut client = port.client();
    let names: String = (0..65).map(|name| format!(" {name}")).collect();
    client.send(format!("SUBSCRIBE{names}\r\n").as_bytes());
    client.until(":64\r\n-ERR a client has at most 64 subscriptions");
    client.send(format!("RESET\r\nPSUBSCRIBE {}\r\n", "x".repeat(257)).as_bytes());
    client.until("+RESET\r\n-ERR a client has at most 64 subscriptions");
}

/// The port says so itself when its limits are reached, and is there again afterwards.
#[test]
fn one_connection_too_many_is_told_so() {
    let port =
        Port::with(|settings| settings.limits = Limits { connections: 2, ..settings.limits });
    port.sentinel.publish(Topology::default());
    let (mut one, mut two) = (port.client(), port.client());
    for client in [&mut one, &mut two] {
        client.send(b"PING\r\n");
        client.until("+PONG\r\n");
    }
    assert_eq!(port.client().until_end(), "-ERR max number of clients reached\r\n");
    drop(one);
    talk::eventually("there is room again", || {
        let mut client = port.client();
        client.send(b"PING\r\n");
        client.first_line() == "+PONG"
    });
}
