//! The program `api-gateway`: everything is in the library.

use std::process::ExitCode;

/// Buffers are made and dropped by the thousand on threads that never share them: this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    api_gateway::cli::main()
}
