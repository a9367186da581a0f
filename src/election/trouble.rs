//! What a hive complains about, as it tells it to the others: for people, and no decision reads it.

/// One thing that is wrong with a hive, its Redis or its surroundings, and only it can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Its Redis was started without the boot fence.
    BootFence,
    /// A full copy may need more memory than its Redis can have.
    Memory,
    /// The last answer of DNS failed, wholly or in part.
    Dns,
    /// It has no secret, and others reach its peer port.
    NoSecret,
    /// Its secrets cannot be read anew.
    SecretFile,
    /// Passwords or certificates for Redis are refused, end soon or cannot be read anew.
    Credentials,
    /// Its Redis has settings that need care.
    Settings,
    /// Its Redis cannot be used, or does not come to its copy.
    Redis,
}

impl Trouble {
    /// All of them, each at the place that is its bit on the wire (`proto/peer.md`, section 5).
    pub const ALL: [Trouble; 8] = [
        Trouble::BootFence,
        Trouble::Memory,
        Trouble::Dns,
        Trouble::NoSecret,
        Trouble::SecretFile,
        Trouble::Credentials,
        Trouble::Settings,
        Trouble::Redis,
    ];

    /// The word used in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Trouble::BootFence => "boot_fence",
            Trouble::Memory => "memory",
            Trouble::Dns => "dns",
            Trouble::NoSecret => "no_secret",
            Trouble::SecretFile => "secret_file",
            Trouble::Credentials => "credentials",
            Trouble::Settings => "settings",
            Trouble::Redis => "redis",
        }
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of them. Bits that no [`Trouble`] has come from a newer hive and say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles(pub u32);

impl Troubles {
    /// Whether this is among them.
    pub fn has(self, trouble: Trouble) -> bool {
        self.0 & trouble.bit() != 0
    }

    /// Those that are known, by their bits.
    pub fn known(self) -> impl Iterator<Item = Trouble> {
        Trouble::ALL.into_iter().filter(move |trouble| self.has(*trouble))
    }
}

impl FromIterator<Trouble> for Troubles {
    fn from_iter<I: IntoIterator<Item = Trouble>>(troubles: I) -> Troubles {
        Troubles(troubles.into_iter().fold(0, |bits, trouble| bits | trouble.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_bit_of_its_place() {
        for (place, trouble) in Trouble::ALL.into_iter().enumerate() {
            assert_eq!([trouble].into_iter().collect::<Troubles>(), Troubles(1 << place));
        }
        assert_eq!(Trouble::ALL.into_iter().collect::<Troubles>(), Troubles(0xff));
    }

    #[test]
    fn bits_of_a_newer_hive_say_nothing() {
        let newer = Troubles(!0xff);
        assert_eq!(newer.known().count(), 0);
        assert!(Trouble::ALL.into_iter().all(|trouble| !newer.has(trouble)));
        let mut both = Troubles(newer.0 | 0b101).known();
        assert_eq!(both.next(), Some(Trouble::BootFence));
        assert_eq!(both.next(), Some(Trouble::Dns));
        assert_eq!(both.next(), None);
    }
}
