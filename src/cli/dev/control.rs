//! What may be typed while `dev` runs: keys on a terminal, lines otherwise.

use super::nodes::Part;

/// What to do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// SIGKILL.
    Kill,
    /// Start again, empty.
    Revive,
    /// Kill what lives, or revive what does not.
    Toggle,
    /// SIGSTOP what runs, or SIGCONT what was stopped.
    ToggleFreeze,
    /// SIGSTOP.
    Freeze,
    /// SIGCONT.
    Thaw,
    /// SIGTERM.
    Stop,
}

/// One thing that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Something for one node.
    Node {
        /// What to do.
        deed: Deed,
        /// With which of its processes.
        part: Part,
        /// The node.
        host: u8,
    },
    /// Show what may be typed.
    Help,
    /// End everything.
    Quit,
}

/// What may be typed on a terminal.
pub const KEYS: &str = "keys: 1..9 kill or revive a node; r1 only its Redis, h1 only its hive; \
                        f1 freeze or thaw; s1 SIGTERM to its hive; q quit";

/// What may be written to standard input elsewhere.
pub const LINES: &str = "commands: kill|revive|freeze|thaw|stop [redis|hive] N; quit";

/// Reads keys one by one; a letter waits for its digit.
#[derive(Debug, Default)]
pub struct Keys {
    letter: Option<char>,
}

impl Keys {
    /// Takes one key; `None` if it completes nothing.
    pub fn press(&mut self, key: char) -> Option<Command> {
        let letter = self.letter.take();
        let host = key.to_digit(10).filter(|d| *d > 0).and_then(|d| u8::try_from(d).ok());
        let Some(host) = host else {
            return match key {
                'q' | 'Q' | '\u{3}' | '\u{4}' => Some(Command::Quit),
                '?' => Some(Command::Help),
                'r' | 'h' | 'f' | 's' => {
                    self.letter = Some(key);
                    None
                }
                _ => None,
            };
        };
        let (deed, part) = match letter {
            Some('r') => (Deed::Toggle, Part::Redis),
            Some('h') => (Deed::Toggle, Part::Hive),
            Some('f') => (Deed::ToggleFreeze, Part::Both),
            Some('s') => (Deed::Stop, Part::Hive),
            _ => (Deed::Toggle, Part::Both),
        };
        Some(Command::Node { deed, part, host })
    }
}

/// Reads a line such as `kill 2` or `freeze hive 1`; `None` if it is none of [`LINES`].
#[must_use]
pub fn line(line: &str) -> Option<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (deed, rest) = match words.split_first()? {
        (&("quit" | "exit" | "q"), []) => return Some(Command::Quit),
        (&("help" | "?"), []) => return Some(Command::Help),
        (&"kill", rest) => (Deed::Kill, rest),
        (&"revive", rest) => (Deed::Revive, rest),
        (&"freeze", rest) => (Deed::Freeze, rest),
        (&"thaw", rest) => (Deed::Thaw, rest),
        (&"stop", rest) => (Deed::Stop, rest),
        _ => return None,
    };
    let (part, host) = match rest {
        ["redis", host] => (Part::Redis, host),
        ["hive", host] => (Part::Hive, host),
        [host] => (Part::Both, host),
        _ => return None,
    };
    Some(Command::Node { deed, part, host: host.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &str) -> Vec<Command> {
        let mut reader = Keys::default();
        keys.chars().filter_map(|key| reader.press(key)).collect()
    }

    fn node(deed: Deed, part: Part, host: u8) -> Command {
        Command::Node { deed, part, host }
    }

    #[test]
    fn digits_toggle_and_letters_say_what() {
        assert_eq!(pressed("2"), [node(Deed::Toggle, Part::Both, 2)]);
        assert_eq!(pressed("r1"), [node(Deed::Toggle, Part::Redis, 1)]);
        assert_eq!(pressed("h3"), [node(Deed::Toggle, Part::Hive, 3)]);
        assert_eq!(
            pressed("f1s2"),
            [node(Deed::ToggleFreeze, Part::Both, 1), node(Deed::Stop, Part::Hive, 2)]
        );
        assert_eq!(pressed("q"), [Command::Quit]);
        // A letter is forgotten after any other key; noise is nothing.
        assert_eq!(pressed("rx2"), [node(Deed::Toggle, Part::Both, 2)]);
        assert_eq!(pressed("x0\u{1b}[A\u{fffd}"), []);
    }

    #[test]
    fn lines_are_read_and_anything_else_is_refused() {
        assert_eq!(line(" kill 2 "), Some(node(Deed::Kill, Part::Both, 2)));
        assert_eq!(line("revive redis 1"), Some(node(Deed::Revive, Part::Redis, 1)));
        assert_eq!(line("freeze hive 1"), Some(node(Deed::Freeze, Part::Hive, 1)));
        assert_eq!(line("quit"), Some(Command::Quit));
        for bad in ["", "kill", "kill all", "kill 1 2", "kill 300", "kill hive", "quit 1", "fly 1"]
        {
            assert_eq!(line(bad), None, "{bad:?}");
        }
    }
}
