//! Side-by-side runs against peers, and the hot paths; `benches/` looks at those in detail.

pub mod compare;
pub mod hot_paths;
