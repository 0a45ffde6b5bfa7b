//! The token that is made at each start, and where commands on the same machine find it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::config::{AdminToken, Settings};

/// Nobody guesses so many random bytes.
const BYTES: usize = 32;

/// The token that the gateway asks for; none where it asks for none. One that is made is left for commands to find.
pub(crate) fn required(settings: &Settings, address: SocketAddr) -> Option<Box<str>> {
    match &settings.admin_token {
        AdminToken::Off => None,
        AdminToken::Given(token) => Some(token.expose().into()),
        AdminToken::Generated => {
            let token = generate();
            match write(address, &token) {
                Ok(path) => tracing::info!(file = %path.display(), "token of the admin listener"),
                Err(error) => tracing::warn!(
                    %error,
                    "the token of the admin listener cannot be written; set ADMIN_TOKEN to use it"
                ),
            }
            Some(token.into())
        }
    }
}

/// The token that a command shows to the gateway at `address`; none where none is needed, or none is found.
pub(crate) fn known(settings: &Settings, address: SocketAddr) -> Option<Box<str>> {
    match &settings.admin_token {
        AdminToken::Off => None,
        AdminToken::Given(token) => Some(token.expose().into()),
        AdminToken::Generated => {
            let mut found = folders().filter_map(|folder| {
                let text = std::fs::read_to_string(folder.join(name(address))).ok()?;
                Some(text.trim().into())
            });
            found.next()
        }
    }
}

fn generate() -> String {
    let mut bytes = [0; BYTES];
    // A system without random numbers gets a token that fits nobody's.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::error!("the system gives no random numbers");
        return String::new();
    }
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Several gateways on one machine listen at different ports.
fn name(address: SocketAddr) -> String {
    format!("admin-{}.token", address.port())
}

/// Where it may be, the best place first: what systemd gives a service, what it gives a user, and what everybody has.
fn folders() -> impl Iterator<Item = PathBuf> {
    let of_variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let of_service = of_variable("RUNTIME_DIRECTORY");
    let of_user = of_variable("XDG_RUNTIME_DIR").map(|folder| folder.join("api-gateway"));
    let of_system = PathBuf::from("/run/api-gateway");
    let temporary = format!("api-gateway-{}", rustix::process::getuid().as_raw());
    let temporary = std::env::temp_dir().join(temporary);
    [of_service, Some(of_system), of_user, Some(temporary)]
        .into_iter()
        .flatten()
}

fn write(address: SocketAddr, token: &str) -> io::Result<PathBuf> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for folder in folders() {
        match write_into(&folder, address, token) {
            Ok(path) => return Ok(path),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn write_into(folder: &Path, address: SocketAddr, token: &str) -> io::Result<PathBuf> {
    if let Err(error) = DirBuilder::new().mode(0o700).create(folder)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    // In a folder for everybody, somebody else may have made it before.
    let metadata = std::fs::symlink_metadata(folder)?;
    let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let path = folder.join(name(address));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(token.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_written_for_its_owner_alone_and_replaced() {
        let folder = std::env::temp_dir().join(format!("token-test-{}", std::process::id()));
        let address: SocketAddr = "127.0.0.1:9901".parse().unwrap();
        for token in ["first", "second"] {
            let path = write_into(&folder, address, token).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), token);
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        assert!(write_into(&folder, address, "third").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        assert_ne!(generate(), generate());
        assert!(generate().len() > 40);
    }
}
