//! Which proxy a request goes through, decided here and nowhere else (S-23).
//!
//! The HTTP library's own reading of the environment differs from what users know from curl: it prefers
//! `ALL_PROXY`, uses `HTTP_PROXY` for https, skips an invalid value silently and does not trim `NO_PROXY`.

use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::secret::Secret;

use super::url::{Url, ip};

/// The proxy settings of a run.
#[derive(Debug, Default)]
pub struct ProxySettings {
    proxy: Option<Proxy>,
    exempt: Vec<String>,
}

/// A proxy as the user wrote it.
#[derive(Debug)]
pub struct Proxy {
    /// The URL as given, which may hold a password.
    pub url: Secret,
    /// Scheme, host and port without credentials: safe to show.
    pub shown: String,
    /// The variable it came from.
    pub variable: &'static str,
    /// The password, so that it can be kept out of every message.
    pub password: Option<Secret>,
}

impl ProxySettings {
    /// Reads `https_proxy`, `HTTPS_PROXY`, `no_proxy` and `NO_PROXY`; the lower-case forms win, as in curl.
    pub fn from_env(env: &Env) -> Result<Self, Error> {
        let first =
            |lower: &'static str, upper: &'static str| -> Result<Option<(&'static str, String)>, Error> {
                for name in [lower, upper] {
                    if let Some(value) = env.text(name)? {
                        return Ok(Some((name, value)));
                    }
                }
                Ok(None)
            };
        let proxy = first(names::HTTPS_PROXY_LOWER, names::HTTPS_PROXY)?
            .map(|(variable, value)| Proxy::parse(variable, &value))
            .transpose()?;
        let exempt = first(names::NO_PROXY_LOWER, names::NO_PROXY)?.map(|(_, value)| {
            value
                .split(',')
                .map(|entry| entry.trim().to_ascii_lowercase())
                .filter(|e| !e.is_empty())
                .collect()
        });
        Ok(Self { proxy, exempt: exempt.unwrap_or_default() })
    }

    /// The proxy, whether or not a host is exempt from it.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The proxy for this URL. Loopback addresses are never proxied: no proxy can reach them.
    pub fn for_url(&self, url: &Url) -> Option<&Proxy> {
        if url.is_loopback() || self.exempt.iter().any(|entry| is_exempt(entry, url.host(), url.port())) {
            return None;
        }
        self.proxy.as_ref()
    }
}

impl Proxy {
    fn parse(variable: &'static str, value: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            Error::new(Code::CfgProxyInvalid, format!("{variable} does not hold the URL of a proxy: {why}"))
                .with_cure(format!(
                    "Set {variable} to http://host:port, or pass --no-proxy to connect directly."
                ))
        };
        let value = value.trim();
        // curl takes `host:port` for an http proxy, and people write it so.
        let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(invalid("only http and https proxies are supported"));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, address) = authority.rsplit_once('@').map_or((None, authority), |(u, a)| (Some(u), a));
        // The checks for hosts and ports are those of every other URL; https spares the loopback rule.
        let probe = Url::parse(&format!("https://{address}")).map_err(|why| invalid(&why.to_string()))?;
        if ureq::Proxy::new(&text).is_err() {
            return Err(invalid("it is not a URL"));
        }
        let port =
            address.rsplit_once(':').filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit())).map(|(_, p)| p);
        let shown = match port {
            Some(port) => format!("{scheme}://{}:{port}", probe.host()),
            None => format!("{scheme}://{}", probe.host()),
        };
        let password = user.and_then(|u| u.split_once(':')).map(|(_, password)| Secret::new(password));
        Ok(Self { url: Secret::new(text), shown, variable, password })
    }
}

/// Whether an entry of `NO_PROXY` covers a host: `*`, the host itself or a domain above it, an IP address; each with
/// or without a port. A leading dot or `*.` changes nothing.
fn is_exempt(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let whole = ip(entry).is_some() || ip(&format!("[{entry}]")).is_some();
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, digits))
            if !whole && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (name, digits.parse::<u16>().ok())
        }
        _ => (entry, Some(port)),
    };
    if wanted != Some(port) {
        return false;
    }
    if let Some(address) = ip(host) {
        return ip(name).or_else(|| ip(&format!("[{name}]"))) == Some(address);
    }
    let name = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(name);
    host == name || host.strip_suffix(name).is_some_and(|rest| !name.is_empty() && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<ProxySettings, Error> {
        ProxySettings::from_env(&Env::fixed(pairs.iter().copied()))
    }

    fn via(pairs: &[(&str, &str)], url: &str) -> Option<String> {
        settings(pairs).unwrap().for_url(&Url::parse(url).unwrap()).map(|proxy| proxy.shown.clone())
    }

    #[test]
    fn the_https_variables_count_and_no_others() {
        let sts = "https://sts.eqix.equinix.com";
        let shown = Some("http://proxy:3128".to_owned());
        assert_eq!(via(&[("HTTPS_PROXY", "http://proxy:3128")], sts), shown);
        assert_eq!(via(&[("HTTPS_PROXY", "http://other"), ("https_proxy", "proxy:3128")], sts), shown);
        assert_eq!(via(&[("HTTPS_PROXY", " https://Proxy ")], sts).as_deref(), Some("https://proxy"));
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            assert_eq!(via(&[(name, "http://proxy:3128")], sts), None, "{name}");
        }
    }

    #[test]
    fn loopback_is_never_proxied() {
        for url in ["http://127.0.0.1:80", "https://localhost", "https://[::1]:8443"] {
            assert_eq!(via(&[("HTTPS_PROXY", "http://proxy:3128")], url), None);
        }
    }

    #[test]
    fn no_proxy_is_trimmed_and_matches_whole_labels() {
        for (entry, exempt) in [
            ("*", true),
            ("equinix.com", true),
            (".equinix.com", true),
            ("*.equinix.com", true),
            ("a.example , EQUINIX.com ", true),
            ("sts.eqix.equinix.com:443", true),
            ("sts.eqix.equinix.com:8443", false),
            ("quinix.com", false),
            ("eqix", false),
            ("10.0.0.1", false),
            (",,", false),
        ] {
            let found =
                via(&[("HTTPS_PROXY", "http://proxy"), ("NO_PROXY", entry)], "https://sts.eqix.equinix.com");
            assert_eq!(found.is_none(), exempt, "{entry}");
        }
        for (entry, exempt) in
            [("10.0.0.1", true), ("10.0.0.1:8443", true), ("10.0.0.1:1", false), ("0.0.1", false)]
        {
            let found = via(&[("HTTPS_PROXY", "http://proxy"), ("no_proxy", entry)], "https://10.0.0.1:8443");
            assert_eq!(found.is_none(), exempt, "{entry}");
        }
        for entry in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            let found = via(&[("HTTPS_PROXY", "http://proxy"), ("no_proxy", entry)], "https://[2001:db8::1]");
            assert_eq!(found, None, "{entry}");
        }
    }

    #[test]
    fn an_invalid_proxy_is_an_error_that_does_not_show_it() {
        for value in
            ["socks5://user:hush@proxy", "http://", "http://user:hush@", "ht tp://hush", "http://proxy:99999"]
        {
            let error = settings(&[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(error.code(), Code::CfgProxyInvalid, "{value}");
            assert!(!error.message().contains("hush"), "{}", error.message());
        }
    }

    #[test]
    fn credentials_are_kept_but_not_shown() {
        let settings = settings(&[("HTTPS_PROXY", "http://user:hush@proxy:3128")]).unwrap();
        let proxy = settings.proxy().unwrap();
        assert_eq!(proxy.shown, "http://proxy:3128");
        assert_eq!(proxy.password.as_ref().unwrap().reveal(), "hush");
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
