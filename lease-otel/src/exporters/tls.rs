//! The section `tls` of an exporter: whom it trusts, and who it is.

mod verify;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

pub(super) use self::verify::is_authority;
use self::verify::{AnyServer, Trusted};
use crate::component::StartError;
use crate::config::{Fields, Thing};

/// The section `tls`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    /// No TLS, unless the endpoint or a certificate authority asks for it.
    pub(crate) insecure: bool,
    insecure_skip_verify: bool,
    include_system_cas: bool,
    ca: Option<Pem>,
    cert: Option<Pem>,
    key: Option<Pem>,
    /// The name that the certificate must have, instead of the host of the endpoint.
    pub(crate) server_name: Option<String>,
    versions: Versions,
}

/// Something in PEM form: a file, or the text itself, which may be a secret.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Text(String),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text"),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Versions {
    #[default]
    All,
    Only12,
    Only13,
}

/// A PEM file cannot be used.
#[derive(Debug, thiserror::Error)]
enum PemError {
    #[error("tls.{key}: `{}` cannot be read: {source}", path.display())]
    Read { key: &'static str, path: PathBuf, source: io::Error },
    #[error("tls.{key} holds no {what} in PEM form")]
    Empty { key: &'static str, what: &'static str },
    #[error("tls.{key} is not in PEM form: {reason}")]
    Form { key: &'static str, reason: String },
}

/// Whether what is to be a path is the text itself: it may be a key, which no error about a path is to show.
pub(crate) fn is_pem(path: &str) -> bool {
    path.contains("-----BEGIN")
}

/// What is said of it.
pub(crate) const PEM_NOT_PATH: &str = "the path of a file is expected here, not what the file holds";

impl TlsSettings {
    /// Reads the section of an exporter, which may be missing.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Self {
        let Some(mut section) = fields.section("tls") else { return Self::default() };
        let mut pem = |file: &'static str, text: &'static str| {
            let path = section.text(file).filter(|path| !path.value.is_empty());
            if path.as_ref().is_some_and(|path| is_pem(&path.value)) {
                section.error(file, format_args!("{PEM_NOT_PATH}; write it as `{text}`"));
                return None;
            }
            let inline = section.text(text).filter(|text| !text.value.is_empty());
            match (path, inline) {
                (Some(_), Some(_)) => {
                    section.error(text, format_args!("give `{file}` or `{text}`, not both"));
                    None
                }
                (Some(path), None) => {
                    section.names(file, Thing::File(path.value.clone().into()));
                    Some(Pem::File(path.value.into()))
                }
                (None, inline) => inline.map(|text| Pem::Text(text.value)),
            }
        };
        let ca = pem("ca_file", "ca_pem");
        let cert = pem("cert_file", "cert_pem");
        let key = pem("key_file", "key_pem");
        if cert.is_some() != key.is_some() {
            let (there, missing) = if cert.is_some() { ("cert_file", "key_file") } else { ("key_file", "cert_file") };
            section.error(there, format_args!("a client certificate needs its key: `{missing}` is missing"));
        }
        let settings = Self {
            insecure: section.truth("insecure").unwrap_or_default(),
            insecure_skip_verify: section.truth("insecure_skip_verify").unwrap_or_default(),
            include_system_cas: section.truth("include_system_ca_certs_pool").unwrap_or_default(),
            ca,
            cert,
            key,
            server_name: section.text("server_name_override").map(|name| name.value).filter(|name| !name.is_empty()),
            versions: versions(&mut section),
        };
        section.accepted(&["cipher_suites", "reload_interval", "curve_preferences", "tpm"]);
        section.finish();
        settings
    }

    /// TLS with whoever answers.
    #[cfg(test)]
    pub(crate) fn any_server() -> Self {
        Self { insecure_skip_verify: true, ..Self::default() }
    }

    /// No TLS.
    pub(crate) fn plain() -> Self {
        Self { insecure: true, ..Self::default() }
    }

    /// TLS with files in PEM form: a certificate authority instead of those of the system, and a certificate and its key.
    pub(crate) fn of_files(ca: Option<String>, client: Option<(String, String)>) -> Self {
        let file = |path: String| Pem::File(path.into());
        let (cert, key) = client.unzip();
        Self { ca: ca.map(file), cert: cert.map(file), key: key.map(file), ..Self::default() }
    }

    /// Whoever asks for certificates and sends without TLS is to know that nothing is encrypted.
    pub(crate) fn warn_that_it_is_without(&self, fields: &mut Fields<'_>) {
        let Self { ca, cert, server_name, insecure_skip_verify, include_system_cas, .. } = self;
        let wants = ca.is_some() || cert.is_some() || server_name.is_some();
        if wants || *insecure_skip_verify || *include_system_cas || self.versions != Versions::All {
            fields.warning("tls", "has no effect: the endpoint is without TLS, and nothing is encrypted");
        }
    }

    /// Whether connections without TLS are what is asked for, by the rule of the reference.
    pub(crate) fn is_plain(&self) -> bool {
        self.insecure && self.ca.is_none()
    }

    /// Reads the files, and says what is wrong with them. The protocol is what TLS is to carry, as ALPN names it.
    pub(crate) fn load(&self, protocol: &str) -> Result<Arc<ClientConfig>, StartError> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = match self.versions {
            Versions::All => rustls::ALL_VERSIONS,
            Versions::Only12 => &[&rustls::version::TLS12],
            Versions::Only13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure_skip_verify {
            Arc::new(AnyServer { provider })
        } else {
            let given = self.ca.as_ref().map(|ca| certificates(ca, "ca_file")).transpose()?.unwrap_or_default();
            Arc::new(Trusted::new(self.roots(&given)?, given, provider)?)
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert, "cert_file")?;
                let key = private_key(key)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("tls.cert_file and tls.key_file do not go together: {error}"))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self, given: &[CertificateDer<'static>]) -> Result<RootCertStore, StartError> {
        let mut roots = RootCertStore::empty();
        for certificate in given {
            roots.add(certificate.clone()).map_err(|error| format!("tls.ca_file: {error}"))?;
        }
        if self.ca.is_none() || self.include_system_cas {
            // Single certificates of a system that cannot be read are no reason to do without all others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() {
            return Err("this system has no certificate authorities; give one with tls.ca_file, \
                        or set tls.insecure: true for an endpoint without TLS"
                .into());
        }
        Ok(roots)
    }
}

fn versions(section: &mut Fields<'_>) -> Versions {
    let words = [("1.0", 10), ("1.1", 11), ("1.2", 12), ("1.3", 13)];
    let least = section.word("min_version", &words).unwrap_or(12);
    let most = section.word("max_version", &words).unwrap_or(13);
    match (least, most) {
        (13, 13) => Versions::Only13,
        (..=12, 12) => Versions::Only12,
        (..=12, 13) => Versions::All,
        (_, most) => {
            let message = if most < 12 { "TLS below 1.2 is not spoken here" } else { "it is below `min_version`" };
            section.error("max_version", message);
            Versions::All
        }
    }
}

impl Pem {
    fn read(&self, key: &'static str) -> Result<Vec<u8>, PemError> {
        match self {
            Self::File(path) => {
                std::fs::read(path).map_err(|source| PemError::Read { key, path: Path::to_path_buf(path), source })
            }
            Self::Text(text) => Ok(text.clone().into_bytes()),
        }
    }
}

fn certificates(pem: &Pem, key: &'static str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let bytes = pem.read(key)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| PemError::Form { key, reason: error.to_string() })?;
    if found.is_empty() { Err(PemError::Empty { key, what: "certificate" }) } else { Ok(found) }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, PemError> {
    let key = "key_file";
    let bytes = pem.read(key)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => PemError::Empty { key, what: "private key" },
        // What it says of the text could be a part of the key.
        _ => PemError::Form { key, reason: "no private key can be read from it".to_owned() },
    })
}
