//! The unit for systemd.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{complains, passes, text};

/// More exposure than this, of 100, needs a reason.
const MOST_EXPOSURE: &str = "20";

/// The unit in a folder of its own, with the program that is tested.
struct Unit(PathBuf);

impl Unit {
    fn new(text: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("api-gateway-unit-{:x}", rand()));
        std::fs::create_dir(&folder).unwrap();
        let text = text.replace("/usr/local/bin/api-gateway", crate::PROGRAM);
        std::fs::write(folder.join("api-gateway.service"), text).unwrap();
        Self(folder)
    }

    /// Puts another unit of the project beside it.
    fn with(self, name: &str) -> Self {
        let path = Path::new("deploy/systemd").join(name);
        std::fs::write(self.0.join(name), super::text(path)).unwrap();
        self
    }

    fn analyze(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("systemd-analyze");
        command
            .args(arguments)
            .arg(self.0.join("api-gateway.service"));
        command
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Tests of one process must not meet in one folder.
fn rand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 16 | NEXT.fetch_add(1, Ordering::Relaxed)
}

const VERIFY: &[&str] = &["verify", "--man=no"];
const SECURITY: &[&str] = &["security", "--offline=true", "--threshold", MOST_EXPOSURE];

#[test]
fn the_unit_is_valid_and_hardened() {
    let unit = Unit::new(&text("deploy/systemd/api-gateway.service"));
    let mut verify = unit.analyze(VERIFY);
    passes(&mut verify);
    // It succeeds with a warning, such as one about an unknown key.
    let warnings = verify.output().unwrap().stderr;
    assert_eq!(String::from_utf8_lossy(&warnings), "");
    passes(&mut unit.analyze(SECURITY));
}

#[test]
fn the_sockets_are_valid_and_for_the_unit() {
    const SOCKETS: [&str; 2] = ["api-gateway.socket", "api-gateway-admin.socket"];
    let unit = Unit::new(&text("deploy/systemd/api-gateway.service"));
    let unit = SOCKETS.into_iter().fold(unit, Unit::with);
    for socket in SOCKETS {
        let mut verify = Command::new("systemd-analyze");
        verify.args(VERIFY).arg(unit.0.join(socket));
        passes(&mut verify);
        let warnings = verify.output().unwrap().stderr;
        assert_eq!(String::from_utf8_lossy(&warnings), "", "{socket}");
    }
}

#[test]
fn the_linters_of_units_find_what_is_wrong() {
    let unit = Unit::new("[Service]\nExecStart=/nowhere/api-gateway\n");
    complains(&mut unit.analyze(VERIFY));
    complains(&mut unit.analyze(SECURITY));
}
