//! A lock in memory.
