//! Random cron expressions that croniter knows, too.

pub struct Random {
    pub seed: u64,
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Random { seed, state: seed }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn from(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    /// A number, range, list or step.
    fn field(&mut self, low: usize, high: usize) -> String {
        let (one, other) = (self.from(low, high), self.from(low, high));
        let (less, more) = (one.min(other), one.max(other));
        match self.below(6) {
            0 => one.to_string(),
            1 if less < more => format!("{less}-{more}"),
            2 if less < more => format!("{less}-{more}/{}", self.from(1, high - low)),
            3 if less < more => format!("{less},{more},{}", self.from(low, high)),
            4 => format!("*/{}", self.from(2, high - low)),
            _ => "*".to_owned(),
        }
    }

    /// Fires on most days, and often in the small hours, when clocks change.
    pub fn daily(&mut self) -> String {
        let minute = match self.below(4) {
            0 => "*/7".to_owned(),
            1 => self.from(0, 59).to_string(),
            2 => self.one_of(&["0", "30", "0,15,30,45", "45-59", "*/15"]).to_owned(),
            _ => self.field(0, 59),
        };
        let hour = match self.below(3) {
            0 => self.one_of(&["0", "1", "2", "3", "1-2", "0-3", "23", "*/2", "1,2", "*"]).to_owned(),
            _ => self.field(0, 23),
        };
        let days = self.one_of(&[
            "* * *",
            "* * *",
            "* * *",
            "*/2 * *",
            "* * 0,6",
            "* * SUN",
            "L * *",
            "* 3-4,9-11 *",
        ]);
        format!("{minute} {hour} {days}")
    }

    /// Fires on few days of the year.
    pub fn yearly(&mut self) -> String {
        const WEEKDAYS: [&str; 7] = ["sun", "MON", "tue", "WED", "thu", "FRI", "sat"];
        const MONTHS: [&str; 12] =
            ["jan", "FEB", "mar", "APR", "may", "JUN", "jul", "AUG", "sep", "OCT", "nov", "DEC"];
        let time = format!("{} {}", self.from(0, 59), self.from(0, 5));
        let month = match self.below(3) {
            0 => "*".to_owned(),
            1 => self.one_of(&MONTHS).to_owned(),
            _ => self.field(1, 12),
        };
        let weekday = self.below(7);
        let (day, weekday) = match self.below(7) {
            0 => ("*".to_owned(), format!("{}#{}", WEEKDAYS[weekday], self.from(1, 4))),
            1 => ("*".to_owned(), format!("L{weekday}")),
            2 => (format!("{}W", self.from(1, 31)), "*".to_owned()),
            3 => ("L".to_owned(), "*".to_owned()),
            4 => (self.from(1, 28).to_string(), WEEKDAYS[weekday].to_owned()),
            5 => (self.field(1, 28), self.field(0, 6)),
            _ => ("*/5".to_owned(), format!("{weekday}-7")),
        };
        format!("{time} {day} {month} {weekday}")
    }
}
