//! The songs: the Million Song Dataset's CSV (20 columns) as tracks with weights, and Eventsim's listen counts.

use std::collections::HashMap;

use crate::error::Error;
use crate::people::quoted;
use crate::random::{Random, Weighted};

/// The columns of the Million Song Dataset subset, in its order.
pub const COLUMNS: [&str; 20] = [
    "artist_id",
    "artist_latitude",
    "artist_location",
    "artist_longitude",
    "artist_name",
    "danceability",
    "duration",
    "energy",
    "key",
    "key_confidence",
    "loudness",
    "mode",
    "mode_confidence",
    "release",
    "song_hotttnesss",
    "song_id",
    "tempo",
    "title",
    "track_id",
    "year",
];
const DEFAULT_SECONDS: f64 = 180.0;
/// Popularity falls with the rank's power: the best-known of 10,000 songs gets about 0.5 % of all plays.
const SKEW: f64 = 0.5;

/// All tracks; immutable, shared by all users.
#[derive(Debug)]
pub(crate) struct Catalogue {
    choice: Weighted,
    tracks: Vec<Track>,
}

#[derive(Debug)]
pub(crate) struct Track {
    /// `"artist":..,"song":..,"duration":..`
    pub(crate) json: Box<str>,
    /// Whole seconds, as the simulation's clock counts.
    pub(crate) seconds: u32,
}

struct Row {
    track: Track,
    track_id: String,
    hotness: f64,
}

impl Catalogue {
    /// Reads a songs CSV; `counts` are listen counts by track id.
    ///
    /// # Errors
    /// `Error::Songs` with the file and what is missing, or the line and column that cannot be read.
    pub(crate) fn read(
        text: &[u8],
        file: &str,
        counts: Option<&HashMap<String, f64>>,
    ) -> Result<Self, Error> {
        let rows = rows(text, file)?;
        let weights = match counts {
            Some(counts) => by_count(&rows, counts, file),
            None => by_rank(&rows),
        };
        let refuse = |problem: &str| Error::Songs { file: file.to_owned(), problem: problem.to_owned() };
        let choice = Weighted::new(&weights)
            .ok_or_else(|| refuse("has a header but no song; give a file with songs"))?;
        Ok(Self { choice, tracks: rows.into_iter().map(|row| row.track).collect() })
    }

    pub(crate) fn pick(&self, random: &mut Random) -> u32 {
        self.choice.pick(random) as u32
    }

    pub(crate) fn track(&self, index: u32) -> &Track {
        &self.tracks[index as usize]
    }
}

fn rows(text: &[u8], file: &str) -> Result<Vec<Row>, Error> {
    let refuse = |problem: String| Error::Songs { file: file.to_owned(), problem };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().from_reader(text);
    let header = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    let column: HashMap<&str, usize> = header.iter().enumerate().map(|(i, name)| (name.trim(), i)).collect();
    let missing: Vec<&str> = COLUMNS.into_iter().filter(|name| !column.contains_key(name)).collect();
    if !missing.is_empty() {
        return Err(refuse(format!(
            "lacks the columns {}; it has {}. Give the Million Song Dataset subset as CSV with all of {}, \
             or leave --songs out for a synthetic catalogue",
            missing.join(", "),
            header.iter().collect::<Vec<_>>().join(", "),
            COLUMNS.join(", "),
        )));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| refuse(malformed(&error)))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = |name: &str| record[column[name]].trim();
        let number = |name: &str, default: f64| match text(name) {
            "" | "NA" | "nan" | "NaN" => Ok(default),
            text => text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| {
                refuse(format!(
                    "line {line}, column {name}: \"{text}\" is not a number; correct it or leave it empty"
                ))
            }),
        };
        let mut duration = number("duration", DEFAULT_SECONDS)?;
        if !(0.0..=86_400.0).contains(&duration) {
            return Err(refuse(format!(
                "line {line}, column duration: {duration} is not between 0 and 86400 seconds"
            )));
        }
        if duration == 0.0 {
            duration = DEFAULT_SECONDS;
        }
        let (artist, song) = (quoted(text("artist_name")), quoted(text("title")));
        let json = format!(r#""artist":{artist},"song":{song},"duration":{duration:?}"#).into_boxed_str();
        rows.push(Row {
            track: Track { json, seconds: duration as u32 },
            track_id: text("track_id").to_owned(),
            hotness: number("song_hotttnesss", -1.0)?,
        });
    }
    Ok(rows)
}

fn malformed(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => format!(
            "line {}: has {len} columns, the header has {expected_len}; look for a stray comma or quote",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        csv::ErrorKind::Utf8 { pos, err } => format!(
            "line {}, column {}: is not UTF-8; convert the file to UTF-8",
            pos.as_ref().map_or(0, csv::Position::line),
            COLUMNS.get(err.field()).copied().unwrap_or("?"),
        ),
        _ => error.to_string(),
    }
}

/// Without listen counts: a rank by `song_hotttnesss`, ties broken by the hash of the track id.
fn by_rank(rows: &[Row]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let tie = |row: &Row| {
        row.track_id.bytes().fold(0u64, |hash, byte| Random::stream(hash, u64::from(byte)).bits())
    };
    order.sort_by_cached_key(|&i| (std::cmp::Reverse(ordered(rows[i].hotness)), tie(&rows[i])));
    let mut weights = vec![0.0; rows.len()];
    for (rank, i) in order.into_iter().enumerate() {
        weights[i] = libm::pow(rank as f64 + 1.0, -SKEW);
    }
    weights
}

/// An integer with the order of the (finite) number.
fn ordered(number: f64) -> i64 {
    let bits = number.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn by_count(rows: &[Row], counts: &HashMap<String, f64>, file: &str) -> Vec<f64> {
    let found = rows.iter().filter(|row| counts.contains_key(&row.track_id)).count();
    if found < rows.len() || found < counts.len() {
        tracing::warn!(
            file,
            songs_without_count = rows.len() - found,
            counts_without_song = counts.len() - found.min(counts.len()),
            "songs without a listen count are played as if heard once"
        );
    }
    rows.iter().map(|row| counts.get(&row.track_id).copied().unwrap_or(1.0)).collect()
}

/// Reads Eventsim's listen counts: tab-separated track id, artist, title, duration, count.
///
/// # Errors
/// `Error::ListenCounts` with the file and line.
pub(crate) fn listen_counts(text: &str, file: &str) -> Result<HashMap<String, f64>, Error> {
    let mut counts = HashMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let count = fields.last().and_then(|count| count.trim().parse::<u64>().ok());
        match (fields.as_slice(), count) {
            ([track, _, _, _, _], Some(count)) => {
                counts.insert((*track).to_owned(), count as f64);
            }
            _ => {
                return Err(Error::ListenCounts {
                    file: file.to_owned(),
                    problem: format!(
                        "line {}: expected track id, artist, title, duration and a whole count, separated by tabs, \
                         found {} fields",
                        i + 1,
                        fields.len()
                    ),
                });
            }
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: &[&str]) -> String {
        format!("{}\n{}\n", COLUMNS.join(","), rows.join("\n"))
    }

    fn row(track: &str, duration: &str, hotness: &str) -> String {
        format!(
            "AR1,0.0,\"Here, there\",0.0,\"An \"\"artist\"\"\",0,{duration},0,1,0,-9,1,0,LP,{hotness},SO1,120,A song,{track},0"
        )
    }

    fn refused(text: &str) -> String {
        Catalogue::read(text.as_bytes(), "songs.csv", None).unwrap_err().to_string()
    }

    #[test]
    fn tracks_keep_their_words_and_numbers() {
        let text = file(&[&row("TR1", "172.90404", "0.5"), &row("TR2", "", "-1"), &row("TR3", "60", "")]);
        let catalogue = Catalogue::read(text.as_bytes(), "songs.csv", None).unwrap();
        assert_eq!(
            &*catalogue.track(0).json,
            r#""artist":"An \"artist\"","song":"A song","duration":172.90404"#
        );
        assert_eq!(catalogue.track(0).seconds, 172);
        assert!(catalogue.track(1).json.ends_with(r#""duration":180.0"#), "a missing duration is 180 s");
        assert!(
            catalogue.track(2).json.ends_with(r#""duration":60.0"#),
            "a duration is always written as a fraction"
        );
    }

    #[test]
    fn missing_columns_are_named_with_what_was_found() {
        let message = refused("artist_name,title\nA,B\n");
        assert!(message.starts_with("songs songs.csv: lacks the columns artist_id, "), "{message}");
        assert!(
            message.contains("it has artist_name, title.") && message.contains("leave --songs out"),
            "{message}"
        );
    }

    #[test]
    fn malformed_rows_are_named_by_line_and_column() {
        let message = refused(&file(&[&row("TR1", "10", "0"), &row("TR2", "long", "0")]));
        assert!(message.contains("line 3, column duration: \"long\" is not a number"), "{message}");
        let message = refused(&file(&[&row("TR1", "-5", "0")]));
        assert!(message.contains("line 2, column duration: -5"), "{message}");
        let message = refused(&file(&["one,two"]));
        assert!(message.contains("line 2: has 2 columns, the header has 20"), "{message}");
        assert!(refused(&file(&[])).contains("no song"));
    }

    #[test]
    fn hotter_songs_weigh_more_and_equal_ones_are_ranked_deterministically() {
        let text = file(&[
            &row("TR1", "10", "-1.0"),
            &row("TR2", "10", "0.9"),
            &row("TR3", "10", "0.2"),
            &row("TR4", "10", "-1.0"),
        ]);
        let weights = by_rank(&rows(text.as_bytes(), "f").unwrap());
        assert_eq!(weights[1], 1.0);
        assert!(
            weights[1] > weights[2] && weights[2] > weights[0].max(weights[3]) && weights[0] != weights[3]
        );
    }

    #[test]
    fn listen_counts_weigh_tracks_and_bad_lines_are_named() {
        let counts = listen_counts("TR1\tA\tB\t10.0\t82\nTR2\tA\tB\t10.0\t7\n", "counts.txt").unwrap();
        assert_eq!((counts["TR1"], counts["TR2"]), (82.0, 7.0));
        let message = listen_counts("TR1\tA\tB\t10.0\t82\nTR2\tA\n", "counts.txt").unwrap_err().to_string();
        assert!(message.contains("counts.txt: line 2") && message.contains("found 2 fields"), "{message}");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_column() {
        let text = format!("\u{feff}{}", file(&[&row("TR1", "10", "0")]));
        assert_eq!(Catalogue::read(text.as_bytes(), "f", None).unwrap().tracks.len(), 1);
    }
}
