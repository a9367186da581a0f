//! The redis-hive binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    redis_hive::cli::main(std::env::args_os())
}
