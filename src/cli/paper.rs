//! `redis-hive completions` and `redis-hive man`: what packages put beside the program.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::{EXIT_USAGE, complain};

const NAME: &str = "redis-hive";

/// Writes the script of a shell.
pub(super) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    // The generator spells the dash of a program's name in two ways, and then completes nothing
    // behind a command (clap issue 6421).
    let script = String::from_utf8_lossy(&script).replace("redis__subcmd__hive", "redis__hive");
    write(script.as_bytes())
}

/// Writes a page in roff.
pub(super) fn man(args: &ManArgs) -> ExitCode {
    match page(args.command.as_deref()) {
        Ok(page) => write(&page),
        Err(why) => {
            complain(&why);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// The page of the program, or of a command under its full name.
fn page(command: Option<&str>) -> Result<Vec<u8>, String> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let page = match command {
        None => cli.clone(),
        Some(name) => {
            let found = cli.find_subcommand(name);
            let found =
                found.ok_or_else(|| format!("'{name}' is no command: see `redis-hive --help`"))?;
            found.clone().version(env!("CARGO_PKG_VERSION"))
        }
    };
    // Roff fills lines that follow each other; those of examples are to stay as they are.
    let below = page.get_after_help().map(ToString::to_string).unwrap_or_default();
    let subcommands = page.has_subcommands();
    let man = Man::new(page);
    let mut roff = Vec::new();
    let written = man.render_title(&mut roff).and_then(|()| {
        man.render_name_section(&mut roff)?;
        man.render_synopsis_section(&mut roff)?;
        man.render_description_section(&mut roff)?;
        man.render_options_section(&mut roff)?;
        if subcommands {
            man.render_subcommands_section(&mut roff)?;
        }
        roff.write_all(unfilled(&below).as_bytes())
    });
    written.map(|()| roff).map_err(|error| error.to_string())
}

/// A section whose lines stay apart.
fn unfilled(text: &str) -> String {
    let mut roff = ".SH EXAMPLES\n.nf\n".to_owned();
    for line in text.lines().filter(|line| *line != "Examples:") {
        // A point or a quote at the beginning would be a request.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        roff.push_str(&format!("{guard}{}\n", line.replace('\\', "\\e").replace('-', "\\-")));
    }
    roff.push_str(".fi\n");
    roff
}

fn write(text: &[u8]) -> ExitCode {
    // Who closes the pipe has read enough.
    let _ = std::io::stdout().lock().write_all(text);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let cli = Cli::command();
        let names = cli.get_subcommands().map(clap::Command::get_name);
        for name in names.map(Some).chain([None]) {
            let page = page(name).expect("a page");
            let page = String::from_utf8(page).expect("text");
            let title = name.map_or(NAME.to_owned(), |name| format!("{NAME}-{name}"));
            assert!(page.contains(&format!(".TH {title} 1")), "{title}: {page}");
            assert!(page.contains(".SH EXAMPLES\n.nf\n  redis\\-hive"), "{title}: {page}");
        }
        assert!(page(Some("nonsense")).is_err());
        assert!(page(Some("help")).is_err());
    }

    #[test]
    fn no_line_of_an_example_is_a_request() {
        assert_eq!(unfilled("Examples:\n.x \\"), ".SH EXAMPLES\n.nf\n\\&.x \\e\n.fi\n");
    }
}
