//! Networks: the operations, layers and weights that generators and classifiers are made of.

pub mod kernel;
