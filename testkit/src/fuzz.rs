//! Mutated inputs for parsers of what comes from outside: seeded, so that each failure can be played again.
//!
//! `FUZZ_SECONDS` makes each target search for that long from `FUZZ_SEED` (`cargo xtask fuzz`); without it a target tries a fixed number
//! of inputs of a fixed seed, which is quick and the same each time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// No single input may take longer, even on a loaded machine in a debug build.
const INPUT_MAX: Duration = Duration::from_secs(30);
const BYTES_MAX: usize = 64 << 10;
/// What parsers trip over: ends of ranges, marks of formats, text that is not ASCII or no text at all.
const TOKENS: [&[u8]; 34] = [
    b"0",
    b"-1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"1e308",
    b"NaN",
    b"0x7f",
    b"null",
    b"true",
    b"\"",
    b"'",
    b"\\",
    b"\0",
    b"\xff\xfe",
    b"\xc3",
    "\u{1F3B5}".as_bytes(),
    "\u{202E}".as_bytes(),
    b"\r\n",
    b"\t",
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"[",
    b"{",
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"!!binary ",
    b"|\n",
    b"9999-12-31T23:59:60Z",
    b"*/0",
];

/// One parser under attack.
pub struct Fuzz {
    name: &'static str,
    seed: u64,
    state: u64,
    corpus: Vec<Vec<u8>>,
    until: Until,
    tried: u64,
}

enum Until {
    Rounds(u64),
    Instant(Instant),
}

impl Fuzz {
    /// `rounds` inputs made of `corpus`, or as many as fit into `FUZZ_SECONDS`. An empty corpus is a mistake of the test.
    pub fn new(name: &'static str, corpus: Vec<Vec<u8>>, rounds: u64) -> Fuzz {
        assert!(!corpus.is_empty(), "{name}: there is nothing to mutate");
        let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
        let until = number("FUZZ_SECONDS").map_or(Until::Rounds(rounds), |seconds| {
            Until::Instant(Instant::now() + Duration::from_secs(seconds))
        });
        let seed = number("FUZZ_SEED").unwrap_or(1);
        Fuzz { name, seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, corpus, until, tried: 0 }
    }

    /// Gives each input to `parse`, which must neither panic nor take for ever.
    pub fn run(mut self, mut parse: impl FnMut(&[u8])) {
        while let Some(input) = self.next_input() {
            let begun = Instant::now();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| parse(&input))) {
                self.fail(&input, &format!("panicked: {}", said(panic.as_ref())));
            }
            if begun.elapsed() > INPUT_MAX {
                self.fail(&input, &format!("took {:?}", begun.elapsed()));
            }
        }
        println!("{}: {} inputs from seed {}: nothing panics", self.name, self.tried, self.seed);
    }

    /// The next input; `None` when it was enough.
    pub fn next_input(&mut self) -> Option<Vec<u8>> {
        let goes_on = match self.until {
            Until::Rounds(rounds) => self.tried < rounds,
            Until::Instant(end) => Instant::now() < end,
        };
        if !goes_on {
            return None;
        }
        self.tried += 1;
        let at = self.below(self.corpus.len());
        let mut input = self.corpus[at].clone();
        for _ in 0..=self.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(BYTES_MAX);
        Some(input)
    }

    /// Ends the test with what is needed to see it again.
    pub fn fail(&self, input: &[u8], what: &str) -> ! {
        panic!(
            "{}: {what}\nseed {}, input {} (FUZZ_SEED={} plays it again):\n{}",
            self.name,
            self.seed,
            self.tried,
            self.seed,
            input.escape_ascii()
        );
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(24)).min(input.len());
        match self.below(9) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 if !input.is_empty() => {
                let at = at.min(input.len() - 1);
                input[at] ^= 1 << self.below(8);
            }
            3 => {
                let again: Vec<u8> = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            // Depth and length.
            4 => {
                let token = TOKENS[self.below(TOKENS.len())];
                let times = 1 << self.below(11);
                input.splice(at..at, token.repeat(times));
            }
            5 => self.splice_other(input, at),
            6 => self.swap_lines(input),
            7 => replace_number(input, at, TOKENS[self.below(10)]),
            _ => {
                let token = TOKENS[self.below(TOKENS.len())];
                input.splice(at..end, token.iter().copied());
            }
        }
        input.truncate(BYTES_MAX);
    }

    fn splice_other(&mut self, input: &mut Vec<u8>, at: usize) {
        let chosen = self.below(self.corpus.len());
        let from = self.below(self.corpus[chosen].len() + 1);
        let to = (from + self.below(200)).min(self.corpus[chosen].len());
        let part: Vec<u8> = self.corpus[chosen][from..to].to_vec();
        input.splice(at..at, part);
    }

    fn swap_lines(&mut self, input: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> =
            input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if lines.len() > 1 {
            let (one, two) = (self.below(lines.len()), self.below(lines.len()));
            lines.swap(one, two);
        }
        *input = lines.concat();
    }

    /// xorshift*: good enough to choose, and the same everywhere.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let high = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(high).unwrap_or(0) % bound.max(1)
    }
}

fn replace_number(input: &mut Vec<u8>, from: usize, with: &[u8]) {
    let Some(start) = input[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let end =
        input[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(input.len(), |at| start + at);
    input.splice(start..end, with.iter().copied());
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned())
}

/// The files with this ending in a folder of the repository and below it, in a fixed order.
pub fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut found = Vec::new();
    let mut folders = vec![std::path::Path::new(root).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_inputs_and_they_differ_from_what_they_were_made_of() {
        let corpus =
            || vec![b"dag: hourly\nschedule: {cron: \"5 * * * *\"}\n".to_vec(), b"{\"ts\": 17}".to_vec()];
        let all = || {
            let mut fuzz = Fuzz { until: Until::Rounds(500), ..Fuzz::new("test", corpus(), 500) };
            std::iter::from_fn(move || fuzz.next_input()).collect::<Vec<_>>()
        };
        let inputs = all();
        assert_eq!(inputs, all());
        assert_eq!(inputs.len(), 500);
        assert!(inputs.iter().filter(|input| !corpus().contains(input)).count() > 400);
        assert!(inputs.iter().all(|input| input.len() <= BYTES_MAX));
    }

    #[test]
    #[should_panic(expected = "panicked: a bug")]
    fn a_panic_of_the_parser_is_a_failure_with_its_seed() {
        Fuzz { until: Until::Rounds(500), ..Fuzz::new("test", vec![b"x".to_vec()], 500) }
            .run(|input| assert!(!input.contains(&b'['), "a bug"));
    }
}
