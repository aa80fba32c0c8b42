//! URLs that secrets are sent to.
//!
//! A [`Url`] can only be made from a text that leaves no doubt where it leads: `https`, or `http` to a
//! loopback address; no user name, no fragment, no character that two parsers read differently.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ureq::http::Uri;

/// The longest URL that is accepted, in bytes.
const MAX_LENGTH: usize = 4096;

/// The characters to encode in a query value: everything but RFC 3986's unreserved ones.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An absolute URL that secrets may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    host: String,
    /// The hosts that it might have led to without TLS, besides this machine.
    on_link: &'static [&'static str],
}

/// The reason for which a text is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not a URL at all; the reason in words.
    Malformed(&'static str),
    /// `http` to a host that is not a loopback address.
    NotHttps,
    /// Another scheme than `https` or `http`.
    OtherScheme,
    /// It holds a user name or password.
    UserInfo,
    /// It holds a fragment.
    Fragment,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(why) => why,
            Self::NotHttps => "it is http, and only loopback addresses may be reached without TLS",
            Self::OtherScheme => "its scheme is not https",
            Self::UserInfo => "it holds a user name",
            Self::Fragment => "it holds a fragment (#)",
        })
    }
}

impl Url {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Self::parse_on_link(text, &[])
    }

    /// Reads a URL that may also lead, without TLS, to one of these hosts of a cloud's own link. Nothing secret may be sent there,
    /// and a name is connected to only if its address is not a public one.
    pub fn parse_on_link(text: &str, on_link: &'static [&'static str]) -> Result<Self, Refusal> {
        if text.len() > MAX_LENGTH {
            return Err(Refusal::Malformed("it is too long"));
        }
        if text.contains('#') {
            return Err(Refusal::Fragment);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b)) {
            return Err(Refusal::Malformed("it holds a character that no URL may hold"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Refusal::Malformed("it does not begin with https://"));
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(Refusal::UserInfo);
        }
        let uri: Uri = text.parse().map_err(|_| Refusal::Malformed("it is not a URL"))?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if !is_host(&host) {
            return Err(Refusal::Malformed("its host is not a host name or IP address"));
        }
        // The library takes a port that does not fit for no port at all.
        let port = authority.get(host.len()..).unwrap_or_default();
        let is_port =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|p| p > 0);
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return Err(Refusal::Malformed("its port is not a port"));
        }
        let url = Self { uri, host, on_link };
        match scheme.to_ascii_lowercase().as_str() {
            "https" => Ok(url),
            "http" if url.is_loopback() || url.is_on_link() => Ok(url),
            "http" => Err(Refusal::NotHttps),
            _ => Err(Refusal::OtherScheme),
        }
    }

    /// The host in lower case, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Tells whether the host is `domain` or below it.
    pub fn is_under(&self, domain: &str) -> bool {
        self.host == domain
            || self.host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// Tells whether the host is a loopback address, or `localhost` (which is then connected to only if it resolves to one).
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || ip(&self.host).is_some_and(|ip| ip.is_loopback())
    }

    /// Tells whether the host is one of those of a cloud's own link that may be reached without TLS.
    pub fn is_on_link(&self) -> bool {
        self.on_link.contains(&self.host.as_str())
    }

    /// Tells whether the connection is made with TLS.
    pub fn is_https(&self) -> bool {
        self.uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// The port, named or implied.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    /// Scheme, host and, where it is not the scheme's own, port. Safe to show.
    pub fn origin(&self) -> String {
        let scheme = if self.is_https() { "https" } else { "http" };
        match self.uri.port_u16() {
            Some(port) if port != if self.is_https() { 443 } else { 80 } => {
                format!("{scheme}://{}:{port}", self.host)
            }
            _ => format!("{scheme}://{}", self.host),
        }
    }

    /// Returns the path, without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Tells whether there is nothing after the host, except perhaps a single slash.
    pub fn is_origin(&self) -> bool {
        self.uri.path() == "/" && self.uri.query().is_none()
    }

    /// The path on this origin.
    pub fn at(&self, path: &str) -> Result<Self, Refusal> {
        Self::parse_on_link(&format!("{}{path}", self.origin()), self.on_link)
    }

    /// Tells whether the query has a pair of this name.
    pub fn has_query_pair(&self, name: &str) -> bool {
        self.uri.query().unwrap_or_default().split('&').any(|pair| {
            let key = pair.split('=').next().unwrap_or_default();
            percent_decode_str(key).decode_utf8_lossy() == name
        })
    }

    /// The same URL with one more pair in its query. What is there already stays as it is.
    pub fn with_query_pair(&self, name: &str, value: &str) -> Result<Self, Refusal> {
        let text = self.uri.to_string();
        let joint = match self.uri.query() {
            None => "?",
            Some(query) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        let encode = |part| utf8_percent_encode(part, QUERY_VALUE);
        Self::parse_on_link(&format!("{text}{joint}{}={}", encode(name), encode(value)), self.on_link)
    }

    /// The form that the HTTP library takes.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// The IP address that a host is, if it is one. Only the canonical spelling counts: `127.1` or `0x7f000001` mean
/// different things to different programs.
pub(super) fn ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return ip(host).is_some();
    }
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_https_and_loopback_http_are_accepted() {
        for good in [
            "https://sts.eqix.equinix.com",
            "HTTPS://STS.EQIX.EQUINIX.COM/",
            "https://host:8443/a/b?c=d&e",
            "https://[2001:db8::1]:8443",
            "http://127.0.0.1:8080",
            "http://127.8.9.1",
            "http://localhost:1",
            "http://[::1]:8080/x",
        ] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        for (bad, refusal) in [
            ("http://sts.eqix.equinix.com", Refusal::NotHttps),
            ("http://localhost.evil.example", Refusal::NotHttps),
            ("http://127.0.0.1.evil.example", Refusal::NotHttps),
            ("http://127.1", Refusal::NotHttps),
            ("http://0x7f000001", Refusal::NotHttps),
            ("http://[::ffff:127.0.0.1]", Refusal::NotHttps),
            ("ftp://host", Refusal::OtherScheme),
            ("file:///etc/passwd", Refusal::Malformed("it is not a URL")),
            ("https://user@host", Refusal::UserInfo),
            ("https://user:password@host/", Refusal::UserInfo),
            ("https://sts.equinix.com@evil.example", Refusal::UserInfo),
            ("https://host/#frag", Refusal::Fragment),
            (
                "https://evil.example\\@sts.equinix.com",
                Refusal::Malformed("it holds a character that no URL may hold"),
            ),
            ("https://host/a b", Refusal::Malformed("it holds a character that no URL may hold")),
            ("https://host/\n", Refusal::Malformed("it holds a character that no URL may hold")),
            ("https://bücher.example", Refusal::Malformed("it holds a character that no URL may hold")),
            ("sts.eqix.equinix.com", Refusal::Malformed("it does not begin with https://")),
            ("https://ho%73t", Refusal::Malformed("it is not a URL")),
            ("https://ho*st", Refusal::Malformed("its host is not a host name or IP address")),
            ("https://host:99999", Refusal::Malformed("its port is not a port")),
            ("https://host:", Refusal::Malformed("its port is not a port")),
            ("https://host:0", Refusal::Malformed("its port is not a port")),
        ] {
            assert_eq!(Url::parse(bad).unwrap_err(), refusal, "{bad}");
        }
        for bad in ["", "https://", "https:///path", "https://host:4x", "https://[::1", "https://:443"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_are_what_they_should_be() {
        let url = Url::parse("https://Sts.Eqix.Equinix.com:443/x?y=1").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.origin().as_str()),
            ("sts.eqix.equinix.com", 443, "https://sts.eqix.equinix.com")
        );
        assert!(
            url.is_under("equinix.com")
                && url.is_under("sts.eqix.equinix.com")
                && !url.is_under("quinix.com")
        );
        assert!(!Url::parse("https://evilequinix.com").unwrap().is_under("equinix.com"));
        assert!(!Url::parse("https://equinix.com.evil.example").unwrap().is_under("equinix.com"));
        assert!(!url.is_origin() && Url::parse("https://h").unwrap().is_origin());
        assert_eq!(url.at("/use/token").unwrap().uri().to_string(), "https://sts.eqix.equinix.com/use/token");
        let local = Url::parse("http://127.0.0.1:81/").unwrap();
        assert_eq!((local.origin().as_str(), local.port()), ("http://127.0.0.1:81", 81));
        assert!(local.is_loopback() && !local.is_https() && local.is_origin());
    }

    #[test]
    fn a_host_of_the_link_is_reached_without_tls_where_it_is_asked_for() {
        let url = Url::parse_on_link("http://metadata.example/a", &["metadata.example"]).unwrap();
        assert!(url.is_on_link() && !url.is_loopback() && !url.is_https());
        let longer = url.with_query_pair("a", "b").unwrap();
        assert!(longer.is_on_link() && url.at("/x").unwrap().is_on_link());
        for other in
            ["http://x.metadata.example/", "http://metadata.example.evil.example/", "http://sts.example"]
        {
            assert_eq!(Url::parse_on_link(other, &["metadata.example"]).unwrap_err(), Refusal::NotHttps);
        }
        assert_eq!(Url::parse("http://metadata.example/a").unwrap_err(), Refusal::NotHttps);
        assert_eq!(Url::parse("http://169.254.169.254").unwrap_err(), Refusal::NotHttps);
    }

    #[test]
    fn a_query_pair_is_appended_to_what_is_there() {
        for (before, after) in [
            ("https://h/t?api-version=2.0", "https://h/t?api-version=2.0&audience=a%20b%26c"),
            ("https://h/t", "https://h/t?audience=a%20b%26c"),
            ("https://h", "https://h/?audience=a%20b%26c"),
            ("https://h/t?", "https://h/t?audience=a%20b%26c"),
            ("https://h/t?x&", "https://h/t?x&audience=a%20b%26c"),
        ] {
            let url = Url::parse(before).unwrap().with_query_pair("audience", "a b&c").unwrap();
            assert_eq!(url.uri().to_string(), after);
            assert!(url.has_query_pair("audience"));
        }
        assert!(Url::parse("https://h/?audi%65nce=x").unwrap().has_query_pair("audience"));
        assert!(!Url::parse("https://h/?xaudience=x").unwrap().has_query_pair("audience"));
    }

    proptest! {
        #[test]
        fn any_audience_comes_back_from_the_query(value in "\\PC{1,60}") {
            let url = Url::parse("https://h/t?v=1").unwrap().with_query_pair("audience", &value).unwrap();
            let text = url.uri().to_string();
            let pairs: Vec<&str> = text.split_once('?').unwrap().1.split('&').collect();
            prop_assert_eq!(pairs.len(), 2);
            let encoded = pairs[1].strip_prefix("audience=").unwrap();
            prop_assert_eq!(percent_decode_str(encoded).decode_utf8().unwrap(), value);
        }

        #[test]
        fn no_text_panics_and_no_http_leaves_the_machine(text in "(https?://)?[ -~]{0,40}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert!(url.is_https() || url.is_loopback());
            }
        }
    }
}
