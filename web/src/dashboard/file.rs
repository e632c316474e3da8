//! One panel's file: a header of `-- key: value` lines, then one query with named values (`$from`, `$to`, `$now`, and each filter).

use warehouse::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows of `value, label`: the choices of a filter.
    Filter,
    /// One row: `value`, and `previous` to compare with.
    Number,
    /// One row, each column a fact.
    Strip,
    /// Rows of `label, value`, shaded by value.
    Ranking,
    /// Rows of `label, value`, each as a share of the first.
    Funnel,
    /// Rows of `label, value`.
    Donut,
    /// Rows of `label, series, value`.
    Stacked,
    /// Rows of `label, series, value`; the first series is the one that counts.
    Lines,
    /// Rows of `row, col, value`.
    Heat,
    /// Rows of `code, value`: US states.
    Map,
}

const KINDS: [(&str, Kind); 10] = [
    ("filter", Kind::Filter),
    ("number", Kind::Number),
    ("strip", Kind::Strip),
    ("ranking", Kind::Ranking),
    ("funnel", Kind::Funnel),
    ("donut", Kind::Donut),
    ("stacked", Kind::Stacked),
    ("lines", Kind::Lines),
    ("heat", Kind::Heat),
    ("map", Kind::Map),
];

#[derive(Debug, Clone)]
pub struct PanelFile {
    /// The file's name without `.sql`.
    pub id: String,
    pub title: String,
    pub kind: Kind,
    pub order: i32,
    /// Of twelve columns.
    pub width: u8,
    /// Of a chart, in pixels.
    pub height: u16,
    pub note: String,
    /// For a filter: the name of its value in the other queries.
    pub name: String,
    /// For a filter: what no choice is called.
    pub all: String,
    /// For a map: the filter that a click sets.
    pub filter: String,
    pub percent: bool,
    /// More of this figure is worse.
    pub down_is_better: bool,
    /// With `$1`, `$2`, .. for the values.
    pub sql: String,
    /// The name of each value, in order.
    pub values: Vec<String>,
}

impl PanelFile {
    pub fn parse(id: &str, text: &str) -> Result<PanelFile, String> {
        let mut panel = PanelFile {
            id: id.into(),
            title: String::new(),
            kind: Kind::Number,
            order: 1000,
            width: 4,
            height: 220,
            note: String::new(),
            name: String::new(),
            all: "all".into(),
            filter: String::new(),
            percent: false,
            down_is_better: false,
            sql: String::new(),
            values: Vec::new(),
        };
        let mut kind = None;
        for (number, line) in text.lines().enumerate() {
            let Some((key, value)) = line.strip_prefix("-- ").and_then(|line| line.split_once(": ")) else {
                break;
            };
            let value = value.trim();
            let wrong = |what: &str| format!("line {}: {what}: '{value}'", number + 1);
            match key {
                "panel" => panel.title = value.into(),
                "kind" => kind = Some(read_kind(value).ok_or_else(|| wrong("unknown kind; known: filter, number, strip, ranking, funnel, donut, stacked, lines, heat, map"))?),
                "order" => panel.order = value.parse().map_err(|_| wrong("order must be a number"))?,
                "width" => panel.width = value.parse().ok().filter(|w| (2..=12).contains(w)).ok_or_else(|| wrong("width must be 2 to 12"))?,
                "height" => {
                    panel.height = value
                        .parse()
                        .ok()
                        .filter(|h| (80..=1000).contains(h))
                        .ok_or_else(|| wrong("height must be 80 to 1000"))?;
                }
                "note" => panel.note = value.into(),
                "name" => panel.name = value.into(),
                "all" => panel.all = value.into(),
                "filter" => panel.filter = value.into(),
                "unit" if value == "percent" => panel.percent = true,
                "better" if value == "down" => panel.down_is_better = true,
                _ => return Err(wrong(&format!("unknown header '{key}'"))),
            }
        }
        panel.kind = kind.ok_or("the header lacks '-- kind: ..'")?;
        if panel.title.is_empty() {
            return Err("the header lacks '-- panel: <title>'".into());
        }
        if panel.kind == Kind::Filter && panel.name.is_empty() {
            return Err("a filter needs '-- name: <value in the other queries>'".into());
        }
        (panel.sql, panel.values) = number_values(text);
        Ok(panel)
    }

    /// The bound values of this query, from all that there are.
    pub fn bind(&self, known: &[(String, Value)]) -> Result<Vec<Value>, String> {
        let find = |name: &String| {
            let value = known.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
            value.ok_or_else(|| {
                format!("the query names ${name}, which is no filter and none of $from, $to, $now")
            })
        };
        self.values.iter().map(find).collect()
    }
}

fn read_kind(word: &str) -> Option<Kind> {
    KINDS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

/// `$name` becomes `$1`, `$2`, .. in the order of first use; text in quotes and comments is left alone.
fn number_values(text: &str) -> (String, Vec<String>) {
    let mut sql = String::with_capacity(text.len());
    let mut values: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\'', '-']) {
        let (before, found) = rest.split_at(at);
        sql.push_str(before);
        let taken = match found.as_bytes() {
            [b'\'', ..] => found[1..].find('\'').map_or(found.len(), |end| end + 2),
            [b'-', b'-', ..] => found.find('\n').unwrap_or(found.len()),
            [b'$', first, ..] if first.is_ascii_alphabetic() => {
                let end = found[1..]
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .map_or(found.len(), |end| end + 1);
                let name = &found[1..end];
                let index = values.iter().position(|known| known == name).unwrap_or_else(|| {
                    values.push(name.into());
                    values.len() - 1
                });
                sql.push_str(&format!("${}", index + 1));
                rest = &found[end..];
                continue;
            }
            _ => 1,
        };
        sql.push_str(&found[..taken]);
        rest = &found[taken..];
    }
    sql.push_str(rest);
    (sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_by_first_use_and_never_in_quotes_or_comments() {
        let text = "-- panel: A\n-- kind: number\nselect '$to' from t -- $no\nwhere a >= $from and b = $state and c < $from";
        let panel = PanelFile::parse("a", text).unwrap();
        assert!(panel.sql.ends_with("select '$to' from t -- $no\nwhere a >= $1 and b = $2 and c < $1"));
        assert_eq!(panel.values, ["from", "state"]);
        assert!(panel.bind(&[("from".into(), Value::Null)]).unwrap_err().contains("$state"));
    }

    #[test]
    fn a_bad_header_is_named_with_its_line() {
        assert!(
            PanelFile::parse("a", "-- panel: A\n-- kind: pie\nselect 1").unwrap_err().starts_with("line 2")
        );
        assert!(PanelFile::parse("a", "-- kind: donut\nselect 1").unwrap_err().contains("panel"));
        assert!(
            PanelFile::parse("a", "-- panel: F\n-- kind: filter\nselect 1").unwrap_err().contains("name")
        );
    }
}
