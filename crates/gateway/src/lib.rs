//! The gateway as a library: `main.rs` is a thin shell around [`cli`].
