//! The kinds of components that a collector has.

use crate::component::Registry;
use crate::exporters::debug::Debug;
use crate::exporters::file::File;
use crate::exporters::otlp_grpc::OtlpGrpc;
use crate::exporters::otlp_http::OtlpHttp;
use crate::processors::batch::BatchKind;
use crate::processors::memory_limiter::MemoryLimiter;

/// All kinds that are built in.
pub fn registry() -> Registry {
    Registry::default()
        .with_processor(BatchKind)
        .with_processor(MemoryLimiter)
        .with_exporter(Debug)
        .with_exporter(File)
        .with_exporter(OtlpGrpc)
        .with_exporter(OtlpHttp)
}
