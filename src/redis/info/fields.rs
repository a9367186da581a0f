//! Finds and reads single fields.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::{ATTACHED, Attached, Clients, InfoError, Memory, Syncs};
use crate::election::{Id, RedisAddr, Version};
use crate::redis::connection::short;

/// The fields of an `INFO`, sorted by name: some forty of two hundred are looked for several times a
/// second.
pub(super) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    pub fn of(text: &'a str) -> Fields<'a> {
        let mut pairs: Vec<_> = text.lines().filter_map(|line| line.split_once(':')).collect();
        // Of two with the same name the first counts.
        pairs.sort_by_key(|(name, _)| *name);
        Fields(pairs)
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().copied()
    }

    pub fn find(&self, name: &str) -> Option<&'a str> {
        let at = self.0.partition_point(|(field, _)| *field < name);
        self.0.get(at).filter(|(field, _)| *field == name).map(|(_, value)| value.trim_end())
    }

    pub fn text(&self, name: &'static str) -> Result<&'a str, InfoError> {
        self.find(name).ok_or(InfoError::Missing(name))
    }

    pub fn number<T: FromStr>(&self, name: &'static str) -> Result<T, InfoError> {
        self.text(name)?.parse().map_err(|_| InfoError::Invalid(name))
    }

    /// A number that decides nothing: 0 where it is not stated.
    pub fn told(&self, name: &'static str) -> Result<u64, InfoError> {
        if self.find(name).is_some() { self.number(name) } else { Ok(0) }
    }

    pub fn memory(&self) -> Result<Memory, InfoError> {
        Ok(Memory {
            used: self.told("used_memory")?,
            resident: self.told("used_memory_rss")?,
            max: self.told("maxmemory")?,
            system: self.told("total_system_memory")?,
        })
    }

    pub fn flag(&self, name: &'static str) -> Result<bool, InfoError> {
        match self.text(name)? {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(InfoError::Invalid(name)),
        }
    }

    pub fn id(&self, name: &'static str) -> Result<Id, InfoError> {
        Id::parse(self.text(name)?).ok_or(InfoError::Invalid(name))
    }

    /// How far a copy has come in. A replica that loads what it received still says that it syncs, and
    /// then only the load moves: the sum moves as long as either does.
    pub fn loaded_bytes(&self, syncing: bool, loading: bool) -> Result<u64, InfoError> {
        let read = if syncing { self.number::<u64>("master_sync_read_bytes")? } else { 0 };
        let loaded = if loading { self.number("loading_loaded_bytes")? } else { 0 };
        Ok(read.saturating_add(loaded))
    }

    pub fn upstream(&self) -> Result<Option<RedisAddr>, InfoError> {
        let port = self.number("master_port")?;
        let host = self.text("master_host")?;
        Ok(host.parse::<IpAddr>().ok().map(|ip| RedisAddr::new(ip, port)))
    }

    /// The lines `slaveN:ip=…,port=…,state=…,offset=…,lag=…`. One that cannot be read is none: they
    /// decide nothing. Port 0 is no replica, but somebody who takes a copy.
    pub fn attached(&self) -> Vec<Attached> {
        let read = |value: &str| {
            let part = |name: &str| {
                let mut parts = value.split(',').filter_map(|part| part.split_once('='));
                parts.find(|(found, _)| *found == name).map(|(_, value)| value)
            };
            let port = part("port").filter(|port| *port != "0")?;
            Some(Attached {
                name: short(&format!("{}:{port}", part("ip")?)),
                online: part("state")? == "online",
                acknowledged: part("offset")?.parse().ok()?,
                ack_age: part("lag").and_then(|lag| lag.parse().ok()).map(Duration::from_secs),
            })
        };
        let lines = self.pairs().filter(|(field, _)| numbered(field, "slave"));
        lines.filter_map(|(_, value)| read(value.trim_end())).take(ATTACHED).collect()
    }

    pub fn syncs(&self) -> Result<Syncs, InfoError> {
        let silent = self.find("master_last_io_seconds_ago").and_then(|text| text.parse().ok());
        Ok(Syncs {
            full: self.told("sync_full")?,
            partial: self.told("sync_partial_ok")?,
            partial_refused: self.told("sync_partial_err")?,
            // -1 while the link is down.
            master_silent: silent.map(Duration::from_secs),
        })
    }

    pub fn clients(&self) -> Option<Clients> {
        let number = |name| self.find(name)?.parse().ok();
        Some(Clients { connected: number("connected_clients")?, max: number("maxclients")? })
    }

    /// Adds up `dbN:keys=K,…`; no such line means no keys.
    pub fn keys(&self) -> Result<u64, InfoError> {
        let mut sum: u64 = 0;
        for (_, value) in self.pairs().filter(|(field, _)| numbered(field, "db")) {
            let keys = value.strip_prefix("keys=").and_then(|rest| rest.split(',').next());
            let keys = keys.and_then(|text| text.trim_end().parse::<u64>().ok());
            sum = sum.saturating_add(keys.ok_or(InfoError::Invalid("keys of a database"))?);
        }
        Ok(sum)
    }
}

/// Whether a field has this name with a number behind it.
fn numbered(field: &str, name: &str) -> bool {
    let number = field.strip_prefix(name);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Reads `7.0.15`; what follows the patch's digits (`-rc1`) is ignored, a missing patch is 0.
pub(super) fn version(text: &str) -> Result<Version, InfoError> {
    let invalid = InfoError::Invalid("redis_version");
    let mut parts = text.splitn(3, '.');
    let mut part = || parts.next().unwrap_or_default();
    let (Ok(major), Ok(minor)) = (part().parse(), part().parse()) else {
        return Err(invalid);
    };
    let patch = part();
    let digits = patch.find(|c: char| !c.is_ascii_digit()).unwrap_or(patch.len());
    let patch = patch.get(..digits).unwrap_or_default();
    let patch = if patch.is_empty() { Ok(0) } else { patch.parse() };
    patch.map(|patch| Version { major, minor, patch }).map_err(|_| invalid)
}
