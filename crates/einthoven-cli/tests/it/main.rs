//! The integration tests of the command: they drive the built binary.

mod command;
mod convert;
mod experiment;
mod failure;
mod fetch;
mod inspect;
mod list;
mod sample;
mod verbs;
