//! A certificate that a server has made for itself, and what is wrong with it.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::crypto::ring;

use super::*;

/// The first and the last day of what is made here, in seconds.
const FROM: u64 = 1_577_836_800;
const UNTIL: u64 = 1_893_456_000;

/// One for `localhost`, as `openssl req -x509` makes it.
fn own_authority() -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

/// What is made of a certificate where these are trusted.
fn verified(
    shown: &CertificateDer<'_>,
    trusted: &[&CertificateDer<'static>],
    name: &str,
    at: u64,
) -> Result<(), Error> {
    let given: Vec<_> = trusted.iter().map(|one| (*one).clone()).collect();
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(given.clone());
    let trusted = Trusted::new(authorities, given, Arc::new(ring::default_provider())).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
    trusted.verify_server_cert(shown, &[], &ServerName::try_from(name).unwrap(), &[], now).map(|_| ())
}

#[test]
fn an_authority_that_was_given_may_be_the_server_itself() {
    let (own, other) = (own_authority(), own_authority());
    for at in [FROM, UNTIL] {
        assert_eq!(verified(&own, &[&other, &own], "localhost", at), Ok(()));
    }
    let error = verified(&own, &[&other], "localhost", FROM).unwrap_err();
    assert!(is_authority(&error), "what was not given is not trusted: {error}");
}

#[test]
fn its_name_and_its_dates_count_all_the_same() {
    let own = own_authority();
    for (name, at, is_told) in [
        ("other", FROM, (|error| matches!(error, CertificateError::NotValidForNameContext { .. })) as fn(&_) -> bool),
        ("localhost", FROM - 1, |error| matches!(error, CertificateError::NotValidYetContext { .. })),
        ("localhost", UNTIL + 1, |error| matches!(error, CertificateError::ExpiredContext { .. })),
    ] {
        let error = verified(&own, &[&own], name, at).unwrap_err();
        assert!(matches!(&error, Error::InvalidCertificate(reason) if is_told(reason)), "{name} at {at}: {error}");
    }
}
