//! Leader election as a state machine.
