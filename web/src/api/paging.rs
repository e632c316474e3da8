//! `limit`, `offset` and `order_by`, as Airflow has them.

use super::ApiError;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Paging {
    #[serde(default = "usual")]
    limit: i64,
    #[serde(default)]
    offset: i64,
}

fn usual() -> i64 {
    50
}

impl Paging {
    /// At most 100 at a time; a larger wish gets 100.
    pub fn limit(&self) -> i64 {
        self.limit.clamp(0, 100)
    }

    pub fn offset(&self) -> i64 {
        self.offset.max(0)
    }
}

/// `-field` is descending; an unknown field is an error that names the known ones.
pub fn order<T: Copy>(order_by: &str, fields: &[(&str, T)]) -> Result<(T, bool), ApiError> {
    let (name, ascending) = order_by.strip_prefix('-').map_or((order_by, true), |name| (name, false));
    let found = fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
    found.map(|value| (value, ascending)).ok_or_else(|| {
        let known: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
        ApiError::Unprocessable(format!("order_by: cannot order by '{name}'; known: {}", known.join(", ")))
    })
}

/// Values of a repeated parameter: Airflow's clients repeat it (`state=a&state=b`).
pub fn repeated(query: Option<&str>, name: &str) -> Vec<String> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| decode(value))
        .filter(|value| !value.is_empty())
        .collect()
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                if let (Some(high), Some(low)) = (hex(ahead.next()), hex(ahead.next())) {
                    out.push((high * 16 + low) as u8);
                    bytes = ahead;
                } else {
                    out.push(byte);
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// States by name; an unknown one is an error. `any` of Airflow's own states that we do not have finds nothing.
pub fn states<T: std::str::FromStr<Err = String>>(names: &[String]) -> Result<Vec<T>, ApiError> {
    names.iter().map(|name| name.parse().map_err(ApiError::Unprocessable)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_parameters_are_all_read_and_decoded() {
        assert_eq!(
            repeated(Some("state=failed&x=1&state=up%5Ffor+x&state="), "state"),
            ["failed", "up_for x"]
        );
        assert_eq!(repeated(Some("a=%zz"), "a"), ["%zz"]);
    }

    #[test]
    fn an_unknown_order_names_the_known_ones() {
        assert!(matches!(order("-b", &[("a", 1), ("b", 2)]), Ok((2, false))));
        let Err(ApiError::Unprocessable(detail)) = order("c", &[("a", 1), ("b", 2)]) else {
            panic!("accepted")
        };
        assert!(detail.contains("a, b"));
    }
}
