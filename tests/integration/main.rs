//! Behaviour of the real program over real sockets.
#![allow(missing_docs)]
