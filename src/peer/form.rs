//! The simple forms that bodies are made of, and how values of the election become them.
//!
//! The election's types carry no serde, so that the core stays free of it.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv6Addr};

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::codec::CodecError;
use crate::election::Troubles;
use crate::election::types::{Epoch, Id, Incarnation, NodeId, RedisAddr, Wall};

/// A value of the election that travels in the form `F`.
pub(super) trait Wire<F>: Sized {
    /// The form that is written.
    fn pack(&self) -> F;
    /// The value that was read, checked.
    fn unpack(form: F) -> Result<Self, CodecError>;
}

/// At most `N` entries. Reading refuses a longer list before anything is allocated for it;
/// writing leaves out what is beyond.
pub(super) struct Bounded<F, const N: usize>(Vec<F>);

/// An IP as 16 bytes (IPv4 as IPv4-mapped IPv6) and a port.
#[derive(Serialize, Deserialize)]
pub(super) struct WireAddr {
    ip: u128,
    port: u16,
}

/// 20 bytes. Written as three numbers because big-endian numbers are those very bytes, and
/// serde handles them faster than twenty single ones.
#[derive(Serialize, Deserialize)]
pub(super) struct WireId(u64, u64, u32);

impl Wire<u64> for Epoch {
    fn pack(&self) -> u64 {
        self.0
    }

    fn unpack(form: u64) -> Result<Epoch, CodecError> {
        if form > Epoch::MAX.0 { Err(CodecError::EpochTooHigh(form)) } else { Ok(Epoch(form)) }
    }
}

impl Wire<WireId> for Id {
    fn pack(&self) -> WireId {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = self.0;
        WireId(
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            u64::from_be_bytes([i, j, k, l, m, n, o, p]),
            u32::from_be_bytes([q, r, s, t]),
        )
    }

    fn unpack(form: WireId) -> Result<Id, CodecError> {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&form.0.to_be_bytes());
        id[8..16].copy_from_slice(&form.1.to_be_bytes());
        id[16..].copy_from_slice(&form.2.to_be_bytes());
        Ok(Id(id))
    }
}

fn pack_addr(ip: IpAddr, port: u16) -> WireAddr {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    WireAddr { ip: ip.to_bits(), port }
}

fn unpack_ip(form: &WireAddr) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(form.ip)).to_canonical()
}

impl Wire<WireAddr> for NodeId {
    fn pack(&self) -> WireAddr {
        pack_addr(self.ip, self.port)
    }

    fn unpack(form: WireAddr) -> Result<NodeId, CodecError> {
        Ok(NodeId::new(unpack_ip(&form), form.port))
    }
}

impl Wire<WireAddr> for RedisAddr {
    fn pack(&self) -> WireAddr {
        pack_addr(self.ip, self.port)
    }

    fn unpack(form: WireAddr) -> Result<RedisAddr, CodecError> {
        Ok(RedisAddr::new(unpack_ip(&form), form.port))
    }
}

/// Values that travel as they are, and numbers in a wrapper.
macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Wire<$type> for $type {
            fn pack(&self) -> $type {
                *self
            }

            fn unpack(form: $type) -> Result<$type, CodecError> {
                Ok(form)
            }
        })*
    };
    ($($wrapper:ident),* of $type:ty) => {
        $(impl Wire<$type> for $wrapper {
            fn pack(&self) -> $type {
                self.0
            }

            fn unpack(form: $type) -> Result<$wrapper, CodecError> {
                Ok($wrapper(form))
            }
        })*
    };
}

plain!(bool, u16, u32, u64);
plain!(Incarnation, Wall of u64);
plain!(Troubles of u32);

/// The longest text in a frame, in bytes.
const MAX_TEXT: usize = 255;

impl Wire<String> for String {
    fn pack(&self) -> String {
        let mut end = self.len().min(MAX_TEXT);
        while !self.is_char_boundary(end) {
            end -= 1;
        }
        self.get(..end).unwrap_or_default().to_owned()
    }

    fn unpack(form: String) -> Result<String, CodecError> {
        if form.len() > MAX_TEXT {
            return Err(CodecError::Malformed("a text is too long"));
        }
        Ok(form)
    }
}

impl<T: Wire<F>, F> Wire<Option<F>> for Option<T> {
    fn pack(&self) -> Option<F> {
        self.as_ref().map(T::pack)
    }

    fn unpack(form: Option<F>) -> Result<Option<T>, CodecError> {
        form.map(T::unpack).transpose()
    }
}

impl<T: Wire<F>, F, const N: usize> Wire<Bounded<F, N>> for Vec<T> {
    fn pack(&self) -> Bounded<F, N> {
        Bounded(self.iter().take(N).map(T::pack).collect())
    }

    fn unpack(form: Bounded<F, N>) -> Result<Vec<T>, CodecError> {
        form.0.into_iter().map(T::unpack).collect()
    }
}

impl<F: Serialize, const N: usize> Serialize for Bounded<F, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de, F: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<F, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<F, const N: usize>(PhantomData<F>);

        impl<'de, F: Deserialize<'de>, const N: usize> Visitor<'de> for Entries<F, N> {
            type Value = Bounded<F, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {N} entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                // The reader states the whole length here, before the first entry is read.
                let len = seq.size_hint().unwrap_or(usize::MAX);
                if len > N {
                    return Err(de::Error::invalid_length(len, &self));
                }
                let mut entries = Vec::with_capacity(len);
                while let Some(entry) = seq.next_element()? {
                    entries.push(entry);
                }
                Ok(Bounded(entries))
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}
