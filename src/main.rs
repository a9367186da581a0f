//! The redis-hive binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What the runtime keeps for each connection is aligned to 128 bytes, for which the system's
/// allocator takes about half as much again.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Where the system has them, the allocator asks for huge pages: ten megabytes for one that are used.
    // One that has no such call has none of them either.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    redis_hive::cli::main(std::env::args_os())
}
