//! One user: who it is, where it is in its session, and its next step. Sixty-four bytes each, one cache line.

use crate::chain::NO_STATE;
use crate::event::Event;
use crate::model::Model;
use crate::people::Profile;
use crate::random::Random;

pub(crate) const YEAR: f64 = 365.0 * 86_400.0;
/// Nobody registered longer before the history than this.
const YEARS_BACK: f64 = 5.0;
const NO_SONG: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct User {
    random: Random,
    session: u64,
    event_pace: f32,
    session_pace: f32,
    /// When the event in `state` takes place.
    pub(crate) next: u32,
    song_end: u32,
    /// When the session before this one ended; what attrition counts from.
    left: u32,
    item: u32,
    song: u32,
    state: u16,
    previous: u16,
    profile: Profile,
}

/// Numbers sessions in the order in which they come to be.
#[derive(Debug, Default)]
pub(crate) struct Sessions(u64);

impl Sessions {
    fn open(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl User {
    /// A user who has been there before the history begins, at its first event within the history; and whether
    /// there is one: some left for good before.
    pub(crate) fn established(index: u32, model: &Model, sessions: &mut Sessions) -> (Self, bool) {
        let mut random = Random::stream(model.seed, u64::from(index));
        let age = registration_age(model.growth, &mut random);
        let registration = (f64::from(model.from) - age).max(0.0) as u32;
        let mut user = Self::new(registration, model, random);
        // One mean gap of sessions before the history is enough for sessions under way when it begins.
        let mean_gap = user.mean_gap(model);
        let (from, reach) = (i64::from(model.from), mean_gap as i64);
        let mut first = from - 2 * reach;
        while first < from - reach {
            first = model.timeline.next_session(first, mean_gap, &mut user.random);
        }
        let state = model.chain.established(&mut user.random);
        let mut stays = user.begin(first, state, model, sessions);
        while stays && user.next < model.from {
            stays = user.step(model, sessions);
        }
        (user, stays)
    }

    /// A user who arrives, registers and begins a first session at `at`.
    pub(crate) fn newcomer(index: u32, at: u32, model: &Model, sessions: &mut Sessions) -> Option<Self> {
        let random = Random::stream(model.seed, u64::from(index));
        let mut user = Self::new(at, model, random);
        let state = model.chain.newcomer(&mut user.random)?;
        user.begin(i64::from(at), state, model, sessions).then_some(user)
    }

    fn new(registration: u32, model: &Model, mut random: Random) -> Self {
        let (event_pace, session_pace) = (random.pace() as f32, random.pace() as f32);
        let profile = model.people.profile(registration, &mut random);
        Self {
            random,
            session: 0,
            event_pace,
            session_pace,
            next: 0,
            song_end: 0,
            left: registration,
            item: 0,
            song: NO_SONG,
            state: NO_STATE,
            previous: NO_STATE,
            profile,
        }
    }

    /// The event that takes place at `next`.
    pub(crate) fn event(&self, index: u32) -> Event {
        Event {
            at: self.next,
            user: index,
            session: self.session,
            item: self.item,
            song: self.song,
            state: self.state,
            previous: self.previous,
            profile: self.profile,
        }
    }

    /// Goes on to the next event; `false` when the user never returns.
    pub(crate) fn step(&mut self, model: &Model, sessions: &mut Sessions) -> bool {
        let Some(state) = model.chain.next(self.state, &mut self.random) else {
            return self.leave(model, sessions);
        };
        let node = model.chain.node(state);
        let mut next = self.next;
        if node.redirects {
            next = next.saturating_add(1);
        } else if node.plays_song && self.song != NO_SONG && next < self.song_end {
            next = self.song_end;
        } else {
            let mean = model.event_gap * f64::from(self.event_pace);
            next = next.saturating_add(self.random.exponential(mean) as u32);
        }
        self.next = next;
        // Also across redirects: a later redirect must not see the login that lies behind it.
        self.previous = self.state;
        self.state = state;
        self.item += 1;
        if node.plays_song {
            self.play(model);
        }
        next < u32::MAX
    }

    fn leave(&mut self, model: &Model, sessions: &mut Sessions) -> bool {
        // The planned users are those there when the history begins: attrition counts from then on.
        let absent = f64::from(self.next.saturating_sub(self.left.max(model.from)));
        self.left = self.next;
        if model.attrition > 0.0 && self.random.unit() > libm::exp(-model.attrition * absent / YEAR) {
            return false;
        }
        let Some(state) = model.chain.return_from(self.state, &mut self.random) else {
            return false;
        };
        let start = model.timeline.next_session(i64::from(self.next), self.mean_gap(model), &mut self.random);
        self.begin(start, state, model, sessions)
    }

    fn begin(&mut self, at: i64, state: u16, model: &Model, sessions: &mut Sessions) -> bool {
        let Ok(at) = u32::try_from(at.max(0)) else {
            return false;
        };
        self.next = at;
        self.session = sessions.open();
        self.item = 0;
        self.previous = NO_STATE;
        self.state = state;
        self.song = NO_SONG;
        if model.chain.node(state).plays_song {
            self.play(model);
        }
        at < u32::MAX
    }

    fn play(&mut self, model: &Model) {
        self.song = model.catalogue.pick(&mut self.random);
        self.song_end = self.next.saturating_add(model.catalogue.track(self.song).seconds);
    }

    fn mean_gap(&self, model: &Model) -> f64 {
        model.session_gap * f64::from(self.session_pace)
    }
}

/// Seconds since a user registered, when the number of users has grown at a constant rate: exponential, within
/// the years looked back, and uniform when there is no growth.
fn registration_age(growth: f64, random: &mut Random) -> f64 {
    let share = random.unit();
    if growth <= 0.0 {
        return share * YEARS_BACK * YEAR;
    }
    -libm::log(1.0 - share * (1.0 - libm::exp(-growth * YEARS_BACK))) / growth * YEAR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_one_cache_line() {
        assert_eq!(size_of::<User>(), 64);
    }

    #[test]
    fn defect_5_registrations_are_spread_not_clamped_at_five_years() {
        for growth in [0.0, 0.1, 10.0] {
            let mut random = Random::stream(4, 4);
            let ages: Vec<f64> = (0..20_000).map(|_| registration_age(growth, &mut random) / YEAR).collect();
            assert!(ages.iter().all(|age| (0.0..=YEARS_BACK).contains(age)), "seed 4, growth {growth}");
            let at_the_end = ages.iter().filter(|age| **age > YEARS_BACK - 0.01).count();
            assert!(at_the_end < 100, "seed 4, growth {growth}: {at_the_end} of 20,000 at the limit");
        }
    }
}
