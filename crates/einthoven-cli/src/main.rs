//! The einthoven command: parse, dispatch, print the error, set the exit code.

fn main() {}
