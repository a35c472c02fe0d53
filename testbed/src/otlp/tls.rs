//! Certificates for a test: a private authority, a server on this machine, and a client.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// An authority, and what it has signed, as files that are removed in the end.
#[derive(Debug)]
pub struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    /// Makes them all anew.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for certificates can be made");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("the name is one");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority can be made");
        let write = |name: &str, text: String| fs::write(dir.path().join(name), text).expect("it can be written");
        write("ca.pem", authority.pem());
        write("ca.key", authority.key().serialize_pem());
        let leaves = [
            ("server", vec!["localhost".to_owned()], ExtendedKeyUsagePurpose::ServerAuth),
            ("client", vec!["client".to_owned()], ExtendedKeyUsagePurpose::ClientAuth),
        ];
        for (name, names, usage) in leaves {
            let mut params = CertificateParams::new(names).expect("the names are names");
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().expect("a key can be made");
            let certificate = params.signed_by(&key, &authority).expect("it can be signed");
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self { dir }
    }

    /// The same, with a server that shows the certificate of the authority, for `localhost`, as one does that has signed its
    /// own.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn self_signed() -> Self {
        let this = Self::new();
        for ending in ["pem", "key"] {
            let file = |name: &str| this.dir.path().join(name).with_extension(ending);
            fs::copy(file("ca"), file("server")).expect("it can be copied");
        }
        this
    }

    /// The certificate of the authority.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The certificate of a client, and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("client.pem"), self.dir.path().join("client.key"))
    }

    /// A server for `localhost`, which takes clients of the authority only.
    pub(super) fn server(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.ca())).expect("the authority is one");
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let key = PrivateKeyDer::from_pem_file(self.dir.path().join("server.key")).expect("the key is one");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the usual versions")
            .with_client_cert_verifier(clients.expect("there is an authority"))
            .with_single_cert(vec![certificate(&self.dir.path().join("server.pem"))], key);
        Arc::new(config.expect("certificate and key go together"))
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("the certificate is one")
}
