//! The simulation: all users, in the order of time. A pure function of the model; one thread, no clock.

use std::sync::Arc;

use crate::agenda::Agenda;
use crate::event::Event;
use crate::model::Model;
use crate::population::{Sessions, User, YEAR};
use crate::random::Random;

#[derive(Debug)]
pub(crate) struct Simulation {
    model: Arc<Model>,
    users: Vec<User>,
    agenda: Agenda,
    sessions: Sessions,
    arrivals: Option<Arrivals>,
}

#[derive(Debug)]
struct Arrivals {
    random: Random,
    next: f64,
}

impl Simulation {
    pub(crate) fn new(model: Arc<Model>) -> Self {
        let mut simulation = Self {
            users: Vec::with_capacity(model.users as usize),
            agenda: Agenda::default(),
            sessions: Sessions::default(),
            arrivals: (model.growth > 0.0).then(|| Arrivals {
                random: Random::stream(model.seed, u64::MAX),
                next: f64::from(model.from),
            }),
            model,
        };
        for index in 0..simulation.model.users {
            let (user, stays) = User::established(index, &simulation.model, &mut simulation.sessions);
            if stays {
                simulation.agenda.add(user.next, index);
            }
            simulation.users.push(user);
        }
        simulation.schedule_arrival();
        simulation
    }

    /// When the next event takes place; `None` when all users have left for good.
    pub(crate) fn peek(&mut self) -> Option<u32> {
        loop {
            let next = self.agenda.peek().map(|(at, _)| at);
            let arrival = self.arrivals.as_ref().map(|arrivals| arrivals.next);
            match arrival {
                Some(at) if at < f64::from(next.unwrap_or(u32::MAX)) => {
                    let index = self.users.len() as u32;
                    let user = User::newcomer(index, at as u32, &self.model, &mut self.sessions)?;
                    self.agenda.add(user.next, index);
                    self.users.push(user);
                    self.schedule_arrival();
                }
                _ => return next,
            }
        }
    }

    fn schedule_arrival(&mut self) {
        if let Some(arrivals) = &mut self.arrivals {
            let mean = YEAR / (self.users.len().max(1) as f64 * self.model.growth);
            arrivals.next += arrivals.random.exponential(mean);
        }
    }
}

impl Iterator for Simulation {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.peek()?;
        let (_, index) = self.agenda.peek()?;
        let user = &mut self.users[index as usize];
        let event = user.event(index);
        if user.step(&self.model, &mut self.sessions) {
            self.agenda.move_to(user.next, index);
        } else {
            self.agenda.remove();
        }
        Some(event)
    }
}

#[cfg(test)]
impl Simulation {
    /// Memory that grows with the users.
    pub(crate) fn bytes(&self) -> usize {
        self.users.capacity() * size_of::<User>() + self.agenda.bytes()
    }
}
