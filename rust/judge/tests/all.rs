//! The judge's answers: one program, since each of its own would have the same crates compiled into it and linked anew.

#[path = "../../fuzz/bodies.rs"]
mod bodies;
mod common;
mod compare;
mod isolation;
mod nearly;
mod properties;
mod questions;
mod seeds;
mod sites;
mod vectors;
