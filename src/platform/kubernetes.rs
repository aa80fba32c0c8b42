//! Kubernetes: <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#serviceaccount-token-volume-projection>.
//!
//! A pod with a projected volume finds a token for an audience of its own in a file, which the kubelet replaces before it
//! expires. Jobs of many systems run in pods, so it is only ever chosen.

use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::Error;
use crate::session::Session;

use super::facts::{Facts, Supply};
use super::{Evidence, Fetched, Platform, Wanted, file};

/// Pods of any cluster.
pub(super) struct Kubernetes;

static FACTS: Facts = Facts {
    id: "kubernetes",
    name: "Kubernetes",
    format: "env-file",
    supply: Supply::File,
    advice_on_expiry: Some(
        "The kubelet replaces the token before it expires, so look whether the file is still the volume's and no copy. If the token is fresh, check this machine's clock.",
    ),
    ..Facts::NEUTRAL
};

impl Platform for Kubernetes {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn here(&self, _: &Env) -> Evidence {
        Evidence { is_here: false, text: "chosen by the setting provider".to_owned() }
    }

    fn ready(&self, _: &Env, wanted: &Wanted) -> Result<(), Error> {
        file::path(&wanted.location).map(drop)
    }

    fn renews(&self, wanted: &Wanted) -> bool {
        file::is_read_again(wanted)
    }

    fn fetch(&self, _: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        file::read(wanted, by)
    }
}
