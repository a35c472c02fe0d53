//! The receivers: where telemetry comes from.

mod creator;
mod dummy;
pub mod exec;
mod hand_over;
pub(crate) mod kubernetes;

pub mod k8s_cluster;
pub mod k8s_events;
pub mod k8sobjects;
pub mod kymastats;

#[cfg(test)]
mod live;
#[cfg(test)]
mod testing;

pub use self::creator::CreatorFactory;
pub use self::dummy::DummyFactory;

#[cfg(test)]
mod tests {
    #[test]
    fn the_receivers_of_kubernetes_are_registered_by_every_name() {
        let registry = crate::registry();
        for (name, kind) in [
            ("k8s_cluster", "k8s_cluster"),
            ("kymastats", "kymastats"),
            ("k8s_events", "k8s_events"),
            ("k8sobjects", "k8sobjects"),
            ("k8s_objects", "k8sobjects"),
        ] {
            assert_eq!(registry.receiver(name).map(|factory| factory.kind().name), Some(kind));
        }
    }
}
