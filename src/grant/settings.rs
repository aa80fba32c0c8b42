//! What a grant has to know.

use crate::grant::token_exchange::Api;
use crate::http::url::Url;

/// What is asked for, and where.
#[derive(Debug)]
pub struct ExchangeSettings {
    /// The scope to ask for.
    pub scope: Option<String>,
    /// The STS.
    pub sts_endpoint: Url,
    /// Its API version.
    pub sts_api: Api,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
    /// What should be said about these settings.
    pub warnings: Vec<String>,
}
