//! Telling the service manager how things are: systemd's `sd_notify` protocol, which starts and stops what depends on
//! the gateway at the right moment. Without `NOTIFY_SOCKET` nothing is said.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// Requests are taken.
pub(super) fn ready() {
    tell("READY=1");
}

/// A reload that the manager may have asked for has begun; [`ready`] says that it is over. The time is for a manager that
/// waits, which is to know that this is no answer to what it has asked before (`Type=notify-reload`).
pub(super) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// The end has begun.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

/// This process has become the main one, and takes requests.
pub(super) fn main_process(id: u32) {
    tell(&format!("MAINPID={id}\nREADY=1"));
}

fn tell(state: &str) {
    let Some(socket) = socket() else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, state, "the service manager cannot be told");
    }
}

fn socket() -> Option<OsString> {
    std::env::var_os(SOCKET_VARIABLE).filter(|socket| !socket.is_empty())
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender
        .send_to_addr(state.as_bytes(), &address(socket)?)
        .map(|_| ())
}

/// A name that starts with `@` is one of Linux's abstract ones, any other a path.
#[cfg(target_os = "linux")]
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(socket)
}
