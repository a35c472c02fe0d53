//! The `Authorization` header: fixed, from a file that is re-read, or from a plugin.
//!
//! Bearer tokens are read here and not by `kube`, because its layer reloads a file once a minute whatever
//! the server says, and takes a token with a line end for one that cannot be sent. Everything else
//! (basic authentication, plugins, impersonation) is asked of `kube`'s layers, which see a request that
//! goes nowhere.

use std::fmt;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body_util::Empty;
use kube::client::{AuthError, ConfigExt};
use kube::config::{AuthInfo, Config};
use secrecy::ExposeSecret;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt};

use crate::K8sError;

/// Who we are, as a header.
pub(crate) enum Credentials {
    /// The same for as long as the configuration is.
    Fixed(Option<HeaderValue>),
    /// A file that somebody else rotates.
    File(TokenFile),
    /// Something of `kube`'s that may run a program.
    Plugin { name: String, service: BoxCloneSyncService<Request<Empty<Bytes>>, Response<()>, BoxError> },
}

/// A file with a token, and what was in it last.
pub(crate) struct TokenFile {
    path: PathBuf,
    read: Mutex<(HeaderValue, Instant)>,
}

impl Credentials {
    /// Reads what the configuration names. May run a credential plugin, and then blocks until it is done.
    pub(crate) fn load(config: &Config) -> Result<Self, K8sError> {
        let info = &config.auth_info;
        // The precedence is client-go's and kube's: provider, basic, token, token file, plugin.
        let basic = info.username.is_some() && info.password.is_some();
        if info.auth_provider.is_none() && !basic {
            if let Some(token) = &info.token {
                return Ok(Self::Fixed(Some(bearer(token.expose_secret())?)));
            }
            if let Some(path) = &info.token_file {
                return TokenFile::open(path.into()).map(Self::File);
            }
        }
        let name = plugin_name(info);
        let layer = config.auth_layer().map_err(|error| plugin_error(&name, &error))?;
        Ok(layer.map_or(Self::Fixed(None), |layer| {
            let service = layer.layer(tower::service_fn(show_headers));
            Self::Plugin { name, service: BoxCloneSyncService::new(service) }
        }))
    }

    /// The header to send now. A token file is re-read when a minute has passed.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, K8sError> {
        match self {
            Self::Fixed(header) => Ok(header.clone()),
            Self::File(file) => Ok(Some(file.header())),
            Self::Plugin { name, service } => {
                let failed = |_| K8sError::Plugin { plugin: name.clone(), reason: "it gave no new token" };
                let shown = service.clone().oneshot(Request::new(Empty::new())).await.map_err(failed)?;
                Ok(shown.headers().get(AUTHORIZATION).cloned())
            }
        }
    }

    /// Reads a token file at once, because the server has `refused` what it held. Whether there is
    /// another token now; none when this is no token file.
    pub(crate) fn reread(&self, refused: Option<&HeaderValue>) -> Option<bool> {
        match self {
            Self::File(file) => {
                file.reread();
                Some(refused != Some(&file.header()))
            }
            Self::Fixed(_) | Self::Plugin { .. } => None,
        }
    }
}

/// Names where the header comes from, and nothing of it.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(None) => f.write_str("none"),
            Self::Fixed(Some(_)) => f.write_str("token"),
            Self::File(file) => write!(f, "token file {}", file.path.display()),
            Self::Plugin { name, .. } => write!(f, "plugin {name:?}"),
        }
    }
}

impl TokenFile {
    fn open(path: PathBuf) -> Result<Self, K8sError> {
        let token =
            std::fs::read_to_string(&path).map_err(|source| K8sError::TokenFile { path: path.clone(), source })?;
        Ok(Self { read: Mutex::new((bearer(&token)?, Instant::now())), path })
    }

    fn header(&self) -> HeaderValue {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.1.elapsed() < TOKEN_FILE_AGE_MAX {
            return read.0.clone();
        }
        drop(read);
        self.reread();
        self.read.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Keeps the last token when the file cannot be read: some programs remove it after the start
    /// (<https://github.com/kubernetes/kubernetes/issues/68164>).
    fn reread(&self) {
        let token = std::fs::read_to_string(&self.path).ok().and_then(|token| bearer(&token).ok());
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.1 = Instant::now();
        if let Some(header) = token {
            read.0 = header;
        }
    }
}

/// What the configuration adds to every request: its own headers, and whom to impersonate.
pub(crate) fn extra_headers(config: &Config) -> Result<Vec<(HeaderName, HeaderValue)>, K8sError> {
    let layer = config.extra_headers_layer().map_err(|error| K8sError::Tls(Box::new(error)))?;
    let service = layer.layer(tower::service_fn(show_headers));
    let shown = service.oneshot(Request::new(Empty::new())).now_or_never();
    let headers = shown.and_then(Result::ok).map(|shown| shown.into_parts().0.headers);
    let headers: HeaderMap = headers.expect("the layer only adds headers, and the service below is always ready");
    let mut last = None;
    Ok(headers
        .into_iter()
        .map(|(name, value)| {
            // A header map names the first of several values only.
            last = name.or(last.take());
            (last.clone().expect("the first value of a header has its name"), value)
        })
        .collect())
}

fn show_headers(request: Request<Empty<Bytes>>) -> Ready<Result<Response<()>, BoxError>> {
    let mut response = Response::new(());
    *response.headers_mut() = request.into_parts().0.headers;
    ready(Ok(response))
}

/// Line ends around a token are cut off, as client-go does (`transport.fileTokenSource`).
fn bearer(token: &str) -> Result<HeaderValue, K8sError> {
    let mut header =
        HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| K8sError::TokenCharacters)?;
    header.set_sensitive(true);
    Ok(header)
}

fn plugin_name(info: &AuthInfo) -> String {
    let provider = info.auth_provider.as_ref().map(|provider| provider.name.clone());
    provider.or_else(|| info.exec.as_ref()?.command.clone()).unwrap_or_default()
}

/// kube's own text would quote what the plugin printed, and that may be a token.
fn plugin_error(name: &str, error: &kube::Error) -> K8sError {
    let reason = match error {
        kube::Error::Auth(AuthError::AuthExecStart(_)) => "it cannot be started",
        kube::Error::Auth(AuthError::AuthExecRun { .. }) => "it ended with an error",
        kube::Error::Auth(AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed) => {
            "what it printed is not an ExecCredential"
        }
        kube::Error::Auth(AuthError::MissingCommand) => "the kubeconfig names no command",
        kube::Error::Auth(AuthError::MalformedTokenExpirationDate(_)) => "its expiry is not a time",
        _ => "it is not supported or gave no credentials",
    };
    K8sError::Plugin { plugin: name.to_owned(), reason }
}

/// How long a token is used before the file is looked at again, as in client-go.
const TOKEN_FILE_AGE_MAX: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_loses_its_line_end_and_is_never_shown() {
        let header = bearer("canary-1\n").expect("a good token");
        assert_eq!(header.as_bytes(), b"Bearer canary-1");
        assert!(!format!("{header:?}").contains("canary"));
        assert!(matches!(bearer("a\nb"), Err(K8sError::TokenCharacters)));
    }

    #[test]
    fn extra_headers_keep_every_value_of_a_name() {
        let mut config = Config::new(http::Uri::from_static("http://localhost"));
        config.auth_info.impersonate = Some("jane".to_owned());
        config.auth_info.impersonate_groups = Some(vec!["a".to_owned(), "b".to_owned()]);
        let headers = extra_headers(&config).expect("good headers");
        let groups: Vec<_> = headers.iter().filter(|(name, _)| name == "impersonate-group").collect();
        assert_eq!((headers.len(), groups.len()), (3, 2));
    }
}
