//! `redis-hive status --watch`: redrawn in place on a terminal, block after block elsewhere.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::termios::tcgetwinsize;
use tokio::signal::unix::{SignalKind, signal};

use super::super::args::StatusArgs;
use super::super::text::{Style, WIDTH, clean, colours, wrap};
use super::table::{self, Line};
use super::{Seen, ask};
use crate::http::status::timestamp;

const EVERY: Duration = Duration::from_secs(1);

/// Asks once a second until it is interrupted, or until nobody reads any more. A hive that is away is
/// asked on; meanwhile its last answer stays.
pub(super) async fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut ended = signal(SignalKind::terminate())?;
    let mut screen = Screen { live: io::stdout().is_terminal() && !args.json, last: Vec::new() };
    loop {
        let turn = async {
            let shown = screen.show(ask(&args.http).await, args.json);
            tokio::time::sleep(EVERY).await;
            shown
        };
        tokio::select! {
            shown = turn => if shown.is_err() { break },
            _ = interrupted.recv() => break,
            _ = ended.recv() => break,
        }
    }
    screen.leave();
    Ok(ExitCode::SUCCESS)
}

struct Screen {
    /// Redrawn in place.
    live: bool,
    /// The last table there was.
    last: Vec<Line>,
}

impl Screen {
    fn show(&mut self, seen: Result<Seen, String>, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let why = match seen {
            Ok(seen) if json => {
                out.write_all(seen.body.as_bytes())?;
                return out.flush();
            }
            Err(why) if json => {
                super::complain(&format!("{why}; asked again every second"));
                return Ok(());
            }
            Ok(seen) => {
                self.last = table::lines(&seen.status);
                None
            }
            Err(why) => Some(why),
        };
        let page = match why {
            Some(why) => away(&why, &self.last),
            None => self.last.clone(),
        };
        let text = match self.live {
            true => redrawn(&page, rows()),
            false => block(&page, now()),
        };
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The shell's next line begins below.
    fn leave(&self) {
        if self.live {
            // Nobody is left to see it otherwise.
            let _ = writeln!(io::stdout());
        }
    }
}

/// What is shown while the hive does not answer.
fn away(why: &str, last: &[Line]) -> Vec<Line> {
    let why = format!("! {}; asked again every second", clean(why));
    let mut page: Vec<Line> = wrap(&why, WIDTH).into_iter().map(|it| (Style::Bad, it)).collect();
    if !last.is_empty() {
        page.push((Style::Faint, "as it was before:".to_owned()));
        page.extend(last.iter().map(|(_, line)| (Style::Faint, line.clone())));
    }
    page
}

/// Those of the terminal; a usual number where it does not say.
fn rows() -> u16 {
    let told = tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_row);
    if told == 0 { 24 } else { told }
}

/// Over what was there before: no line is wrapped, and none is below the last of the terminal.
fn redrawn(page: &[Line], rows: u16) -> String {
    let room = usize::from(rows.max(2)) - 1;
    let mut text = "\x1b[?7l\x1b[H".to_owned();
    let cut = page.len() > room;
    let shown = if cut { room - 1 } else { page.len() };
    for (style, line) in page.iter().take(shown) {
        text.push_str(&style.paint(line, colours(&std::io::stdout())));
        text.push_str("\x1b[K\n");
    }
    if cut {
        text.push_str(&format!("... {} more lines: a higher terminal\x1b[K\n", page.len() - shown));
    }
    text.push_str("\x1b[J\x1b[?7h");
    text
}

/// A block behind the others, with its time.
fn block(page: &[Line], unix_ms: u64) -> String {
    let lines = page.iter().map(|(_, line)| format!("{line}\n"));
    format!("-- {}\n{}\n", timestamp(unix_ms), lines.collect::<String>())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(lines: usize) -> Vec<Line> {
        (0..lines).map(|at| (Style::Plain, format!("line {at}"))).collect()
    }

    #[test]
    fn a_page_never_scrolls_the_terminal() {
        let text = redrawn(&page(50), 24);
        assert_eq!(text.matches('\n').count(), 23);
        assert!(text.contains("line 21") && !text.contains("line 22"), "{text}");
        assert!(text.contains("... 28 more lines"), "{text}");
        let all = redrawn(&page(23), 24);
        assert!(all.contains("line 22") && !all.contains("more lines"), "{all}");
        assert!(!redrawn(&page(3), 0).is_empty());
    }

    #[test]
    fn the_last_answer_stays_while_the_hive_is_away() {
        let shown = away("cannot reach 10.0.0.1:6391: refused\x1b[2J", &page(2));
        assert!(shown[0].1.starts_with("! cannot reach"), "{shown:?}");
        assert!(shown.iter().all(|(_, line)| !line.contains('\x1b')), "{shown:?}");
        assert_eq!(shown.last().map(|line| line.1.as_str()), Some("line 1"));
        assert_eq!(away("gone", &[]).len(), 1);
    }

    #[test]
    fn a_block_has_its_time_and_an_end() {
        assert_eq!(block(&page(1), 0), "-- 1970-01-01T00:00:00.000Z\nline 0\n\n");
    }
}
