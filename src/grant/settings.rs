//! The settings of a grant.

use crate::grant::token_exchange::Api;
use crate::http::url::Url;

/// The settings of the request to the STS.
#[derive(Debug)]
pub struct ExchangeSettings {
    /// The scope to ask for.
    pub scope: Option<String>,
    /// The STS.
    pub sts_endpoint: Url,
    /// The variable that named an STS on this machine without TLS: it gets tokens of issuers on this machine, and no others.
    pub local_issuers_only: Option<&'static str>,
    /// Its API version.
    pub sts_api: Api,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
    /// Warnings about these settings.
    pub warnings: Vec<String>,
}
