//! Where the program of a faulty backend is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

const NAME: &str = "faulty-backend";

/// The program, made if need be.
///
/// Cargo tells only the tests of this package where its programs are, and makes them only for those. For all others it
/// lies beside them, in the folder of their profile, and is made here if it is not there or is older than its sources.
///
/// # Panics
/// When it cannot be made.
pub(super) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().expect("a program");
        let folder = own.parent().expect("a folder");
        let folder = match folder.file_name().and_then(|name| name.to_str()) {
            // Tests and examples.
            Some("deps" | "examples") => folder.parent().expect("a folder"),
            _ => folder,
        };
        let program = folder.join(NAME);
        let made = changed(&program);
        if made.is_none_or(|made| newest(&sources()).is_some_and(|newest| newest > made)) {
            make(folder);
        }
        assert!(program.exists(), "{} is missing", program.display());
        program
    })
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn make(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "testkit", "--bin", NAME])
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().expect("a folder"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    let made = status.is_ok_and(|status| status.success());
    assert!(made, "please run: cargo build -p testkit --bin {NAME}");
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// When the newest file below a folder was changed.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            newest(&path)
        } else {
            changed(&path)
        }
    });
    times.max()
}
