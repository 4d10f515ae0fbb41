//! ragtune in a window.

fn main() {}
