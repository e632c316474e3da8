//! Who the users are: names, places and browsers, from the embedded tables, ready as pieces of JSON.

use crate::random::{Random, Weighted};

const LOCATIONS: &str = include_str!("../data/locations.csv");
const FIRST_NAMES: &str = include_str!("../data/first_names.csv");
const LAST_NAMES: &str = include_str!("../data/last_names.csv");
const USER_AGENTS: &str = include_str!("../data/user_agents.csv");

/// A weighted list whose entries are finished pieces of JSON.
#[derive(Debug)]
struct Choices {
    choice: Weighted,
    json: Vec<Box<str>>,
}

/// The four tables; immutable, shared by all users.
#[derive(Debug)]
pub(crate) struct People {
    places: Choices,
    women: Choices,
    men: Choices,
    last_names: Choices,
    agents: Choices,
}

/// What does not change about a user; indexes into [`People`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    /// Seconds since 1970.
    pub(crate) registration: u32,
    place: u16,
    last_name: u16,
    first_name: u8,
    agent: u8,
    woman: bool,
}

impl Choices {
    /// Reads an embedded table: `piece` turns a row into its weight and its JSON.
    fn read<'a>(
        rows: impl Iterator<Item = &'a csv::StringRecord>,
        piece: impl Fn(&csv::StringRecord) -> (f64, String),
    ) -> Self {
        let (weights, json): (Vec<f64>, Vec<Box<str>>) =
            rows.map(&piece).map(|(weight, json)| (weight, json.into_boxed_str())).unzip();
        let choice = Weighted::new(&weights).expect("embedded tables have weights above zero");
        Self { choice, json }
    }

    fn pick(&self, random: &mut Random) -> usize {
        self.choice.pick(random)
    }
}

fn rows(text: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(text.as_bytes())
        .into_records()
        .collect::<Result<_, _>>()
        .expect("embedded tables are well-formed CSV")
}

fn weight(row: &csv::StringRecord, column: usize) -> f64 {
    row[column].parse().expect("embedded weights are numbers")
}

/// A JSON string literal.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl People {
    pub(crate) fn new() -> Self {
        let place = |row: &csv::StringRecord| {
            let (zip, city, state) = (quoted(&row[0]), quoted(&row[1]), quoted(&row[2]));
            let (lat, lon) = (weight(row, 3), weight(row, 4));
            (
                weight(row, 5),
                format!(
                    r#""zip":{zip},"city":{city},"state":{state},"lat":{lat:?},"lon":{lon:?},"userAgent":"#
                ),
            )
        };
        let first = |row: &csv::StringRecord| {
            (weight(row, 2), format!(r#""firstName":{},"gender":"{}""#, quoted(&row[0]), &row[1]))
        };
        let names = rows(FIRST_NAMES);
        Self {
            places: Choices::read(rows(LOCATIONS).iter(), place),
            women: Choices::read(names.iter().filter(|row| &row[1] == "F"), first),
            men: Choices::read(names.iter().filter(|row| &row[1] == "M"), first),
            last_names: Choices::read(rows(LAST_NAMES).iter(), |row| {
                (weight(row, 1), format!(r#""lastName":{}"#, quoted(&row[0])))
            }),
            agents: Choices::read(rows(USER_AGENTS).iter(), |row| (weight(row, 0), quoted(&row[1]))),
        }
    }

    pub(crate) fn profile(&self, registration: u32, random: &mut Random) -> Profile {
        let woman = random.bits() >> 63 == 1;
        Profile {
            registration,
            place: self.places.pick(random) as u16,
            last_name: self.last_names.pick(random) as u16,
            first_name: if woman { &self.women } else { &self.men }.pick(random) as u8,
            agent: self.agents.pick(random) as u8,
            woman,
        }
    }

    /// `"zip":..,"city":..,"state":..,"lat":..,"lon":..,"userAgent":` and its value apart.
    pub(crate) fn device(&self, profile: &Profile) -> (&str, &str) {
        (&self.places.json[usize::from(profile.place)], &self.agents.json[usize::from(profile.agent)])
    }

    /// `"lastName":..` and `"firstName":..,"gender":..`.
    pub(crate) fn names(&self, profile: &Profile) -> (&str, &str) {
        let first = if profile.woman { &self.women } else { &self.men };
        (&self.last_names.json[usize::from(profile.last_name)], &first.json[usize::from(profile.first_name)])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn embedded_tables_fit_their_indexes_and_cover_every_state() {
        let people = People::new();
        assert!(
            people.women.json.len() <= 256 && people.men.json.len() <= 256 && people.agents.json.len() <= 256
        );
        assert!(people.places.json.len() > 500 && people.last_names.json.len() >= 500);
        let rows = rows(LOCATIONS);
        let states: BTreeSet<&str> = rows.iter().map(|row| &row[2]).collect();
        assert_eq!(states.len(), 51, "fifty states and DC");
        assert!(states.iter().all(|state| state.len() == 2));
        assert!(rows.iter().all(|row| row[0].len() == 5 && weight(row, 3) != 0.0 && weight(row, 4) < 0.0));
    }
}
