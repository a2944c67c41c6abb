//! The integration tests of the command: they drive the built binary.

mod augment;
mod check;
mod command;
mod conditions;
mod convert;
mod delineate;
mod editing;
mod experiment;
mod failure;
mod fetch;
mod generation;
mod impute;
mod inspect;
mod list;
mod names;
mod plot;
mod published_classifier;
mod qrs;
mod sample;
mod simulate;
mod verbs;
