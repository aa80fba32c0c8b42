//! Chooses the proxy of a request, here and nowhere else, and opens the tunnel through it.
//!
//! The HTTP library's own reading of the environment differs from what users know from curl: it prefers
//! `ALL_PROXY`, uses `HTTP_PROXY` for https, skips an invalid value silently and does not trim `NO_PROXY`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::secret::Secret;

use super::fault::Fault;
use super::url::{Url, ip};
use super::{MAX_HEADERS, USER_AGENT};

/// The proxy settings of a run.
#[derive(Debug, Default)]
pub struct ProxySettings {
    proxy: Option<Proxy>,
    exempt: Vec<String>,
}

/// A proxy as the user wrote it.
#[derive(Debug)]
pub struct Proxy {
    /// The host name or IP address, an IPv6 address in brackets.
    pub host: String,
    /// The port, named or implied.
    pub port: u16,
    /// True if it is spoken to over TLS.
    pub is_https: bool,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<Arc<Secret>>,
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
                .split(|c: char| c == ',' || c.is_whitespace())
                .map(str::to_ascii_lowercase)
                .filter(|e| !e.is_empty())
                .collect()
        });
        Ok(Self { proxy, exempt: exempt.unwrap_or_default() })
    }

    /// The proxy, whether or not a host is exempt from it.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The proxy for this URL. Loopback addresses and hosts of a cloud's own link are never proxied: no proxy can reach this
    /// machine's.
    pub fn for_url(&self, url: &Url) -> Option<&Proxy> {
        if url.is_loopback()
            || url.is_on_link()
            || self.exempt.iter().any(|entry| is_exempt(entry, url.host(), url.port()))
        {
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
        // A sign that ends the authority too early, and half of the password would pass for a host.
        if rest.strip_prefix(authority).is_some_and(|path| path.contains('@')) {
            return Err(invalid("a /, ? or # in its user name or password has to be percent-encoded"));
        }
        let (user, address) = authority.rsplit_once('@').map_or((None, authority), |(u, a)| (Some(u), a));
        // The checks for hosts and ports are those of every other URL; https spares the loopback rule.
        let probe = Url::parse(&format!("https://{address}")).map_err(|why| invalid(&why.to_string()))?;
        let named =
            address.rsplit_once(':').filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit())).map(|(_, p)| p);
        let host = probe.host().to_owned();
        let (shown, port) = match named {
            Some(port) => (format!("{scheme}://{host}:{port}"), probe.port()),
            None => (format!("{scheme}://{host}"), if scheme == "https" { 443 } else { 80 }),
        };
        Ok(Self {
            host,
            port,
            is_https: scheme == "https",
            authorization: user.map(|user| Arc::new(basic(user))),
            shown,
            variable,
            password: user.and_then(|u| u.split_once(':')).map(|(_, password)| Secret::new(password)),
        })
    }
}

/// The passwords in the proxies' variables, as they are written and as they are sent, so that no message shows them. It is
/// read as generously as possible: also from what is refused later.
pub fn passwords(env: &Env) -> Vec<Secret> {
    let mut found = Vec::new();
    for name in [names::HTTPS_PROXY_LOWER, names::HTTPS_PROXY] {
        let Some(value) = env.os(name) else { continue };
        let value = Zeroizing::new(value.to_string_lossy().into_owned());
        let rest = value.split_once("://").map_or(value.as_str(), |(_, rest)| rest);
        let Some((user_info, _)) = rest.rsplit_once('@') else { continue };
        let decoded = Zeroizing::new(percent_decode_str(user_info).decode_utf8_lossy().into_owned());
        let Some((_, password)) = user_info.split_once(':') else { continue };
        found.push(Secret::new(password));
        found.extend(decoded.split_once(':').map(|(_, password)| Secret::new(password)));
        // The Proxy-Authorization header.
        found.push(Secret::new(STANDARD_NO_PAD.encode(decoded.as_bytes())));
    }
    found
}

/// Makes of the credentials of a URL a value for `Proxy-Authorization` (RFC 7617), percent-decoded.
fn basic(user_info: &str) -> Secret {
    let decode = |text| Zeroizing::new(percent_decode_str(text).collect::<Vec<u8>>());
    let (name, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let pair = Zeroizing::new([&*decode(name), &b":"[..], &*decode(password)].concat());
    Secret::new(format!("Basic {}", Zeroizing::new(STANDARD.encode(&*pair)).as_str()))
}

/// Asks a proxy for a tunnel (RFC 9110 section 9.3.6). `connection` bounds the time.
pub(super) fn connect(
    connection: &mut (impl Read + Write),
    host: &str,
    port: u16,
    authorization: Option<&str>,
) -> Result<(), Fault> {
    let broken = |error: io::Error| Fault::Tunnel(error.kind());
    let request = tunnel_request(host, port, authorization);
    connection.write_all(request.as_bytes()).and_then(|()| connection.flush()).map_err(broken)?;
    // Byte by byte, since what follows the head belongs to the tunnel.
    let mut answer = TunnelAnswer::default();
    let mut byte = [0];
    loop {
        connection.read_exact(&mut byte).map_err(broken)?;
        if let Some(outcome) = answer.take(byte) {
            return outcome;
        }
    }
}

/// The request for a tunnel to a host.
pub fn tunnel_request(host: &str, port: u16, authorization: Option<&str>) -> Zeroizing<String> {
    let mut request = Zeroizing::new(format!(
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {USER_AGENT}\r\n"
    ));
    if let Some(credentials) = authorization {
        request = Zeroizing::new(format!("{}Proxy-Authorization: {credentials}\r\n", request.as_str()));
    }
    Zeroizing::new(format!("{}\r\n", request.as_str()))
}

/// The head of a proxy's answer, as far as it has arrived.
#[derive(Default)]
pub struct TunnelAnswer(Vec<u8>);

impl TunnelAnswer {
    /// Takes the next byte. Returns the outcome as soon as it is known.
    pub fn take(&mut self, byte: [u8; 1]) -> Option<Result<(), Fault>> {
        let head = &mut self.0;
        head.extend(byte);
        let is_http = head.starts_with(b"HTTP/1.") || b"HTTP/1.".starts_with(head);
        if !is_http || head.len() > MAX_HEADERS {
            return Some(Err(Fault::Tunnel(ErrorKind::InvalidData)));
        }
        head.ends_with(b"\r\n\r\n").then(|| self.outcome())
    }

    fn outcome(&self) -> Result<(), Fault> {
        let head = String::from_utf8_lossy(&self.0);
        let mut lines = head.lines();
        let status =
            lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|text| text.parse::<u16>().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(status @ 100..) => Err(Fault::ProxyAnswered { status, schemes: offered(lines) }),
            _ => Err(Fault::Tunnel(ErrorKind::InvalidData)),
        }
    }
}

/// The authentication schemes that a proxy offers, as far as they look like such: the first word of each challenge
/// (RFC 9110 section 11.6.1).
fn offered<'h>(headers: impl Iterator<Item = &'h str>) -> Vec<String> {
    let mut schemes = Vec::new();
    let values = headers
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"));
    let unquoted = values.map(|(_, value)| value.split('"').step_by(2).collect::<String>());
    for part in unquoted.collect::<Vec<_>>().iter().flat_map(|value| value.split(',')) {
        let scheme = part.split_whitespace().next().unwrap_or_default();
        let is_scheme = (1..=20).contains(&scheme.len())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if is_scheme && schemes.len() < 5 && !schemes.iter().any(|known| known == scheme) {
            schemes.push(scheme.to_owned());
        }
    }
    schemes
}

/// Tells whether an entry of `NO_PROXY` covers a host: `*`, the host itself or a domain above it, an IP address or a
/// range of them (`10.0.0.0/8`); each but the range with or without a port. A leading dot or `*.` changes nothing, and
/// neither does a dot at the end.
fn is_exempt(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((base, bits)) = entry.split_once('/') {
        return ip(host)
            .zip(any_ip(base))
            .zip(bits.parse().ok())
            .is_some_and(|((host, base), bits)| is_in_range(host, base, bits));
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, digits))
            if any_ip(entry).is_none()
                && !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (name, digits.parse::<u16>().ok())
        }
        _ => (entry, Some(port)),
    };
    if wanted != Some(port) {
        return false;
    }
    let bare = |text: &'_ str| text.strip_suffix('.').unwrap_or(text).to_owned();
    let (name, host) = (bare(name), bare(host));
    if let Some(address) = ip(&host) {
        return any_ip(&name) == Some(address);
    }
    let name = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(&name);
    host == name || host.strip_suffix(name).is_some_and(|rest| !name.is_empty() && rest.ends_with('.'))
}

/// Reads an IP address, an IPv6 one with or without brackets.
fn any_ip(text: &str) -> Option<IpAddr> {
    ip(text).or_else(|| ip(&format!("[{text}]")))
}

/// Tells whether the first bits of two addresses of the same kind are the same.
fn is_in_range(host: IpAddr, base: IpAddr, bits: u32) -> bool {
    let differ = match (host, base) {
        (IpAddr::V4(host), IpAddr::V4(base)) if bits <= 32 => {
            u128::from(host.to_bits() ^ base.to_bits()) << 96
        }
        (IpAddr::V6(host), IpAddr::V6(base)) if bits <= 128 => host.to_bits() ^ base.to_bits(),
        _ => return false,
    };
    differ.checked_shr(128 - bits).unwrap_or(0) == 0
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
    fn a_host_of_the_link_is_never_proxied() {
        let settings = ProxySettings::from_env(&Env::fixed([("HTTPS_PROXY", "http://proxy:3128")])).unwrap();
        let url = Url::parse_on_link("http://metadata.example", &["metadata.example"]).unwrap();
        assert!(settings.for_url(&url).is_none());
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
            ("a.example equinix.com", true),
            ("a.example\tequinix.com", true),
            ("equinix.com.", true),
            ("equinix.com..", false),
            ("10.0.0.0/8", false),
            ("sts.eqix.equinix.com/8", false),
        ] {
            let found =
                via(&[("HTTPS_PROXY", "http://proxy"), ("NO_PROXY", entry)], "https://sts.eqix.equinix.com");
            assert_eq!(found.is_none(), exempt, "{entry}");
        }
        for (entry, exempt) in [
            ("10.0.0.1", true),
            ("10.0.0.1:8443", true),
            ("10.0.0.1:1", false),
            ("0.0.1", false),
            ("10.0.0.0/8", true),
            ("10.0.0.0/31", true),
            ("10.0.0.0/32", false),
            ("10.0.0.1/32", true),
            ("11.0.0.0/8", false),
            ("0.0.0.0/0", true),
            ("10.0.0.0/33", false),
            ("10.0.0.0/", false),
            ("10.0.0.0/-1", false),
            ("::/0", false),
        ] {
            let found = via(&[("HTTPS_PROXY", "http://proxy"), ("no_proxy", entry)], "https://10.0.0.1:8443");
            assert_eq!(found.is_none(), exempt, "{entry}");
        }
        for entry in [
            "2001:db8::1",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "2001:db8::/32",
            "[2001:db8::]/127",
            "::/0",
            "2001:db8::1/128",
        ] {
            let found = via(&[("HTTPS_PROXY", "http://proxy"), ("no_proxy", entry)], "https://[2001:db8::1]");
            assert_eq!(found, None, "{entry}");
        }
    }

    #[test]
    fn an_invalid_proxy_is_an_error_that_does_not_show_it() {
        for value in [
            "socks5://user:hush@proxy",
            "http://",
            "http://user:hush@",
            "ht tp://hush",
            "http://proxy:99999",
            "http://user:12/hush@proxy",
            "http://user:12?hush@proxy:3128",
            "http://user:12#hush@proxy",
        ] {
            let error = settings(&[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(error.code(), Code::CfgProxyInvalid, "{value}");
            assert!(!error.message().contains("hush"), "{}", error.message());
        }
    }

    /// None of `/`, `?` and `#` may be mistaken for the end of host and port.
    #[test]
    fn nothing_of_a_password_with_an_unencoded_sign_is_shown() {
        for value in [
            "http://user:12/3456@proxy:3128",
            "http://user:3128?3456@proxy",
            "user:12#3456@proxy:3128",
            "https://user:hu/sh@proxy",
            "http://us/er:3456@proxy",
        ] {
            let error = settings(&[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(
                error.message(),
                "HTTPS_PROXY does not hold the URL of a proxy: a /, ? or # in its user name or password has to be percent-encoded"
            );
        }
        let shown =
            via(&[("HTTPS_PROXY", "http://us%2Fer:12%2F34@proxy:3128/")], "https://sts.eqix.equinix.com");
        assert_eq!(shown.as_deref(), Some("http://proxy:3128"));
    }

    #[test]
    fn passwords_are_found_in_whatever_the_variables_hold() {
        let of = |name: &str, value: &str| -> Vec<String> {
            let found = passwords(&Env::fixed([(name, value)]));
            found.iter().map(|secret| secret.reveal().to_owned()).collect()
        };
        let header = |text: &str| STANDARD_NO_PAD.encode(text);
        for name in ["HTTPS_PROXY", "https_proxy"] {
            assert_eq!(of(name, "http://user:a%2Fb@proxy:3128"), ["a%2Fb", "a/b", &header("user:a/b")]);
            assert_eq!(
                of(name, "user:a/b?c@d#e@proxy"),
                ["a/b?c@d#e", "a/b?c@d#e", &header("user:a/b?c@d#e")]
            );
            assert_eq!(of(name, "socks5://user:hush@proxy")[0], "hush");
        }
        for innocent in ["http://proxy:3128", "http://user@proxy", ""] {
            assert_eq!(of("HTTPS_PROXY", innocent), [""; 0]);
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

    /// A connection on which this is said, a byte at a time, and what was written to it.
    struct Said<'a>(&'a [u8], Vec<u8>);

    impl Read for Said<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    impl Write for Said<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(said: &str) -> (Result<(), Fault>, String, String) {
        let mut connection = Said(said.as_bytes(), Vec::new());
        let outcome = connect(&mut connection, "sts.example", 443, Some("Basic eDp5"));
        let rest = String::from_utf8(connection.0.to_vec()).unwrap();
        (outcome, rest, String::from_utf8(connection.1).unwrap())
    }

    #[test]
    fn what_follows_a_proxy_s_answer_belongs_to_the_tunnel() {
        let (outcome, rest, asked) = ask("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n\u{16}\u{3}");
        assert!(outcome.is_ok() && rest == "\u{16}\u{3}");
        let head = format!(
            "CONNECT sts.example:443 HTTP/1.1\r\nHost: sts.example:443\r\nUser-Agent: {USER_AGENT}\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
        );
        assert_eq!(asked, head);
        for accepted in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 204\r\n\r\n"] {
            assert!(ask(accepted).0.is_ok(), "{accepted}");
        }
    }

    #[test]
    fn a_proxy_s_refusal_has_a_status_and_the_schemes_on_offer() {
        let said = "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate, NTLM\r\nproxy-authenticate: Basic realm=\"a, b c\", charset=\"UTF-8\"\r\n\r\n";
        let Err(Fault::ProxyAnswered { status, schemes }) = ask(said).0 else { panic!() };
        assert_eq!(status, 407);
        assert_eq!(schemes, ["Negotiate", "NTLM", "Basic"]);
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEADERS));
        for (said, kind) in [
            ("", ErrorKind::UnexpectedEof),
            ("HTTP/1.1 200 OK\r\n", ErrorKind::UnexpectedEof),
            ("SSH-2.0", ErrorKind::InvalidData),
            ("<html>", ErrorKind::InvalidData),
            ("HTTP/1.1 \r\n\r\n", ErrorKind::InvalidData),
            ("HTTP/1.1 20 OK\r\n\r\n", ErrorKind::InvalidData),
            (long.as_str(), ErrorKind::InvalidData),
        ] {
            assert!(matches!(ask(said).0, Err(Fault::Tunnel(found)) if found == kind), "{said}");
        }
    }
}
