//! A backend in a process of its own, told what to do over standard input: see `testkit::faults`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().and_then(|port| port.parse().ok());
    let (Some(port), Some(journal)) = (port, arguments.next().map(PathBuf::from)) else {
        #[expect(clippy::print_stderr, reason = "this is the program's own help")]
        {
            eprintln!("usage: faulty-backend <port> <journal>; commands on standard input");
        }
        return ExitCode::FAILURE;
    };
    testkit::faults::serve(port, &journal);
    ExitCode::SUCCESS
}
