//! What was recorded: leads with names, units, gain and sampling rate, and annotations.
