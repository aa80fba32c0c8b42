//! Decides when an access token is handed out, when a new one is obtained, and who waits: the pure part of a token source.
//!
//! It knows neither threads nor a clock, so that a test can run a day in a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::credential::Credential;
use crate::error::{Code, Error, Exit};
use crate::retry::{Decision, Failed, Retry, RetryPolicy};

/// The largest time before the end at which a token is renewed, unless a fifth of its life is more.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// The time that has to be left of a token that is handed out, unless a quarter of its life is less.
const HAND_OUT_BEFORE: Duration = Duration::from_secs(30);

/// The same while a new one cannot be obtained: an old token is better than none.
const HAND_OUT_BEFORE_WHILE_FAILING: Duration = Duration::from_secs(10);

/// The least that has to be left whatever its life is. Clients take one that lives for 0 seconds for one that does not expire.
const SHORTEST_LEFT: Duration = Duration::from_secs(1);

/// The wait after a refusal that should last. The next attempt is a new exchange of a new ID token, and what an administrator
/// has broken, an administrator can mend. A secret that was refused is not sent again, whatever stands here: its grant sees
/// to that.
const AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// The longest wait that a server is granted. One that asks for a day must not end a run that will last for hours.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(900);

/// The shortest wait after a renewal that brought the same token again.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// A moment on both clocks. The monotonic one stands still while a machine sleeps, the other one can be set.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    monotonic: Instant,
    wall: i64,
}

impl Moment {
    /// Reads both clocks.
    pub fn now(clock: &dyn Clock) -> Self {
        Self { monotonic: clock.now(), wall: clock.unix_time() }
    }

    /// Returns the time since an earlier moment: the longer one of what the two clocks say.
    fn since(&self, earlier: &Self) -> Duration {
        let wall = u64::try_from(self.wall.saturating_sub(earlier.wall)).unwrap_or(0);
        self.monotonic.saturating_duration_since(earlier.monotonic).max(Duration::from_secs(wall))
    }
}

/// Tells whether a failure to renew is one that lasts.
pub fn is_lasting(error: &Error) -> bool {
    !error.code().exit().retryable()
}

/// A token, with the time that is left of it.
#[derive(Debug, Clone)]
pub struct Served {
    /// The token.
    pub credential: Arc<Credential>,
    /// The time until it expires.
    pub left: Duration,
}

/// The answer to a wish for a token.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This one is good.
    Serve(Served),
    /// One is being obtained, or will be at once.
    Wait,
    /// There is none, and there will be none soon.
    Fail(Arc<Error>),
}

/// The next thing to do for whoever obtains tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Obtain a token.
    Now,
    /// Look again after this time.
    In(Duration),
    /// Nothing, until somebody asks for a token.
    WhenAsked,
}

/// The memory of a token source.
#[derive(Debug)]
pub struct Cache {
    /// True if there is always to be a token. Otherwise one is renewed when somebody has asked for it near its end.
    is_kept_fresh: bool,
    held: Option<Held>,
    failure: Option<Failure>,
    /// The wait after a renewal that brought the same token again.
    pause: Option<(Moment, Duration)>,
    is_busy: bool,
    is_wanted: bool,
    /// True if a new token is wanted however good the old one is.
    is_forced: bool,
    is_over: bool,
}

#[derive(Debug)]
struct Held {
    credential: Arc<Credential>,
    /// The whole life, as the server said.
    life: Duration,
    /// The time that was left when it came.
    left: Duration,
    came: Moment,
}

impl Held {
    fn left(&self, now: &Moment) -> Duration {
        self.left.saturating_sub(now.since(&self.came))
    }

    /// The time before its end at which it is renewed.
    fn renew_before(&self) -> Duration {
        (self.life / 5).max(RENEW_BEFORE.min(self.life / 2))
    }

    /// The time that has to be left when it is handed out.
    fn hand_out_before(&self, is_failing: bool) -> Duration {
        let usual = HAND_OUT_BEFORE.min(self.life / 4);
        let least = if is_failing { usual.min(HAND_OUT_BEFORE_WHILE_FAILING) } else { usual };
        least.max(SHORTEST_LEFT)
    }
}

#[derive(Debug)]
struct Failure {
    error: Arc<Error>,
    /// The number of failures since the last success.
    number: u32,
    at: Moment,
    /// The wait until the next attempt.
    wait: Duration,
}

impl Failure {
    fn wait_left(&self, now: &Moment) -> Duration {
        self.wait.saturating_sub(now.since(&self.at))
    }
}

impl Cache {
    /// Begins without a token.
    pub fn new(is_kept_fresh: bool) -> Self {
        Self {
            is_kept_fresh,
            held: None,
            failure: None,
            pause: None,
            is_busy: false,
            is_wanted: false,
            is_forced: false,
            is_over: false,
        }
    }

    /// Returns the token that may be handed out, if there is one.
    pub fn held(&self, now: &Moment) -> Option<Served> {
        let held = self.held.as_ref()?;
        let left = held.left(now);
        let credential = Arc::clone(&held.credential);
        (left > held.hand_out_before(self.failure.is_some())).then_some(Served { credential, left })
    }

    /// Answers a wish for a token.
    pub fn ask(&mut self, now: &Moment) -> Answer {
        self.is_wanted = true;
        match (self.held(now), &self.failure) {
            (Some(served), _) => Answer::Serve(served),
            (None, Some(failure))
                if is_lasting(&failure.error) && !self.is_busy && !failure.wait_left(now).is_zero() =>
            {
                Answer::Fail(Arc::clone(&failure.error))
            }
            (None, _) => Answer::Wait,
        }
    }

    /// Returns what is to be done next.
    pub fn due(&self, now: &Moment) -> Due {
        if self.is_over || self.is_busy || !(self.is_kept_fresh || self.is_wanted) {
            return Due::WhenAsked;
        }
        let until_old = self.held.as_ref().filter(|_| !self.is_forced);
        let until_old = until_old.map(|held| held.left(now).saturating_sub(held.renew_before()));
        let until_again = self.failure.as_ref().map(|failure| failure.wait_left(now));
        let pause =
            self.pause.as_ref().map_or(Duration::ZERO, |(since, wait)| wait.saturating_sub(now.since(since)));
        match until_again.or(until_old).unwrap_or_default().max(pause) {
            Duration::ZERO => Due::Now,
            wait => Due::In(wait),
        }
    }

    /// Wishes for a new token however good the old one is, unless that came less than `pause` ago or a wait after a failure
    /// is not over. Tells whether a new one will be obtained.
    #[cfg(feature = "service")]
    pub fn force(&mut self, now: &Moment, pause: Duration) -> bool {
        let is_new = self.held.as_ref().is_some_and(|held| now.since(&held.came) < pause);
        let waits = self.failure.as_ref().is_some_and(|failure| !failure.wait_left(now).is_zero());
        if is_new || (waits && !self.is_busy) {
            return self.is_busy;
        }
        self.is_wanted = true;
        // The one that is being obtained is new enough.
        self.is_forced = !self.is_busy;
        true
    }

    /// Notes that a token is being obtained. Returns how many attempts have failed since the last one that did not.
    pub fn begin(&mut self) -> u32 {
        self.is_busy = true;
        self.is_forced = false;
        self.failure.as_ref().map_or(0, |failure| failure.number)
    }

    /// Ends it: no further token will be obtained.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// Tells whether a token is being obtained.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Takes the outcome. `random` is a number in 0..1.
    pub fn done(&mut self, now: &Moment, outcome: Result<Arc<Credential>, Arc<Error>>, random: f64) {
        self.is_busy = false;
        match outcome {
            Ok(credential) => {
                let life = Duration::from_secs(credential.expires_in);
                // Since the request was sent, some of its life may have passed.
                let until = u64::try_from(credential.expires_at.saturating_sub(now.wall)).unwrap_or(0);
                let left = life.min(Duration::from_secs(until));
                (self.failure, self.is_wanted, self.pause) = (None, false, None);
                let token = credential.token.reveal();
                let same = self.held.as_ref().filter(|held| held.credential.token.reveal() == token);
                // A server that keeps its tokens gives this one out until it ends. What is left of it is no life of its own.
                let life = same.map_or(life, |held| held.life.max(life));
                if same.is_some() {
                    self.pause = Some((*now, (left / 2).max(LEAST_PAUSE)));
                }
                self.held = Some(Held { credential, life, left, came: *now });
            }
            Err(error) => {
                let number = self.failure.as_ref().map_or(0, |failure| failure.number).saturating_add(1);
                let wait = wait_after(&error, number, random);
                self.failure = Some(Failure { error, number, at: *now, wait });
            }
        }
    }

    /// Returns why there is no new token, if the last attempt failed.
    pub fn failure(&self) -> Option<&Arc<Error>> {
        self.failure.as_ref().map(|failure| &failure.error)
    }
}

/// Returns how long to wait after a failure, which the retry policy decides as for every other.
fn wait_after(error: &Error, number: u32, random: f64) -> Duration {
    // An answer that makes no sense may come from a proxy on a bad day, and the run goes on for hours.
    if is_lasting(error) && error.code().exit() != Exit::Protocol {
        return AFTER_REFUSAL;
    }
    let failed = Failed {
        attempt: number,
        retry: Retry::Again { after: error.retry_after().map(|wait| wait.min(LONGEST_RETRY_AFTER)) },
        once_used: false,
        is_limited: error.code() == Code::RateLimited,
        left: Some(Duration::MAX),
    };
    match RetryPolicy::STANDARD.decide(&failed, random) {
        Decision::Wait(wait) => wait,
        Decision::GiveUp(_) => AFTER_REFUSAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::fixed::FixedClock;
    use crate::credential::Kind;
    use crate::secret::Secret;

    fn credential(life: u64, expires_at: i64) -> Arc<Credential> {
        Arc::new(Credential::new(Kind::AccessToken, Secret::new("an-access-token"), life, expires_at))
    }

    fn error(code: Code) -> Arc<Error> {
        Arc::new(Error::new(code, "no"))
    }

    fn moment(start: Instant, seconds: u64) -> Moment {
        Moment {
            monotonic: start + Duration::from_secs(seconds),
            wall: 1_000 + i64::try_from(seconds).unwrap(),
        }
    }

    /// A cache that got a token of this life at second 0.
    fn cache(is_kept_fresh: bool, life: u64) -> (Cache, Instant) {
        let start = Instant::now();
        let mut cache = Cache::new(is_kept_fresh);
        let expires_at = 1_000 + i64::try_from(life).unwrap();
        cache.done(&moment(start, 0), Ok(credential(life, expires_at)), 0.0);
        (cache, start)
    }

    fn word(answer: &Answer) -> String {
        match answer {
            Answer::Serve(served) => format!("serve {}", served.left.as_secs()),
            Answer::Wait => "wait".to_owned(),
            Answer::Fail(error) => format!("fail {}", error.code().name()),
        }
    }

    #[test]
    fn a_token_is_renewed_when_a_part_of_its_life_is_left() {
        for (life, renewed_at, last_served) in [
            (3600, 2880, 3569),
            (600, 300, 569),
            (1500, 1200, 1469),
            (120, 60, 89),
            (100, 50, 74),
            (12, 6, 8),
            (86_400, 69_120, 86_369),
        ] {
            let (mut cache, start) = cache(true, life);
            assert_eq!(cache.due(&moment(start, renewed_at - 1)), Due::In(Duration::from_secs(1)), "{life}");
            assert_eq!(cache.due(&moment(start, renewed_at)), Due::Now, "{life}");
            let left = life - last_served;
            assert_eq!(word(&cache.ask(&moment(start, last_served))), format!("serve {left}"), "{life}");
            assert_eq!(word(&cache.ask(&moment(start, last_served + 1))), "wait", "{life}");
        }
    }

    #[test]
    fn less_than_a_second_is_never_handed_out() {
        for life in 1..6 {
            let (mut cache, start) = cache(true, life);
            for tenth in 0..life * 10 {
                let now = Moment { monotonic: start + Duration::from_millis(tenth * 100), wall: 1_000 };
                if let Answer::Serve(served) = cache.ask(&now) {
                    assert!(served.left.as_secs() > 0, "{life}: {:?}", served.left);
                }
            }
        }
    }

    #[test]
    fn without_a_wish_only_what_is_kept_fresh_is_renewed() {
        let (mut cache, start) = cache(false, 3600);
        assert_eq!(cache.due(&moment(start, 100_000)), Due::WhenAsked);
        assert_eq!(word(&cache.ask(&moment(start, 10))), "serve 3590");
        assert_eq!(cache.due(&moment(start, 2880)), Due::Now);
        cache.begin();
        assert_eq!(cache.due(&moment(start, 2880)), Due::WhenAsked, "one at a time");
        cache.done(&moment(start, 2881), Ok(credential(3600, 7481)), 0.0);
        assert_eq!(cache.due(&moment(start, 100_000)), Due::WhenAsked, "nobody has asked for the new one");
        assert_eq!(Cache::new(false).due(&moment(start, 0)), Due::WhenAsked);
        assert_eq!(Cache::new(true).due(&moment(start, 0)), Due::Now);
    }

    #[test]
    fn after_the_end_nothing_is_renewed() {
        let (mut cache, start) = cache(true, 12);
        cache.end();
        assert_eq!(cache.due(&moment(start, 6)), Due::WhenAsked);
        cache.ask(&moment(start, 100));
        assert_eq!(cache.due(&moment(start, 100)), Due::WhenAsked);
    }

    #[test]
    fn while_renewing_fails_the_old_token_is_served_longer() {
        let (mut cache, start) = cache(true, 3600);
        cache.begin();
        cache.done(&moment(start, 2880), Err(error(Code::ServerError)), 1.0);
        assert_eq!(word(&cache.ask(&moment(start, 3589))), "serve 11");
        assert_eq!(word(&cache.ask(&moment(start, 3590))), "wait", "it may pass");
        cache.done(&moment(start, 3590), Err(error(Code::StsDenied)), 1.0);
        assert_eq!(word(&cache.ask(&moment(start, 3591))), "fail sts-denied");
        assert_eq!(cache.due(&moment(start, 3591)), Due::In(Duration::from_secs(59)));
        assert_eq!(word(&cache.ask(&moment(start, 3650))), "wait", "it is tried again");
        assert_eq!(cache.due(&moment(start, 3650)), Due::Now);
        // A token of 12 s is never served to within less than a quarter of its life.
        let (mut short, start) = self::cache(true, 12);
        short.done(&moment(start, 6), Err(error(Code::ServerError)), 1.0);
        assert_eq!(word(&short.ask(&moment(start, 8))), "serve 4");
        assert_eq!(word(&short.ask(&moment(start, 9))), "wait");
    }

    #[test]
    fn the_waits_between_renewals_are_those_of_the_retry_policy() {
        let (mut cache, start) = cache(true, 3600);
        let waits = [0, 1, 2, 3, 4, 5].map(|_| {
            cache.begin();
            cache.done(&moment(start, 3000), Err(error(Code::ServerError)), 1.0);
            match cache.due(&moment(start, 3000)) {
                Due::In(wait) => wait.as_millis(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000]);
        assert!(cache.failure().is_some());
        cache.done(&moment(start, 3001), Ok(credential(3600, 7601)), 0.0);
        assert!(cache.failure().is_none());
    }

    #[test]
    fn a_server_that_gives_the_same_token_out_again_is_asked_ever_sooner_and_not_at_once() {
        let (mut cache, start) = cache(true, 3600);
        let mut at = 2_880;
        let mut asked = 0;
        while at < 3_569 {
            cache.begin();
            let left = 3600 - at;
            cache.done(&moment(start, at), Ok(credential(left, 4_600)), 0.0);
            assert_eq!(word(&cache.ask(&moment(start, at))), format!("serve {left}"));
            let Due::In(wait) = cache.due(&moment(start, at)) else { panic!("at once, at {at}") };
            assert_eq!(wait, (Duration::from_secs(left) / 2).max(LEAST_PAUSE));
            at += wait.as_secs().max(1);
            asked += 1;
        }
        assert!(asked <= 6, "{asked}");
        assert_eq!(word(&cache.ask(&moment(start, 3_571))), "wait", "by its own life it is near its end");
    }

    #[test]
    fn a_server_that_asks_for_a_wait_gets_it_within_reason() {
        for (asked, least, most) in [(120, 120, 240), (86_400, 900, 1_800)] {
            let error = Error::new(Code::RateLimited, "no").with_retry_after(Duration::from_secs(asked));
            let waits = [0.0, 0.5, 1.0].map(|random| wait_after(&error, 1, random).as_secs());
            assert!(waits.iter().all(|wait| (least..=most).contains(wait)), "{asked}: {waits:?}");
        }
    }

    #[test]
    fn age_is_the_larger_one_of_what_two_clocks_say() {
        let (mut cache, start) = cache(true, 3600);
        // The machine has slept, or its clock was set forward.
        let slept = Moment { monotonic: start + Duration::from_secs(5), wall: 1_000 + 3_599 };
        assert_eq!(word(&cache.ask(&slept)), "wait");
        // The clock was set back, into the time before the token.
        let back = Moment { monotonic: start + Duration::from_secs(3_000), wall: -50 };
        assert_eq!(word(&cache.ask(&back)), "serve 600");
        assert_eq!(cache.due(&back), Due::Now);
        // What comes after a jump has its full life by the new clock.
        let later = Moment { monotonic: start + Duration::from_secs(3_001), wall: -49 };
        cache.done(&later, Ok(credential(3600, 3551)), 0.0);
        assert_eq!(word(&cache.ask(&later)), "serve 3600");
    }

    #[test]
    fn a_token_that_was_long_on_its_way_has_less_left() {
        let start = Instant::now();
        let mut cache = Cache::new(true);
        cache.done(&moment(start, 40), Ok(credential(3600, 4600)), 0.0);
        assert_eq!(word(&cache.ask(&moment(start, 40))), "serve 3560");
    }

    #[test]
    fn both_clocks_are_read() {
        let clock = FixedClock::at(7);
        let before = Moment::now(&clock);
        clock.sleep(Duration::from_secs(90));
        assert_eq!(Moment::now(&clock).since(&before), Duration::from_secs(90));
    }
}
