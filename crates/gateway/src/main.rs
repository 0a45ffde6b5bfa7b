//! The program `api-gateway`.

fn main() {}
