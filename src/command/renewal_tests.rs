//! A day of a renewing run on a clock that only sleeping moves.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Watch;
use crate::cli::settings::{GrantSettings, IdentitySettings};
use crate::command::choice::Choice;
use crate::command::pipeline::Pipeline;
use crate::credential::{Credential, Kind};
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::grant::planned::Planned;
use crate::grant::sts::Sts;
use crate::grant::{Grant, Renewable, enclosing_run};
use crate::identity::claims::Validation;
use crate::platform::TokenLocation;
use crate::renew::cache::Due;
use crate::renew::ledger::Ledger;
use crate::renew::source::{Observer, TokenSource};
use crate::report::console::captured::Lines;
use crate::secret::Secret;
use crate::session::{Session, fixed};

const NOW: i64 = 1_800_000_000;
const LIFE: u64 = 3600;
const MINUTE: Duration = Duration::from_secs(60);

/// A grant that gives a new token each time, but for the times when it fails.
struct Made {
    number: AtomicU32,
    fails: fn(i64) -> Option<Code>,
}

/// The token of this number. No two have a part in common.
fn token(number: u32) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &number.to_le_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

impl Grant for Made {
    fn ready(&self, _: &Session) -> Result<(), Error> {
        Ok(())
    }

    fn rehearse(&self, _: &Session, _: Deadline) -> Result<Vec<Planned>, Error> {
        Ok(Vec::new())
    }

    fn obtain(&self, session: &Session, _: Deadline) -> Result<Credential, Error> {
        let now = session.clock.unix_time();
        if let Some(code) = (self.fails)(now - NOW) {
            return Err(Error::new(code, "the STS failed"));
        }
        let secret = Secret::new(token(self.number.fetch_add(1, Ordering::Relaxed)));
        Ok(Credential::new(Kind::AccessToken, secret, LIFE, now + i64::try_from(LIFE).unwrap()))
    }

    fn renewable_until(&self) -> Renewable {
        Renewable::Always
    }
}

struct Run {
    job: Arc<Pipeline>,
    grant: Arc<Made>,
    source: Arc<TokenSource>,
    ledger: Arc<Ledger>,
    watch: Arc<Watch>,
    lines: Lines,
}

fn run(fails: fn(i64) -> Option<Code>) -> Run {
    let (session, lines) = fixed::session(&[], NOW);
    let identity = IdentitySettings {
        audience: None,
        provider: None,
        source: TokenLocation::default(),
        service_connection_id: None,
        expectations: Vec::new(),
        validation: Validation::Basic,
        verify_signature: false,
        warnings: Vec::new(),
        findings: Vec::new(),
    };
    let choice = Choice::for_grant(identity, &enclosing_run::FACTS, &session.env).unwrap();
    let clock = Arc::clone(&session.clock);
    let job = Pipeline::new(choice, session);
    job.go_on();
    let ledger = Arc::new(Ledger::default());
    let watch = Arc::new(Watch {
        job: Arc::clone(&job),
        ledger: Arc::clone(&ledger),
        main_scope: "s".to_owned(),
        renews: true,
        file: Mutex::default(),
        waiting: Mutex::default(),
    });
    let grant = Arc::new(Made { number: AtomicU32::new(0), fails });
    let settings = GrantSettings {
        grant: &enclosing_run::FACTS,
        scope: Some("s".to_owned()),
        sts: Sts::standard().unwrap(),
        local_issuers_only: None,
        min_ttl: 60,
        project_id: None,
        refresh_token_output: None,
        #[cfg(feature = "classic-grants")]
        account: Arc::new(crate::grant::api::Account::empty().unwrap()),
        parent: None,
        warnings: Vec::new(),
        findings: Vec::new(),
    };
    let (of_job, of_grant) = (Arc::clone(&job), Arc::clone(&grant));
    let obtain = move |_| of_job.token(&*of_grant, &settings, Deadline::within(MINUTE));
    let observer = Arc::clone(&watch) as Arc<dyn Observer>;
    let source = TokenSource::new("s", true, clock, Box::new(obtain), observer);
    Run { job, grant, source, ledger, watch, lines }
}

impl Run {
    /// Lets time pass as the thread of a source does, until a whole minute is over.
    fn pass_a_minute(&self) {
        let clock = &self.job.session().clock;
        let mut left = MINUTE;
        while !left.is_zero() {
            let wait = match self.source.renew_if_due() {
                Due::Now => Duration::ZERO,
                Due::In(wait) => wait.min(left),
                Due::WhenAsked => left,
            };
            clock.sleep(wait);
            left = left.saturating_sub(wait);
            self.watch.tick();
        }
    }

    /// Asks, and returns how many seconds the token has left; `None` if there was none.
    fn ask(&self) -> Option<u64> {
        self.source.token(Deadline::within(Duration::ZERO)).ok().map(|served| served.left.as_secs())
    }
}

#[test]
fn in_a_day_every_answer_is_fresh_and_nothing_piles_up() {
    let run = run(|_| None);
    run.source.renew_if_due();
    for minute in 0..24 * 60 {
        let left = run.ask().unwrap();
        assert!((LIFE / 5 - 60..=LIFE).contains(&left), "{left} s were left after {minute} minutes");
        let known = run.job.session().console.known_secrets();
        assert!(known <= 4, "{known} secrets are known after {minute} minutes");
        run.pass_a_minute();
    }
    let obtained = run.grant.number.load(Ordering::Relaxed);
    assert_eq!(obtained, 30, "one in 48 minutes, and the first");
    assert_eq!(run.ledger.to_json()["renewals"].as_array().unwrap().len(), 30);
    let console = &run.job.session().console;
    assert_eq!(console.safe(&token(0)), token(0), "it ended long ago");
    assert_eq!(console.safe(&token(29)), "***");
    assert_eq!(run.lines.text(), "");
}

#[test]
fn a_server_that_is_away_for_less_than_is_left_is_noticed_by_nobody_but_the_reader() {
    let run = run(|second| (3_000..3_300).contains(&(second % 10_000)).then_some(Code::ServerError));
    run.source.renew_if_due();
    for _ in 0..24 * 60 {
        assert!(run.ask().is_some_and(|left| left > 10));
        run.pass_a_minute();
    }
    let text = run.lines.text();
    assert_eq!(
        text.matches("warning: no new access token for s: the STS failed [server-error]").count(),
        text.matches("renewing works again").count()
    );
    assert!(text.contains("renewing works again"), "{text}");
}

#[test]
fn a_server_that_is_away_for_longer_leaves_a_gap_of_that_length_and_is_said_once() {
    let run = run(|second| (2_000..20_000).contains(&second).then_some(Code::ServerError));
    run.source.renew_if_due();
    let answers: Vec<bool> = (0..24 * 60)
        .map(|_| {
            let served = run.ask().is_some();
            run.pass_a_minute();
            served
        })
        .collect();
    let gap = answers.iter().filter(|served| !**served).count();
    // From 10 s before the first token's end to a few seconds after the server was back.
    assert_eq!(gap, (20_000 - 3_590) / 60 + 1);
    let text = run.lines.text();
    assert_eq!(text.matches("no new access token").count(), 1, "{text}");
    assert_eq!(text.matches("renewing works again").count(), 1, "{text}");
}

#[test]
fn a_lasting_refusal_is_tried_again_once_a_minute() {
    let run = run(|second| (2_000..).contains(&second).then_some(Code::StsDenied));
    run.source.renew_if_due();
    for _ in 0..4 * 60 {
        run.pass_a_minute();
    }
    let failures = run.ledger.to_json()["renewals"].as_array().unwrap().len() - 1;
    assert!((190..=193).contains(&failures), "{failures} in {} s", 4 * 3600 - 2_880);
    let unavailable = run.source.token(Deadline::within(Duration::ZERO)).unwrap_err();
    assert!(!unavailable.may_pass());
    assert_eq!(run.lines.text().matches("no new access token").count(), 1);
}

#[test]
fn whoever_asks_while_a_token_is_obtained_waits_for_that_one() {
    let run = run(|_| None);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| run.source.token(Deadline::within(MINUTE)).unwrap().credential))
            .collect();
        run.source.renew_if_due();
        for asker in askers {
            assert_eq!(asker.join().unwrap().token.reveal(), token(0));
        }
    });
    assert_eq!(run.grant.number.load(Ordering::Relaxed), 1);
}
