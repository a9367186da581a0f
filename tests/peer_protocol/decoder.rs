//! A decoder written from `proto/peer.md` alone, without serde and bincode. It annotates every
//! byte it reads: that is what the files in `proto/vectors/` show.

use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv6Addr};

use redis_hive::election::frame::*;
use redis_hive::election::*;
use redis_hive::peer::codec::Hello;

/// What a whole frame of this version holds.
#[derive(Debug, PartialEq)]
pub enum Decoded {
    Hello(Hello),
    Frame(Box<Frame>),
}

/// Reads a whole frame, header included; gives it with its annotated dump.
pub fn decode(bytes: &[u8]) -> Result<(Decoded, String), String> {
    let mut reader = Reader { bytes, at: 0, dump: String::new() };
    let decoded = reader.frame()?;
    Ok((decoded, reader.dump))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    dump: String,
}

type Read<T> = Result<T, String>;

impl Reader<'_> {
    fn frame(&mut self) -> Read<Decoded> {
        if self.u16("magic")? != 0x5248 {
            return Err("magic".into());
        }
        if self.u8("major version")? != 1 {
            return Err("version".into());
        }
        let kind = self.u8("kind")?;
        let len = self.u32("length of the body")? as usize;
        let max = if kind == 0x01 { 1024 } else { 65536 };
        if len > max || self.bytes.len() - self.at != len {
            return Err("length".into());
        }
        let decoded = if kind == 0x01 {
            Decoded::Hello(self.hello()?)
        } else {
            Decoded::Frame(Box::new(Frame {
                node: self.node("node")?,
                incarnation: self.incarnation("incarnation")?,
                number: self.u64("number")?,
                message: self.message(kind)?,
            }))
        };
        if self.at == self.bytes.len() { Ok(decoded) } else { Err("trailing bytes".into()) }
    }

    fn message(&mut self, kind: u8) -> Read<Message> {
        Ok(match kind {
            0x10 => Message::State(Box::new(self.state()?)),
            0x11 => Message::Claim(Claim {
                epoch: self.epoch("epoch")?,
                since: self.wall("since")?,
                copy: self.option("copy", Self::copy)?,
                living: self.option("living", Self::living)?,
            }),
            0x12 => Message::Grant(Grant {
                epoch: self.epoch("epoch")?,
                copy: self.option("copy", Self::copy)?,
            }),
            0x13 => Message::Denial(self.denial()?),
            0x14 => Message::Withdrawal(Withdrawal {
                epoch: self.epoch("epoch")?,
                in_favour: self.option("in_favour", Self::node)?,
            }),
            0x15 => Message::Order(Order {
                epoch: self.epoch("epoch")?,
                from: self.leadership("from")?,
                master: self.master("master")?,
                lease_ms: self.option("lease_ms", Self::u32)?,
            }),
            0x16 => Message::Hold(Hold { epoch: self.epoch("epoch")?, hold: self.bool("hold")? }),
            0x17 => Message::Held(Held { epoch: self.epoch("epoch")? }),
            0x18 => Message::Request(Request {
                epoch: self.epoch("epoch")?,
                to: self.option("to", Self::node)?,
            }),
            0x19 => Message::Answer(Answer {
                epoch: self.epoch("epoch")?,
                verdict: match self.u8("verdict")? {
                    1 => Verdict::Done,
                    2 => Verdict::Conflict,
                    3 => Verdict::Unfit,
                    4 => Verdict::Failed,
                    _ => return Err("verdict".into()),
                },
                reason: self.text("reason")?,
            }),
            _ => return Err("kind".into()),
        })
    }

    fn hello(&mut self) -> Read<Hello> {
        let minor = self.u16("minor version")?;
        let abilities = self.u32("abilities")?;
        Ok(Hello {
            minor,
            abilities,
            name: self.text("name")?,
            node: self.node("node")?,
            incarnation: self.incarnation("incarnation")?,
            dial: self.u64("dial")?,
        })
    }

    fn state(&mut self) -> Read<State> {
        Ok(State {
            epoch: self.epoch("epoch")?,
            role: match self.u8("role")? {
                1 => HiveRole::Starting,
                2 => HiveRole::Follower,
                3 => HiveRole::Candidate,
                4 => HiveRole::Leader,
                _ => return Err("role".into()),
            },
            start_age_ms: self.u64("start_age_ms")?,
            stopping: self.bool("stopping")?,
            asks: self.bool("asks")?,
            witness: self.bool("witness")?,
            priority: self.u32("priority")?,
            failed_promotion: self.bool("failed_promotion")?,
            redis: self.option("redis", Self::redis)?,
            copy: self.option("copy", Self::copy)?,
            redis_answers: self.bool("redis_answers")?,
            follows: self.option("follows", Self::following)?,
            since: self.option("since", Self::wall)?,
            promise: self.option("promise", Self::promise)?,
            living: self.option("living", Self::living)?,
            resignations: self.list("resignations", 64, Self::resignation)?,
            leaders: self.list("leaders", 64, Self::news)?,
            sheets: self.list("sheets", 64, Self::sheet)?,
            hears: self.list("hears", 256, Self::heard)?,
            usable: self.list("usable", 256, Self::node)?,
            pause: self.option("pause", Self::pause)?,
            reach: self.u16("reach")?,
            clock: self.wall("clock")?,
            version: self.version("version")?,
            troubles: Troubles(self.u32("troubles")?),
        })
    }

    fn denial(&mut self) -> Read<Denial> {
        let epoch = self.epoch("epoch")?;
        let reason = self.u8("reason")?;
        let leader = self.option("leader", Self::leadership)?;
        let better = self.option("better", Self::node)?;
        let highest = self.option("highest", Self::epoch)?;
        let promise = self.option("promise", Self::promise)?;
        let living = self.option("living", Self::living)?;
        let present = [
            leader.is_some(),
            better.is_some(),
            highest.is_some(),
            promise.is_some(),
            living.is_some(),
        ];
        let fits =
            present.iter().enumerate().all(|(i, there)| *there == (i + 1 == usize::from(reason)));
        let reason = match reason {
            1 => leader.map(DenialReason::HasLeader),
            2 => better.map(DenialReason::Better),
            3 => highest.map(DenialReason::Epoch),
            4 => promise.map(DenialReason::Promised),
            5 => living.map(DenialReason::Living),
            6 => Some(DenialReason::NotReady),
            _ => None,
        };
        match reason {
            Some(reason) if fits => Ok(Denial { epoch, reason }),
            _ => Err("denial reason".into()),
        }
    }

    fn passport(&mut self, name: &str) -> Read<Passport> {
        let field = |field: &str| format!("{name}.{field}");
        Ok(Passport {
            run_id: self.id(&field("run_id"))?,
            version: self.version(&field("version"))?,
            role: match self.u8(&field("role"))? {
                1 => RedisRole::Master,
                2 => RedisRole::Replica,
                _ => return Err("redis role".into()),
            },
            loading: self.bool(&field("loading"))?,
            loaded_bytes: self.u64(&field("loaded_bytes"))?,
            backlog: self.bool(&field("backlog"))?,
            offset: self.u64(&field("offset"))?,
            keys: self.u64(&field("keys"))?,
            dataset_bytes: self.u64(&field("dataset_bytes"))?,
            replid: self.id(&field("replid"))?,
            replid2: self.id(&field("replid2"))?,
            second_offset: self.u64(&field("second_offset"))?,
            upstream: self.option(&field("upstream"), Self::redis)?,
            link_up: self.bool(&field("link_up"))?,
            syncing: self.bool(&field("syncing"))?,
            replicas: self.u32(&field("replicas"))?,
        })
    }

    fn copy(&mut self, name: &str) -> Read<Copy> {
        let field = |field: &str| format!("{name}.{field}");
        Ok(Copy {
            passport: self.passport(&field("passport"))?,
            state: match self.u8(&field("state"))? {
                1 => CopyState::Blank,
                2 => CopyState::Coming,
                3 => CopyState::Complete,
                _ => return Err("copy state".into()),
            },
            root: self.option(&field("root"), Self::id)?,
            provisional: self.bool(&field("provisional"))?,
            offset: self.u64(&field("offset"))?,
            current: self.bool(&field("current"))?,
        })
    }

    fn master(&mut self, name: &str) -> Read<Master> {
        Ok(Master {
            addr: self.redis(&format!("{name}.addr"))?,
            run_id: self.id(&format!("{name}.run_id"))?,
            replid: self.id(&format!("{name}.replid"))?,
            root: self.id(&format!("{name}.root"))?,
        })
    }

    fn leadership(&mut self, name: &str) -> Read<Leadership> {
        Ok(Leadership {
            epoch: self.epoch(&format!("{name}.epoch"))?,
            leader: self.node(&format!("{name}.leader"))?,
            incarnation: self.incarnation(&format!("{name}.incarnation"))?,
            master: self.master(&format!("{name}.master"))?,
        })
    }

    fn following(&mut self, name: &str) -> Read<Following> {
        Ok(Following {
            leadership: self.leadership(&format!("{name}.leadership"))?,
            heard_ms: self.option(&format!("{name}.heard_ms"), Self::u32)?,
            lease_ms: self.option(&format!("{name}.lease_ms"), Self::u32)?,
        })
    }

    fn promise(&mut self, name: &str) -> Read<Promise> {
        Ok(Promise {
            epoch: self.epoch(&format!("{name}.epoch"))?,
            to: self.node(&format!("{name}.to"))?,
        })
    }

    fn living(&mut self, name: &str) -> Read<Living> {
        Ok(Living {
            epoch: self.epoch(&format!("{name}.epoch"))?,
            master: self.master(&format!("{name}.master"))?,
            offset: self.u64(&format!("{name}.offset"))?,
            dataset_bytes: self.u64(&format!("{name}.dataset_bytes"))?,
            keys: self.u64(&format!("{name}.keys"))?,
        })
    }

    fn resignation(&mut self, name: &str) -> Read<Resignation> {
        Ok(Resignation {
            epoch: self.epoch(&format!("{name}.epoch"))?,
            leader: self.node(&format!("{name}.leader"))?,
            incarnation: self.incarnation(&format!("{name}.incarnation"))?,
            successor: self.option(&format!("{name}.successor"), Self::node)?,
        })
    }

    fn news(&mut self, name: &str) -> Read<LeaderNews> {
        Ok(LeaderNews {
            leadership: self.leadership(&format!("{name}.leadership"))?,
            age_ms: self.u32(&format!("{name}.age_ms"))?,
        })
    }

    fn sheet(&mut self, name: &str) -> Read<FactSheet> {
        let field = |field: &str| format!("{name}.{field}");
        Ok(FactSheet {
            leadership: self.leadership(&field("leadership"))?,
            against: self.node(&field("against"))?,
            against_incarnation: self.incarnation(&field("against_incarnation"))?,
            against_epoch: self.epoch(&field("against_epoch"))?,
            root: self.id(&field("root"))?,
            dataset_bytes: self.u64(&field("dataset_bytes"))?,
            keys: self.u64(&field("keys"))?,
            holders: self.u32(&field("holders"))?,
            offset: self.u64(&field("offset"))?,
            since: self.wall(&field("since"))?,
        })
    }

    fn heard(&mut self, name: &str) -> Read<Heard> {
        Ok(Heard {
            node: self.node(&format!("{name}.node"))?,
            incarnation: self.incarnation(&format!("{name}.incarnation"))?,
            number: self.u64(&format!("{name}.number"))?,
        })
    }

    fn pause(&mut self, name: &str) -> Read<Pause> {
        Ok(Pause {
            counter: self.u64(&format!("{name}.counter"))?,
            node: self.node(&format!("{name}.node"))?,
            paused: self.bool(&format!("{name}.paused"))?,
        })
    }

    fn text(&mut self, name: &str) -> Read<String> {
        let len = self.u64(&format!("{name}: bytes"))?;
        if len > 255 {
            return Err(format!("{name} too long"));
        }
        let len = len as usize;
        let text = String::from_utf8(self.take(len)?.to_vec()).map_err(|_| name)?;
        self.note(len, name, format_args!("{text:?}"));
        Ok(text)
    }

    fn option<T>(
        &mut self,
        name: &str,
        value: impl FnOnce(&mut Self, &str) -> Read<T>,
    ) -> Read<Option<T>> {
        if self.bool(&format!("{name}?"))? { value(self, name).map(Some) } else { Ok(None) }
    }

    fn list<T>(
        &mut self,
        name: &str,
        max: u64,
        entry: impl Fn(&mut Self, &str) -> Read<T>,
    ) -> Read<Vec<T>> {
        let len = self.u64(&format!("{name}: entries"))?;
        if len > max {
            return Err(format!("{len} {name}"));
        }
        (0..len).map(|i| entry(self, &format!("{name}[{i}]"))).collect()
    }

    fn address(&mut self, name: &str) -> Read<(IpAddr, u16)> {
        let mut ip = [0; 16];
        ip.copy_from_slice(self.take(16)?);
        let ip = Ipv6Addr::from(ip).to_canonical();
        self.note(16, &format!("{name}.ip"), ip);
        Ok((ip, self.u16(&format!("{name}.port"))?))
    }

    fn node(&mut self, name: &str) -> Read<NodeId> {
        self.address(name).map(|(ip, port)| NodeId { ip, port })
    }

    fn redis(&mut self, name: &str) -> Read<RedisAddr> {
        self.address(name).map(|(ip, port)| RedisAddr { ip, port })
    }

    fn id(&mut self, name: &str) -> Read<Id> {
        let mut id = [0; 20];
        id.copy_from_slice(self.take(20)?);
        self.note(20, name, "");
        Ok(Id(id))
    }

    fn epoch(&mut self, name: &str) -> Read<Epoch> {
        let epoch = self.u64(name)?;
        if epoch > 1 << 48 { Err("epoch".into()) } else { Ok(Epoch(epoch)) }
    }

    fn incarnation(&mut self, name: &str) -> Read<Incarnation> {
        self.u64(name).map(Incarnation)
    }

    fn version(&mut self, name: &str) -> Read<Version> {
        let mut part = |part| self.u16(&format!("{name}.{part}"));
        Ok(Version { major: part("major")?, minor: part("minor")?, patch: part("patch")? })
    }

    fn wall(&mut self, name: &str) -> Read<Wall> {
        self.u64(name).map(Wall)
    }

    fn bool(&mut self, name: &str) -> Read<bool> {
        match self.u8(name)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(format!("{name} is neither 0 nor 1")),
        }
    }

    fn u8(&mut self, name: &str) -> Read<u8> {
        self.number(1, name).map(|value| value as u8)
    }

    fn u16(&mut self, name: &str) -> Read<u16> {
        self.number(2, name).map(|value| value as u16)
    }

    fn u32(&mut self, name: &str) -> Read<u32> {
        self.number(4, name).map(|value| value as u32)
    }

    fn u64(&mut self, name: &str) -> Read<u64> {
        self.number(8, name)
    }

    fn number(&mut self, width: usize, name: &str) -> Read<u64> {
        let value = self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.note(width, name, value);
        Ok(value)
    }

    fn take(&mut self, len: usize) -> Read<&[u8]> {
        let end = self.at.checked_add(len).ok_or("length")?;
        let bytes = self.bytes.get(self.at..end).ok_or("cut short")?;
        self.at = end;
        Ok(bytes)
    }

    /// One line of the dump about the `len` bytes just read.
    fn note(&mut self, len: usize, name: &str, value: impl Display) {
        let start = self.at - len;
        let hex: String =
            self.bytes[start..self.at].iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{start:04x}  {hex:<40}  {name} {value}");
        writeln!(self.dump, "{}", line.trim_end()).expect("a String takes everything");
    }
}
