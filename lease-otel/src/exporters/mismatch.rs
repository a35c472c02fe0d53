//! What is said of an endpoint that speaks something else than the exporter: what was expected, what is probably there,
//! and the way out.

use std::fmt;

use super::connect::ConnectError;

/// What an exporter speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// gRPC, over HTTP/2.
    Grpc,
    /// HTTP/1.
    Http,
}

/// What the peer of the latest connection has been heard to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Spoken {
    /// Nothing so far, or what is expected.
    #[default]
    Unknown,
    /// HTTP/1.
    Http1,
    /// HTTP/2: gRPC, most likely.
    Http2,
    /// TLS.
    Tls,
    /// Nothing: it broke the connection off.
    Silence,
    /// TLS, and that a client without a certificate is not taken.
    CertificateRequired,
    /// Nothing so far, though a TLS handshake has begun.
    Handshake,
    /// None of these.
    Other,
}

impl Spoken {
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Http1,
        Self::Http2,
        Self::Tls,
        Self::Silence,
        Self::CertificateRequired,
        Self::Handshake,
        Self::Other,
    ];

    /// What begins with these five bytes.
    pub(crate) fn of(first: &[u8]) -> Self {
        match first {
            [b'H', b'T', b'T', b'P', b'/'] => Self::Http1,
            // A frame SETTINGS, with which every server of HTTP/2 begins, or the frame GOAWAY of one that breaks off.
            [0, 0, _, 4 | 7, _] => Self::Http2,
            // An alert, or a part of a handshake; the version follows.
            [0x15 | 0x16, 3, ..] => Self::Tls,
            _ => Self::Other,
        }
    }

    /// Whether so few bytes tell already that it is none of the known ones: nothing more may come.
    pub(crate) fn is_other(begin: &[u8]) -> bool {
        match begin {
            [0x15 | 0x16, rest @ ..] => rest.first().is_some_and(|version| *version != 3),
            [0, rest @ ..] => rest.first().is_some_and(|length| *length != 0),
            _ => !b"HTTP/".starts_with(begin),
        }
    }

    /// The reverse of `as u8`.
    pub(crate) fn numbered(number: u8) -> Self {
        Self::ALL.into_iter().find(|spoken| *spoken as u8 == number).unwrap_or_default()
    }
}

impl Expected {
    const fn port(self) -> &'static str {
        match self {
            Self::Grpc => "OTLP over gRPC is usually at port 4317",
            Self::Http => "OTLP over HTTP is usually at port 4318",
        }
    }

    /// How to do without TLS.
    pub(crate) const fn without_tls(self) -> &'static str {
        match self {
            Self::Grpc => "set tls.insecure: true and write no https://",
            Self::Http => "write http://",
        }
    }

    /// What is said of a peer that is spoken to, if it is known to speak something else.
    pub(crate) fn instead(self, endpoint: impl fmt::Display, spoken: Spoken) -> Option<String> {
        let port = self.port();
        let said = match (self, spoken) {
            (_, Spoken::CertificateRequired) => {
                return Some(ConnectError::CertificateRequired { address: endpoint.to_string() }.to_string());
            }
            (Self::Grpc, Spoken::Http1) => {
                format!("speaks HTTP/1, not gRPC: {port}; for this endpoint use the exporter otlp_http")
            }
            (Self::Http, Spoken::Http2) => format!("speaks gRPC: {port}; for this endpoint use the exporter otlp_grpc"),
            (Self::Grpc, Spoken::Tls) => "speaks TLS: leave tls.insecure out, or write https://".to_owned(),
            (Self::Http, Spoken::Tls) => "speaks TLS: write https://".to_owned(),
            (Self::Grpc, Spoken::Silence) => {
                "takes connections and breaks them off without a word: it may speak HTTP/1, as at port 4318, which is \
                 for the exporter otlp_http, or TLS, which tls.insecure leaves out"
                    .to_owned()
            }
            (Self::Http, Spoken::Silence) => format!(
                "takes connections and breaks them off without a word: it may speak TLS, for which write https://, or \
                 be something else: {port}"
            ),
            (_, Spoken::Other) => format!("speaks neither HTTP nor TLS, so it is not a receiver of OTLP: {port}"),
            (_, Spoken::Handshake) => format!(
                "takes connections, but does not answer the TLS handshake: it may not speak TLS; if that is meant to \
                 be, {}",
                self.without_tls()
            ),
            (Self::Http, Spoken::Http1) | (Self::Grpc, Spoken::Http2) | (_, Spoken::Unknown) => return None,
        };
        Some(format!("`{endpoint}` {said}"))
    }

    /// What is said of a peer that speaks this where TLS is expected.
    pub(crate) fn instead_of_tls(self, endpoint: impl fmt::Display, spoken: Spoken) -> Option<String> {
        let (port, without_tls) = (self.port(), self.without_tls());
        let said = match (self, spoken) {
            (Self::Grpc, Spoken::Http1) => {
                format!(
                    "does not speak TLS, but HTTP/1: {port}; for this endpoint use the exporter otlp_http with http://"
                )
            }
            (Self::Http, Spoken::Http2) => format!(
                "does not speak TLS, but gRPC without it: {port}; for this endpoint use the exporter otlp_grpc with \
                 tls.insecure: true"
            ),
            (Self::Grpc, Spoken::Http2) | (Self::Http, Spoken::Http1) => {
                format!("does not speak TLS; if that is meant to be, {without_tls}")
            }
            (_, Spoken::Other) => {
                format!("speaks neither TLS nor HTTP, so it is not a receiver of OTLP: {port}")
            }
            (_, Spoken::Silence) => format!(
                "takes connections and breaks them off at the TLS handshake: it may not speak TLS; if that is meant to \
                 be, {without_tls}"
            ),
            _ => return None,
        };
        Some(format!("`{endpoint}` {said}"))
    }

    /// What is said of a peer that has the TLS, and not the protocol in it.
    pub(crate) fn instead_in_tls(self, endpoint: impl fmt::Display) -> String {
        let port = self.port();
        match self {
            Self::Grpc => format!(
                "`{endpoint}` speaks TLS, but not HTTP/2 in it, which gRPC needs: {port}; for this endpoint use the \
                 exporter otlp_http"
            ),
            Self::Http => format!(
                "`{endpoint}` speaks TLS, but not HTTP/1 in it, and is probably for gRPC: {port}; for this endpoint use \
                 the exporter otlp_grpc"
            ),
        }
    }

    /// What is said of a peer that has the version of HTTP, but answered as a web server does.
    pub(crate) fn web_server(endpoint: impl fmt::Display, status: &str) -> String {
        let port = Self::Grpc.port();
        format!(
            "`{endpoint}` speaks HTTP/2, but not gRPC, and answers {status}: {port}; for this endpoint use the exporter \
             otlp_http"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_it_was_made_of() {
        for spoken in Spoken::ALL {
            assert_eq!(Spoken::numbered(spoken as u8), spoken);
        }
    }

    #[test]
    fn one_byte_can_be_enough() {
        assert!(Spoken::is_other(b"+") && Spoken::is_other(b"HH") && Spoken::is_other(b"\x16\x04"));
    }

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        for (first, spoken) in [
            (b"HTTP/", Spoken::Http1),
            (b"\0\0\x12\x04\0", Spoken::Http2),
            (b"\0\0\x08\x07\0", Spoken::Http2),
            (b"\x15\x03\x03\0\x02", Spoken::Tls),
            (b"\x16\x03\x03\0\x7a", Spoken::Tls),
            (b"SSH-2", Spoken::Other),
            (b"\0\0\x12\0\0", Spoken::Other),
        ] {
            assert_eq!(Spoken::of(first), spoken, "{first:?}");
            for length in 1..first.len() {
                assert!(spoken == Spoken::Other || !Spoken::is_other(&first[..length]), "{first:?}");
            }
        }
    }
}
