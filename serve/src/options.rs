//! The command line: the service's own flags beside the settings that it takes over from `equinix-wif`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use equinix_wif::service::{self, Code, Error, Purpose, quote};

/// The name of the program.
pub const PROGRAM: &str = "equinix-wif-serve";

/// The address of the REST adapter where none is given.
const REST: &str = "127.0.0.1:8080";

/// The address of the MCP adapter where none is given.
const MCP: &str = "127.0.0.1:9090";

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A port of this machine alone.
    Loopback(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The origin of the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackEnd {
    /// A grant of this service.
    Federated,
    /// Whatever callers send to the classic API.
    PassThrough,
}

impl BackEnd {
    /// The value of `--backend`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Federated => "federated",
            Self::PassThrough => "pass-through",
        }
    }
}

/// The service's own options.
#[derive(Debug)]
pub struct Options {
    /// The back end that was asked for.
    pub backend: Option<BackEnd>,
    /// The place of the REST adapter, if there is to be one.
    pub rest: Option<Address>,
    /// The place of the MCP adapter, if there is to be one.
    pub mcp: Option<Address>,
    /// True for MCP on standard streams, without a listener.
    pub is_stdio: bool,
    /// The file with the bearer.
    pub bearer_file: Option<PathBuf>,
    /// True if nobody has to show a bearer.
    pub allows_unauthenticated: bool,
    /// True if MCP results hold the token itself.
    pub reveals_tokens: bool,
    /// True for lines of JSON in the log.
    pub logs_json: bool,
    /// True for a made-up issuer, STS and API.
    pub is_sandbox: bool,
    /// True to ask a running service whether it is ready.
    pub probes: bool,
}

/// Reads the command line.
pub fn parse(args: &[OsString]) -> Result<Purpose, Error> {
    service::parse(definition(), args)
}

/// The service's part of the command line.
pub fn definition() -> clap::Command {
    clap::Command::new(PROGRAM)
        .about("Hands out short-lived Equinix access tokens on this machine: REST and MCP for whoever asks again and again")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help("Pages: docs/local-service.md, docs/mcp.md. Codes: equinix-wif explain.")
        .after_long_help(
            "Examples:\n  # to try it, without an account\n  equinix-wif-serve --sandbox\n  # in a job that has an identity\n  \
             equinix-wif-serve --audience my-audience --scope roleassignments:<org-id>\n\n\
             Pages: docs/local-service.md, docs/mcp.md. Codes: equinix-wif explain.",
        )
        .args([
            Arg::new("backend")
                .long("backend")
                .value_name("BACKEND")
                .value_parser(PossibleValuesParser::new([BackEnd::Federated.id(), BackEnd::PassThrough.id()]))
                .help("Origin of the tokens: a grant of this service, or the classic API with what callers send [default: federated where an identity or a client's credentials are there, else pass-through]"),
            Arg::new("rest-listen")
                .long("rest-listen")
                .value_name("ADDR")
                .help(format!("Address of the REST adapter: a loopback address with a port (0 = any), or unix:PATH [default: {REST}]"))
                .conflicts_with("no-rest"),
            Arg::new("mcp-listen")
                .long("mcp-listen")
                .value_name("ADDR")
                .help(format!("Address of the MCP adapter: a loopback address with a port (0 = any), or unix:PATH [default: {MCP}]"))
                .conflicts_with("no-mcp"),
            switch("no-rest", "Open no REST adapter"),
            switch("no-mcp", "Open no MCP adapter"),
            switch("stdio", "Speak MCP on standard input and output, and listen nowhere"),
            Arg::new("bearer-file")
                .long("bearer-file")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("File with the bearer that callers show: read if it is there, made if not [default: a new file in a private folder, whose path is printed]"),
            switch("allow-unauthenticated", "Let every process of this machine ask, without a bearer"),
            switch("reveal-tokens", "Put the token itself into MCP results, where the model and its provider read it"),
            Arg::new("log-format")
                .long("log-format")
                .value_name("FORMAT")
                .value_parser(PossibleValuesParser::new(["text", "json"]))
                .default_value("text")
                .help("Format of the log on standard error"),
            switch("sandbox", "Use a made-up issuer, STS and classic API on this machine; nothing in it is real"),
            switch("probe", "Ask a running service whether it is ready, and exit with 0 or 1"),
        ])
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

impl Options {
    /// Takes the service's own options from what was read.
    pub fn new(read: &ArgMatches) -> Result<Self, Error> {
        let is_on = |name: &str| read.get_flag(name);
        let text = |name: &str| read.get_one::<String>(name).map(String::as_str);
        let address = |flag: &str, default: &str| address(flag, text(flag).unwrap_or(default));
        let is_stdio = is_on("stdio");
        let options = Self {
            backend: text("backend").map(|name| match name {
                "federated" => BackEnd::Federated,
                _ => BackEnd::PassThrough,
            }),
            rest: if is_stdio || is_on("no-rest") { None } else { Some(address("rest-listen", REST)?) },
            mcp: if is_stdio || is_on("no-mcp") { None } else { Some(address("mcp-listen", MCP)?) },
            is_stdio,
            bearer_file: read.get_one::<PathBuf>("bearer-file").cloned(),
            allows_unauthenticated: is_on("allow-unauthenticated"),
            reveals_tokens: is_on("reveal-tokens"),
            logs_json: text("log-format") == Some("json"),
            is_sandbox: is_on("sandbox"),
            probes: is_on("probe"),
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), Error> {
        let conflict = |message: &str, cure: &str| Err(Error::new(Code::CfgUsage, message).with_cure(cure));
        if self.rest.is_none() && self.mcp.is_none() && !self.is_stdio {
            return conflict("there is nothing to serve", "Leave out --no-rest or --no-mcp, or use --stdio.");
        }
        if self.probes && self.rest.is_none() {
            return conflict("--probe asks the REST adapter", "Leave out --no-rest and --stdio.");
        }
        if self.rest.is_some() && self.rest == self.mcp && !self.rest.as_ref().is_some_and(is_any_port) {
            return conflict(
                "--rest-listen and --mcp-listen are the same address",
                "Give each adapter an address of its own.",
            );
        }
        Ok(())
    }
}

fn is_any_port(address: &Address) -> bool {
    matches!(address, Address::Loopback(address) if address.port() == 0)
}

/// Reads an address. One that others can reach is refused.
fn address(flag: &str, given: &str) -> Result<Address, Error> {
    let invalid = |why: &str| {
        Error::new(Code::CfgValueInvalid, format!("--{flag} cannot be {}: {why}", quote(given))).with_cure(
            "Give a loopback address with a port, e.g. 127.0.0.1:8080 or [::1]:8080, or unix:PATH.",
        )
    };
    if let Some(path) = given.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(invalid("it names no path"));
        }
        return Ok(Address::Unix(PathBuf::from(path)));
    }
    let given =
        given.strip_prefix("localhost:").map_or_else(|| given.to_owned(), |port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = given.parse().map_err(|_| invalid("it is no address with a port"))?;
    if !address.ip().is_loopback() {
        return Err(invalid("other machines could reach it, and this service is for this machine alone"));
    }
    Ok(Address::Loopback(address))
}

#[cfg(test)]
mod pages_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Result<Options, Error> {
        let all = std::iter::once(PROGRAM).chain(args.iter().copied()).map(OsString::from);
        match parse(&all.collect::<Vec<_>>())? {
            Purpose::Run(line) => Options::new(&line.own),
            Purpose::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn only_this_machine_can_be_listened_at() {
        let loopback = |text: &str| Some(Address::Loopback(text.parse().unwrap()));
        for (given, expected) in [
            ("127.0.0.1:0", loopback("127.0.0.1:0")),
            ("127.8.9.1:80", loopback("127.8.9.1:80")),
            ("[::1]:8080", loopback("[::1]:8080")),
            ("localhost:81", loopback("127.0.0.1:81")),
            ("unix:/run/a.sock", Some(Address::Unix("/run/a.sock".into()))),
        ] {
            assert_eq!(options(&["--rest-listen", given]).unwrap().rest, expected, "{given}");
        }
        for given in
            ["0.0.0.0:8080", "192.0.2.1:1", "[::]:80", "8080", "unix:", "example.com:80", "127.0.0.1"]
        {
            for flag in ["--rest-listen", "--mcp-listen"] {
                let error = options(&[flag, given]).unwrap_err();
                assert_eq!(
                    (error.code(), error.code().exit().status()),
                    (Code::CfgValueInvalid, 2),
                    "{given}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_together_is_refused() {
        for args in [
            &["--no-rest", "--no-mcp"][..],
            &["--no-rest", "--rest-listen", "127.0.0.1:1"],
            &["--rest-listen", "127.0.0.1:1", "--mcp-listen", "127.0.0.1:1"],
            &["--probe", "--stdio"],
            &["--backend", "other"],
            &["--nonsense"],
        ] {
            let error = options(args).unwrap_err();
            assert_eq!(error.code().exit().status(), 2, "{args:?}");
        }
        assert!(options(&["--rest-listen", "127.0.0.1:0", "--mcp-listen", "127.0.0.1:0"]).is_ok());
    }

    #[test]
    fn the_settings_of_the_small_program_are_taken_over() {
        let own = definition();
        assert!(
            own.get_arguments().all(|arg| arg.get_long() != Some("scope")),
            "it is not this program's own"
        );
        let all: Vec<OsString> = [PROGRAM, "--help"].map(OsString::from).into();
        let Ok(Purpose::Print(help)) = parse(&all) else { panic!("no help") };
        for flag in [
            "--audience",
            "--scope",
            "--grant",
            "--sts-endpoint",
            "--api-endpoint",
            "--ca-file",
            "--timeout",
            "--min-ttl",
        ] {
            assert!(help.contains(flag), "{flag}");
        }
        for flag in ["--format", "--output", "--env-name", "--on-unavailable", "--summary"] {
            assert!(!help.contains(&format!("{flag} ")), "{flag}");
        }
    }
}
