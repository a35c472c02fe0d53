//! The conformance suite on the lock in memory.

mod broken;
mod faults;
mod harness;

mod fine {
    use crate::harness::Memory;
    use lease_core::Constraints;

    lease_core::conformance_tests!(
        Memory::threaded(Constraints::FINE, |lock| lock),
        [base, delete, tokens, watch, lost_reply, foreign_fields, malformed]
    );
}

mod whole_seconds {
    use crate::harness::Memory;
    use lease_core::Constraints;

    lease_core::conformance_tests!(
        Memory::paused(Constraints::WHOLE_SECONDS, |lock| lock),
        [base, delete, tokens, watch, lost_reply, foreign_fields, malformed]
    );
}
