//! What the program is shipped in, checked by the tools of those who will run it.

mod chart;
mod compose;
mod image;
mod program;
mod systemd;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// One of the tools that `scripts/tools` installs.
pub(crate) fn tool(name: &str) -> Command {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("tools/python/bin").join(name);
    assert!(
        program.exists(),
        "{} is missing; run scripts/tools",
        program.display()
    );
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// What a tool prints; it must be content.
#[track_caller]
pub(crate) fn passes(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// That a tool complains, so that its silence elsewhere means something.
#[track_caller]
fn complains(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?} finds nothing");
}

/// The text of a file of the repository.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The YAML linter, on these files.
fn yamllint(files: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = tool("yamllint");
    command.args(["--strict", "--config-file", "deploy/yamllint.yaml"]);
    command.args(files);
    command
}
