//! The Markov chain of pages: states, the way from one to the next, and where sessions begin.

use std::collections::HashMap;

use crate::config::{Config, State};
use crate::error::Error;
use crate::random::{Random, Weighted};

/// In place of a state where there is none: the first event of a session has no previous one.
pub(crate) const NO_STATE: u16 = u16::MAX;
const CERTAIN: f64 = 1.0 - 1e-9;

/// A state with what the simulation needs to know of it, worked out once.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) state: State,
    pub(crate) plays_song: bool,
    pub(crate) is_login: bool,
    pub(crate) changes_level: bool,
    pub(crate) redirects: bool,
    pub(crate) shows_user: bool,
    pub(crate) logged_in: bool,
    /// One target more than listed means: the session ends.
    next: Weighted,
    targets: Vec<u16>,
    /// Where the next session of a user who left in this state begins; none for churned users.
    entry: Option<u16>,
}

#[derive(Debug)]
struct Start {
    choice: Weighted,
    states: Vec<u16>,
}

/// The chain; immutable, shared by all users.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) nodes: Vec<Node>,
    starts: Vec<Start>,
    first: Weighted,
    first_starts: Vec<u16>,
    newcomers: Option<u16>,
}

/// Auth and level.
type Viewer = (String, String);
type StartIndex = HashMap<Viewer, u16>;

impl Chain {
    /// # Errors
    /// `Error::Config` naming every state or list that makes no chain.
    pub(crate) fn new(config: &Config, file: &str) -> Result<Self, Error> {
        let states = states(config);
        let mut problems = Vec::new();
        if states.len() >= usize::from(NO_STATE) {
            problems.push(format!("{} states are more than {NO_STATE}", states.len()));
        }
        let index: HashMap<&State, u16> = states.iter().enumerate().map(|(i, s)| (s, i as u16)).collect();
        let (starts, start_index) = starts(config, &index, &mut problems);
        let first = first_sessions(config, &start_index, &mut problems);
        let mut outgoing: Vec<(Vec<u16>, Vec<f64>)> = vec![Default::default(); states.len()];
        for transition in &config.transitions {
            let (targets, weights) = &mut outgoing[usize::from(index[&transition.source])];
            targets.push(index[&transition.dest]);
            weights.push(transition.p);
        }
        let mut nodes = Vec::with_capacity(states.len());
        for (state, (targets, weights)) in states.iter().zip(outgoing) {
            nodes.extend(node(config, state, targets, weights, &start_index, &mut problems));
        }
        let newcomers =
            start_index.get(&(config.new_user_auth.clone(), config.new_user_level.clone())).copied();
        match first {
            Some((first, first_starts)) if problems.is_empty() => {
                Ok(Self { nodes, starts, first, first_starts, newcomers })
            }
            _ => Err(Error::Config { file: file.to_owned(), problem: problems.join("; ") }),
        }
    }

    pub(crate) fn node(&self, state: u16) -> &Node {
        &self.nodes[usize::from(state)]
    }

    /// The state after this one, or `None` when the session ends.
    pub(crate) fn next(&self, state: u16, random: &mut Random) -> Option<u16> {
        let node = self.node(state);
        node.targets.get(node.next.pick(random)).copied()
    }

    /// The first state of the session after one that ended here, or `None` when the user never returns.
    pub(crate) fn return_from(&self, state: u16, random: &mut Random) -> Option<u16> {
        self.node(state).entry.map(|start| self.begin(start, random))
    }

    /// The first state of a user who has been there before the history begins.
    pub(crate) fn established(&self, random: &mut Random) -> u16 {
        let start = self.first_starts[self.first.pick(random)];
        self.begin(start, random)
    }

    /// The first state of a user who arrives during the history.
    pub(crate) fn newcomer(&self, random: &mut Random) -> Option<u16> {
        self.newcomers.map(|start| self.begin(start, random))
    }

    pub(crate) fn takes_newcomers(&self) -> bool {
        self.newcomers.is_some()
    }

    fn begin(&self, start: u16, random: &mut Random) -> u16 {
        let start = &self.starts[usize::from(start)];
        start.states[start.choice.pick(random)]
    }
}

fn states(config: &Config) -> Vec<State> {
    let mut states: Vec<State> = Vec::new();
    let mut add = |state: &State| {
        if !states.contains(state) {
            states.push(state.clone());
        }
    };
    for entry in &config.new_session {
        add(&entry.state());
    }
    for transition in &config.transitions {
        add(&transition.source);
        add(&transition.dest);
    }
    states
}

fn starts(
    config: &Config,
    index: &HashMap<&State, u16>,
    problems: &mut Vec<String>,
) -> (Vec<Start>, StartIndex) {
    let mut groups: Vec<(Viewer, Vec<u16>, Vec<f64>)> = Vec::new();
    for entry in &config.new_session {
        let key = (entry.auth.clone(), entry.level.clone());
        let state = index[&entry.state()];
        match groups.iter_mut().find(|(known, ..)| *known == key) {
            Some((_, states, weights)) => {
                states.push(state);
                weights.push(entry.weight);
            }
            None => groups.push((key, vec![state], vec![entry.weight])),
        }
    }
    let (mut starts, mut start_index) = (Vec::new(), StartIndex::new());
    for ((auth, level), states, weights) in groups {
        let Some(choice) = Weighted::new(&weights) else {
            problems.push(format!("new-session: all weights of auth \"{auth}\", level \"{level}\" are zero"));
            continue;
        };
        start_index.insert((auth, level), starts.len() as u16);
        starts.push(Start { choice, states });
    }
    (starts, start_index)
}

fn first_sessions(
    config: &Config,
    starts: &StartIndex,
    problems: &mut Vec<String>,
) -> Option<(Weighted, Vec<u16>)> {
    let (mut weights, mut targets) = (Vec::new(), Vec::new());
    for auth in config.auths.iter().filter(|auth| auth.weight > 0.0) {
        for level in config.levels.iter().filter(|level| level.weight > 0.0) {
            match starts.get(&(auth.auth.clone(), level.level.clone())) {
                Some(start) => {
                    weights.push(auth.weight * level.weight);
                    targets.push(*start);
                }
                None => problems.push(format!(
                    "auths and levels let users begin as \"{}\", \"{}\", but new-session has no entry for that",
                    auth.auth, level.level
                )),
            }
        }
    }
    let choice = Weighted::new(&weights);
    if choice.is_none() {
        problems.push(
            "auths and levels leave no user to begin with: give one of each a weight above zero".to_owned(),
        );
    }
    choice.map(|choice| (choice, targets))
}

fn node(
    config: &Config,
    state: &State,
    targets: Vec<u16>,
    mut weights: Vec<f64>,
    starts: &StartIndex,
    problems: &mut Vec<String>,
) -> Option<Node> {
    let name =
        format!("{} ({}, {}, {}, {})", state.page, state.auth, state.method, state.status, state.level);
    let sum: f64 = weights.iter().sum();
    if sum > 2.0 - CERTAIN {
        problems.push(format!("transitions: the probabilities out of {name} add up to {sum}, more than 1"));
        return None;
    }
    let ends = sum < CERTAIN;
    if ends {
        weights.push(1.0 - sum);
    }
    let churned = config.churned_state.as_ref() == Some(&state.auth);
    let entry = starts.get(&(state.auth.clone(), state.level.clone())).copied().filter(|_| !churned);
    if ends && !churned && entry.is_none() {
        problems.push(format!(
            "a session can end in {name}, but new-session has no entry for auth \"{}\", level \"{}\"",
            state.auth, state.level
        ));
    }
    Some(Node {
        plays_song: state.page == "NextSong",
        is_login: state.page == "Login",
        changes_level: matches!(state.page.as_str(), "Submit Upgrade" | "Submit Downgrade"),
        redirects: (300..399).contains(&state.status),
        shows_user: config.show_user_details.iter().any(|rule| rule.auth == state.auth && rule.show),
        logged_in: state.auth == "Logged In",
        state: state.clone(),
        next: Weighted::new(&weights)?,
        targets,
        entry,
    })
}

impl crate::config::Entry {
    fn state(&self) -> State {
        State {
            page: self.page.clone(),
            auth: self.auth.clone(),
            method: self.method.clone(),
            status: self.status,
            level: self.level.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> (Config, Chain) {
        let (text, file) = crate::config::embedded();
        let config = Config::parse(text, file).unwrap();
        let chain = Chain::new(&config, file).unwrap();
        (config, chain)
    }

    /// Mean events and songs of a session that begins in the given group.
    fn session(chain: &Chain, start: u16) -> (f64, f64) {
        let mut random = Random::stream(11, u64::from(start));
        let (sessions, mut events, mut songs) = (60_000, 0u32, 0u32);
        for _ in 0..sessions {
            let mut state = Some(chain.begin(start, &mut random));
            while let Some(now) = state {
                events += 1;
                songs += u32::from(chain.node(now).plays_song);
                state = chain.next(now, &mut random);
            }
        }
        (f64::from(events) / f64::from(sessions), f64::from(songs) / f64::from(sessions))
    }

    #[test]
    fn built_in_chain_has_the_published_shape() {
        let (config, chain) = built_in();
        assert_eq!((chain.nodes.len(), config.transitions.len(), config.new_session.len()), (40, 198, 25));
    }

    #[test]
    fn sessions_are_as_long_as_the_chain_says() {
        let (config, chain) = built_in();
        let mut order: Vec<(String, String)> = Vec::new();
        for entry in &config.new_session {
            let key = (entry.auth.clone(), entry.level.clone());
            if !order.contains(&key) {
                order.push(key);
            }
        }
        for (auth, level, events, songs) in [
            ("Guest", "free", 3.06, 0.53),
            ("Logged In", "free", 2.72, 2.00),
            ("Logged Out", "free", 4.03, 1.16),
            ("Logged In", "paid", 29.64, 26.96),
            ("Logged Out", "paid", 16.67, 13.36),
        ] {
            let start = order.iter().position(|key| key.0 == auth && key.1 == level).unwrap() as u16;
            let (mean_events, mean_songs) = session(&chain, start);
            assert!(
                (mean_events / events - 1.0).abs() < 0.05,
                "seed 11, {auth} {level}: {mean_events} events"
            );
            assert!(
                (mean_songs - songs).abs() < 0.05 * songs.max(1.0),
                "seed 11, {auth} {level}: {mean_songs} songs"
            );
        }
    }

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let (mut config, _) = built_in();
        change(&mut config);
        Chain::new(&config, "my.json").unwrap_err().to_string()
    }

    #[test]
    fn probabilities_above_one_name_the_state() {
        let message = refused(|config| config.transitions[2].p = 0.999);
        assert!(message.contains("out of About (Guest, GET, 200, free) add up to"), "{message}");
    }

    #[test]
    fn a_session_that_ends_where_none_begins_is_refused() {
        let message = refused(|config| config.new_session.retain(|entry| entry.auth != "Logged Out"));
        assert!(
            message.contains("new-session has no entry for auth \"Logged Out\", level \"free\""),
            "{message}"
        );
    }

    #[test]
    fn a_world_without_users_is_refused() {
        let message = refused(|config| config.levels.iter_mut().for_each(|level| level.weight = 0.0));
        assert!(message.contains("leave no user to begin with"), "{message}");
    }
}
