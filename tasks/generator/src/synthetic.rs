//! A catalogue for those who have none: ten thousand songs that never were, in the columns of the Million Song Dataset subset.
//! The same bytes always: nothing here depends on the run's seed.

use std::fmt::Write as _;

use crate::catalogue::COLUMNS;
use crate::random::Random;

const SONGS: usize = 10_000;
const ARTISTS: usize = 3_900;
const STREAM: u64 = 0x736f_6e67_7331;
/// Mean and deviation of the logarithm of a song's seconds in the real subset.
const DURATION: (f64, f64) = (5.373, 0.480);

const ADJECTIVES: [&str; 48] = [
    "Amber",
    "Ancient",
    "Autumn",
    "Bitter",
    "Blue",
    "Bright",
    "Broken",
    "Burning",
    "Copper",
    "Crimson",
    "Crooked",
    "Crystal",
    "Distant",
    "Electric",
    "Empty",
    "Faded",
    "Falling",
    "Gentle",
    "Golden",
    "Hidden",
    "Hollow",
    "Idle",
    "Ivory",
    "Jagged",
    "Lonely",
    "Lost",
    "Lucid",
    "Midnight",
    "Muted",
    "Northern",
    "Paper",
    "Patient",
    "Quiet",
    "Restless",
    "Roaring",
    "Rusty",
    "Sacred",
    "Salt",
    "Scarlet",
    "Second",
    "Silver",
    "Slow",
    "Southern",
    "Stolen",
    "Tender",
    "Velvet",
    "Wandering",
    "Winter",
];
const NOUNS: [&str; 64] = [
    "Anchor",
    "Arrow",
    "Avenue",
    "Bell",
    "Bird",
    "Bridge",
    "Candle",
    "Canyon",
    "Carousel",
    "Castle",
    "Cathedral",
    "Circle",
    "City",
    "Cloud",
    "Coast",
    "Comet",
    "Compass",
    "Corridor",
    "Crown",
    "Dream",
    "Echo",
    "Ember",
    "Engine",
    "Feather",
    "Field",
    "Fire",
    "Forest",
    "Garden",
    "Ghost",
    "Harbor",
    "Heart",
    "Highway",
    "Horizon",
    "Hour",
    "Island",
    "Lantern",
    "Letter",
    "Lighthouse",
    "Machine",
    "Mirror",
    "Moon",
    "Mountain",
    "Ocean",
    "Orchard",
    "Parade",
    "Pilot",
    "Planet",
    "Promise",
    "Radio",
    "Rain",
    "River",
    "Road",
    "Room",
    "Sailor",
    "Shadow",
    "Signal",
    "Station",
    "Stone",
    "Storm",
    "Summer",
    "Tide",
    "Train",
    "Valley",
    "Window",
];
const TITLES: [&str; 12] = [
    "{a} {n}",
    "{n} of the {m}",
    "The {a} {n}",
    "{n} and {m}",
    "Under the {n}",
    "Song for a {n}",
    "{a} as a {n}",
    "Before the {n}",
    "When the {n} Turns {a}",
    "{n} in the {m}",
    "Goodbye_ {a} {n}",
    "My {n}",
];
const ARTIST_FORMS: [&str; 8] =
    ["The {n}s", "{a} {n}", "{n} & {m}", "The {a} {n}s", "{f} {n}", "{f} {a}", "{n} {m}", "DJ {n}"];
const FORENAMES: [&str; 24] = [
    "Ada", "Bela", "Clara", "Dario", "Edda", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Leo",
    "Mira", "Nico", "Olive", "Paulo", "Quinn", "Rosa", "Silas", "Tessa", "Uma", "Viktor", "Wanda", "Yuri",
];
const HOMES: [(&str, f64, f64); 16] = [
    ("New York, NY", 40.71455, -74.00712),
    ("Los Angeles, CA", 34.05349, -118.24532),
    ("Chicago, IL", 41.88415, -87.63241),
    ("Nashville, TN", 36.16778, -86.77836),
    ("Austin, TX", 30.26759, -97.74299),
    ("Seattle, WA", 47.60356, -122.32944),
    ("Detroit, MI", 42.33168, -83.04792),
    ("Atlanta, GA", 33.74831, -84.39111),
    ("London, England", 51.50632, -0.12714),
    ("Manchester, England", 53.4796, -2.24881),
    ("Paris, FR", 48.85692, 2.34121),
    ("Berlin, Germany", 52.51607, 13.37698),
    ("Stockholm, Sweden", 59.33217, 18.06243),
    ("Toronto, ON", 43.64856, -79.38533),
    ("Kingston, Jamaica", 17.99, -76.79),
    ("NA", 0.0, 0.0),
];

struct Artist {
    id: String,
    name: String,
    home: (&'static str, f64, f64),
}

/// The whole catalogue as CSV with a header.
pub(crate) fn csv() -> Vec<u8> {
    let mut random = Random::stream(STREAM, 0);
    let artists = artists(&mut random);
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(2 << 20));
    writer.write_record(COLUMNS).expect("writing to memory does not fail");
    for song in 0..SONGS {
        // The first songs go round all artists once; the rest favour the first of them.
        let artist =
            if song < ARTISTS { song } else { below(&mut random, ARTISTS).min(below(&mut random, ARTISTS)) };
        writer
            .write_record(record(song, &artists[artist], &mut random))
            .expect("writing to memory does not fail");
    }
    writer.into_inner().expect("writing to memory does not fail")
}

/// One row, its fields in the order of [`COLUMNS`].
fn record(song: usize, artist: &Artist, random: &mut Random) -> [String; 20] {
    let year = if random.unit() < 0.45 { 0 } else { 1955 + below(random, 56) };
    let hotness = if random.unit() < 0.43 { -1.0 } else { rounded(random.unit() * random.unit().sqrt(), 6) };
    let seconds = libm::exp(DURATION.0 + DURATION.1 * random.normal()).clamp(20.0, 1_800.0);
    [
        artist.id.clone(),
        format!("{:?}", artist.home.1),
        artist.home.0.to_owned(),
        format!("{:?}", artist.home.2),
        artist.name.clone(),
        "0.0".to_owned(),
        format!("{:?}", rounded(seconds, 5)),
        "0.0".to_owned(),
        below(random, 12).to_string(),
        format!("{:?}", rounded(random.unit(), 3)),
        format!("{:?}", rounded(-4.0 - 12.0 * random.unit(), 3)),
        below(random, 2).to_string(),
        format!("{:?}", rounded(random.unit(), 3)),
        fill(TITLES[below(random, TITLES.len())], random),
        format!("{hotness:?}"),
        identifier("SO", random),
        format!("{:?}", rounded(70.0 + 110.0 * random.unit(), 3)),
        // Two songs of one artist must not share a title: a join on both would double the listens.
        format!("{} No. {}", fill(TITLES[below(random, TITLES.len())], random), song + 1),
        identifier("TR", random),
        year.to_string(),
    ]
}

fn artists(random: &mut Random) -> Vec<Artist> {
    let mut taken = std::collections::HashSet::new();
    let mut artists = Vec::with_capacity(ARTISTS);
    for number in 0..ARTISTS {
        let mut name = fill(ARTIST_FORMS[below(random, ARTIST_FORMS.len())], random);
        if !taken.insert(name.clone()) {
            let _ = write!(name, " {}", number + 1);
            taken.insert(name.clone());
        }
        artists.push(Artist { id: identifier("AR", random), name, home: HOMES[below(random, HOMES.len())] });
    }
    artists
}

fn fill(form: &str, random: &mut Random) -> String {
    form.replace("{a}", ADJECTIVES[below(random, ADJECTIVES.len())])
        .replace("{n}", NOUNS[below(random, NOUNS.len())])
        .replace("{m}", NOUNS[below(random, NOUNS.len())])
        .replace("{f}", FORENAMES[below(random, FORENAMES.len())])
}

/// An identifier in the dataset's shape: two letters and sixteen letters or digits.
fn identifier(kind: &str, random: &mut Random) -> String {
    const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut id = kind.to_owned();
    id.extend((0..16).map(|_| char::from(LETTERS[below(random, 36)])));
    id
}

fn below(random: &mut Random, limit: usize) -> usize {
    (random.unit() * limit as f64) as usize
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn synthetic_catalogue_looks_like_the_subset() {
        let bytes = csv();
        assert_eq!(bytes, csv(), "the same bytes always");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), COLUMNS);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), SONGS);
        let unique = |column: usize| rows.iter().map(|row| &row[column]).collect::<HashSet<_>>().len();
        assert_eq!((unique(15), unique(18)), (SONGS, SONGS), "song and track ids are unique");
        assert_eq!((unique(0), unique(4)), (ARTISTS, ARTISTS), "an artist has one id and one name");
        let titles: HashSet<_> = rows.iter().map(|row| (&row[4], &row[17])).collect();
        assert_eq!(titles.len(), SONGS, "artist and title name one song");
        let mean = rows.iter().map(|row| row[6].parse::<f64>().unwrap()).sum::<f64>() / SONGS as f64;
        assert!((mean - 241.0).abs() < 8.0, "mean duration {mean}");
    }
}
