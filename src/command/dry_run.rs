//! A dry run: everything up to the exchange, and then an account of what would follow.

use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::grant::planned::Planned;
use crate::grant::settings::GrantSettings;
use crate::report::Report;
use crate::text::brief;

use super::pipeline::Pipeline;

/// Prints the requests that are not sent. `then` is what would become of the token.
pub(super) fn run(
    job: &Arc<Pipeline>,
    grant: &GrantSettings,
    by: Deadline,
    then: &str,
    report: &mut Report,
) -> Result<(), Error> {
    let requests = job.rehearse(grant, by);
    job.account(report);
    let requests = requests?;
    let console = &job.session().console;
    console.note("dry run: no token is asked for, and nothing is sent to Equinix");
    for Planned { url, lines } in requests {
        console.note(&format!("would send: POST {url}"));
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in lines {
            console.note(&format!("  {name}:{:pad$} {}", "", brief(&value), pad = width - name.len()));
        }
    }
    console.note(&format!("then would {then}"));
    Ok(())
}
