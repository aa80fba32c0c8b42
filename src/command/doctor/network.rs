//! The checks of the network, the STS, the clock and the scope.

use std::collections::BTreeMap;

use crate::cli::settings::{GrantSettings, NetworkSettings};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::error::Code;
use crate::grant::sts::Sts;
use crate::http::Client;
use crate::identity::claims;

use super::list::{Checks, Status};

impl Checks {
    /// Tells the proxy and the trusted roots.
    pub(super) fn network(&mut self, network: &NetworkSettings) {
        match network.proxies.proxy() {
            None => self.add("proxy", Status::Ok, "none"),
            Some(proxy) => self.add("proxy", Status::Ok, format!("{} ({})", proxy.shown, proxy.variable)),
        }
        let roots = match network.extra_roots.len() {
            0 => "the built-in roots".to_owned(),
            count => format!("the built-in roots and {count} more"),
        };
        self.add("trusted CAs", Status::Ok, roots);
    }

    /// Checks whether the STS answers at the token endpoint; nothing is sent to it. The result is its `Date`.
    pub(super) fn sts(&mut self, http: &Client, sts: &Sts, by: Deadline) -> Option<i64> {
        match sts.probe(http, by) {
            Ok(answer) => {
                let place = format!("{}{}", sts.endpoint.origin(), sts.api.path());
                let tls = answer
                    .tls_version
                    .map_or("without TLS".to_owned(), |tls| format!("{tls}, certificate trusted"));
                match answer.status {
                    404 | 410 => {
                        let other = sts.api.other().id();
                        let cure = format!(
                            "If an exchange fails as well, try --sts-api {other} and check --sts-endpoint."
                        );
                        self.warn(
                            "STS",
                            format!(
                                "{place} answers {} ({tls}): there may be no token endpoint",
                                answer.status
                            ),
                            &cure,
                        );
                    }
                    300..=399 => {
                        let cure = "Redirects are never followed; check --sts-endpoint and what answers in its place.";
                        self.warn(
                            "STS",
                            format!("{place} answers with a redirect ({}, {tls})", answer.status),
                            cure,
                        );
                    }
                    500.. => {
                        self.warn(
                            "STS",
                            format!("{place} answers {} ({tls})", answer.status),
                            "Try again in a while.",
                        );
                    }
                    status => self.add("STS", Status::Ok, format!("{place} answers ({status}, {tls})")),
                }
                answer.date
            }
            Err(error) => {
                self.fail("STS", error);
                None
            }
        }
    }

    /// Checks this machine's clock against those of the servers that told their time.
    pub(super) fn clock(
        &mut self,
        clock: &dyn Clock,
        platform: Option<i64>,
        server: Option<(&'static str, i64)>,
    ) {
        let (name, date) = server.unzip();
        let server = date.map(|date| date.saturating_sub(clock.unix_time()));
        let skews: BTreeMap<&str, i64> = [("the platform", platform), (name.unwrap_or_default(), server)]
            .into_iter()
            .filter_map(|(who, skew)| Some((who, skew?)))
            .collect();
        if skews.is_empty() {
            self.add("clock", Status::Skip, "no server told its time");
        } else if let Some((who, skew)) = skews.iter().find(|(_, skew)| skew.abs() > claims::LEEWAY) {
            let side = if *skew < 0 { "ahead of" } else { "behind" };
            let text = format!("this machine's clock is {} s {side} {who}", skew.abs());
            self.warn(
                "clock",
                text,
                "Set the clock; on a self-hosted runner, check its time synchronisation.",
            );
        } else {
            let names: Vec<_> = skews.keys().copied().collect();
            self.add(
                "clock",
                Status::Ok,
                format!("agrees with {} to {} s", names.join(" and "), claims::LEEWAY),
            );
        }
    }

    /// Checks the shape of the scope.
    pub(super) fn scope(&mut self, grant: &GrantSettings) {
        match &grant.scope {
            None => {
                self.warn("scope", "no scope is set; token needs one", Code::CfgScopeMissing.cure());
            }
            Some(scope) => match crate::grant::scope::check(scope) {
                Ok(warnings) => match warnings.first() {
                    None => self.add("scope", Status::Ok, scope.clone()),
                    Some(warning) => self.warn("scope", warning.clone(), Code::CfgScopeInvalid.cure()),
                },
                Err(error) => self.fail("scope", error),
            },
        }
    }
}
