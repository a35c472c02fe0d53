//! The program `lease`.
fn main() {}
