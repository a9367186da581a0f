//! The redis-hive binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What the runtime keeps for each connection is aligned to 128 bytes, for which the system's
/// allocator takes about half as much again.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    redis_hive::cli::main(std::env::args_os())
}
