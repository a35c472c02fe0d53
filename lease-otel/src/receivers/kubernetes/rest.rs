//! Reads of resources that are known only by name: lists by the page, watches from a version on.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kube::Client;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::trouble::Target;

/// A resource in one namespace, or in all of them, or in none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The API group; empty for the core group.
    pub(crate) group: String,
    /// The version.
    pub(crate) version: String,
    /// The name in the plural.
    pub(crate) plural: String,
    /// None for all of them, or for a resource that is in none.
    pub(crate) namespace: Option<String>,
}

/// What of it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selectors {
    /// As `kubectl -l` takes it.
    pub(crate) labels: Option<String>,
    /// As `kubectl --field-selector` takes it.
    pub(crate) fields: Option<String>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    #[serde(default)]
    pub(crate) metadata: PageMeta,
    #[serde(default = "Vec::new")]
    pub(crate) items: Vec<T>,
    /// The kind of the list: that of its items and `List`.
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default, rename = "apiVersion")]
    pub(crate) api_version: String,
}

/// Where a list is, and how it goes on.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageMeta {
    #[serde(default, rename = "resourceVersion")]
    pub(crate) version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

impl Resource {
    /// What is said of it.
    pub(crate) fn target(&self) -> Target {
        Target { group: self.group.clone(), resource: self.plural.clone(), namespace: self.namespace.clone() }
    }

    fn request(&self) -> Request {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        let namespace = self.namespace.as_ref().map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        Request::new(format!("{root}/{}{namespace}/{}", self.version, self.plural))
    }

    /// One page after the other; the whole list is never in memory unless the caller keeps it.
    pub(crate) fn pages<T: DeserializeOwned + Send + 'static>(
        &self,
        client: &Client,
        selectors: &Selectors,
        exactly: Option<&str>,
    ) -> BoxStream<'static, Result<Page<T>, kube::Error>> {
        let (request, client) = (self.request(), client.clone());
        let mut params = ListParams {
            label_selector: selectors.labels.clone(),
            field_selector: selectors.fields.clone(),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        if let Some(version) = exactly {
            params = params.at(version).matching(kube::api::VersionMatch::Exact);
        }
        let pages = futures_util::stream::try_unfold(Some(params), move |params| {
            let (request, client) = (request.clone(), client.clone());
            async move {
                let Some(mut params) = params else { return Ok(None) };
                let page: Page<T> = client.request(request.list(&params).map_err(kube::Error::BuildRequest)?).await?;
                let next = (!page.metadata.next.is_empty()).then(|| {
                    params.continue_token = Some(page.metadata.next.clone());
                    // A page that goes on is at the version of the first.
                    params.resource_version = None;
                    params.version_match = None;
                    params
                });
                Ok(Some((page, next)))
            }
        });
        pages.boxed()
    }

    /// The changes after this version, until the server ends the watch.
    pub(crate) async fn watch<T: Clone + DeserializeOwned + Send + 'static>(
        &self,
        client: &Client,
        selectors: &Selectors,
        version: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent<T>, kube::Error>>, kube::Error> {
        let params = WatchParams {
            label_selector: selectors.labels.clone(),
            field_selector: selectors.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = self.request().watch(&params, version).map_err(kube::Error::BuildRequest)?;
        Ok(client.request_events::<T>(request).await?.boxed())
    }
}

/// Objects of which whole ones are read may be large.
const PAGE: u32 = 100;
/// How long a watch lasts at most; less than that five minutes after which servers and what is before them give up.
pub(crate) const WATCH_SECONDS: u32 = 290;
