//! What is in `deploy/`, held against schemas, rules and the programs that read it.

mod scripts;
mod tools;
