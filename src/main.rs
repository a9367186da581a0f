//! The redis-hive binary.

fn main() {}
