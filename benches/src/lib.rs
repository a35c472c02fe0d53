//! Side-by-side runs against peers; the microbenchmarks are in `benches/`.

pub mod compare;
