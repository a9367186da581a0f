//! What `dev` shows of its nodes, as text: a table for a terminal, a line per change otherwise.

use std::net::Ipv4Addr;

use serde_json::Value;

/// What is known of a node at a moment.
#[derive(Clone, Debug)]
pub struct Row {
    /// The last byte of its address, by which it is called.
    pub host: u8,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Whether its Redis runs.
    pub redis: bool,
    /// Whether its sidecar runs.
    pub hive: bool,
    /// Whether one of them was stopped with SIGSTOP.
    pub frozen: bool,
    /// The process ids of what runs.
    pub pids: Vec<u32>,
    /// What its sidecar answered last to `/status`; `None` if it did not.
    pub status: Option<Value>,
}

const HEAD: [&str; 9] =
    ["node", "address", "hive", "epoch", "redis", "offset", "lag", "master", "end it with"];

/// The table, a line each, without line ends.
#[must_use]
pub fn table(rows: &[Row]) -> Vec<String> {
    let mut cells: Vec<[String; 9]> = vec![HEAD.map(String::from)];
    cells.extend(rows.iter().map(row_cells));
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |row: &[String; 9]| {
        let padded: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

/// What is worth a line when it changes: roles and who is there, not offsets.
#[must_use]
pub fn summary(row: &Row) -> String {
    let cells = row_cells(row);
    let [node, address, hive, epoch, redis, _, _, master, _] = &cells;
    format!("node {node} {address}: hive {hive}, epoch {epoch}, redis {redis}, master {master}")
}

fn row_cells(row: &Row) -> [String; 9] {
    let status = row.status.as_ref().filter(|_| row.hive && !row.frozen);
    let text = |pointer: &str| -> String {
        match status.and_then(|s| s.pointer(pointer)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => "-".to_owned(),
        }
    };
    let hive = match (row.hive, row.frozen, status) {
        (false, ..) => "down".to_owned(),
        (true, true, _) => "frozen".to_owned(),
        (true, false, None) => "no answer".to_owned(),
        (true, false, Some(_)) => text("/role"),
    };
    let current = status.and_then(|s| s.pointer("/redis/current")).and_then(Value::as_bool);
    let redis = match (row.redis, text("/redis/role").as_str(), current) {
        (false, ..) => "down".to_owned(),
        (true, "-", _) => "up".to_owned(),
        (true, "master", _) => "master".to_owned(),
        (true, _, Some(true)) => "replica".to_owned(),
        (true, ..) => format!("replica ({})", text("/redis/state")),
    };
    let ids: Vec<String> = row.pids.iter().map(ToString::to_string).collect();
    let end = if ids.is_empty() { "-".to_owned() } else { format!("kill -9 {}", ids.join(" ")) };
    [
        row.host.to_string(),
        row.ip.to_string(),
        hive,
        text("/epoch"),
        redis,
        text("/redis/offset"),
        text("/redis/lag_bytes"),
        text("/master"),
        end,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(status: Option<Value>) -> Row {
        let ip = Ipv4Addr::new(127, 0, 0, 2);
        Row { host: 2, ip, redis: true, hive: true, frozen: false, pids: vec![10, 11], status }
    }

    fn follower() -> Value {
        json!({"role": "follower", "epoch": 3, "master": "127.0.0.1:6379",
            "redis": {"role": "replica", "state": "complete", "offset": 77, "lag_bytes": 0,
                      "current": true}})
    }

    #[test]
    fn the_table_tells_what_status_says() {
        let lines = table(&[row(Some(follower()))]);
        let [head, line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(head.starts_with("node  address"));
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["2", "127.0.0.2", "follower", "3", "replica", "77", "0", "127.0.0.1:6379", "kill"]
                .into_iter()
                .chain(["-9", "10", "11"])
                .collect::<Vec<_>>()
        );
    }

    /// An old answer of a sidecar that is gone or frozen must not look like news.
    #[test]
    fn who_cannot_answer_is_not_shown_as_it_was() {
        let mut gone = row(Some(follower()));
        gone.hive = false;
        assert!(summary(&gone).contains("hive down, epoch -, redis up"), "{}", summary(&gone));
        let mut frozen = row(Some(follower()));
        frozen.frozen = true;
        assert!(summary(&frozen).contains("hive frozen, epoch -"), "{}", summary(&frozen));
        assert!(summary(&row(None)).contains("no answer"));
        let mut dead = row(Some(follower()));
        dead.redis = false;
        assert!(summary(&dead).contains("redis down"));
    }

    /// Anything may answer on that port.
    #[test]
    fn a_strange_answer_is_no_trouble() {
        for strange in [json!(null), json!([1, 2]), json!({"role": {}, "redis": "no"})] {
            let lines = table(&[row(Some(strange))]);
            assert_eq!(lines.len(), 2);
        }
    }
}
