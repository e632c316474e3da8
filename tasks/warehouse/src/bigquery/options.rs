//! The settings of one BigQuery warehouse: project, datasets, place, and what a query may cost.

use url::Url;

use crate::Error;

const KNOWN: &str = "location, max_bytes_billed, endpoint, storage_endpoint, complete";
const API: &str = "https://bigquery.googleapis.com";
const STORAGE: &str = "https://storage.googleapis.com";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) project: String,
    /// In front of each schema's name: `streamify_` makes `prod` the dataset `streamify_prod`.
    pub(super) prefix: String,
    pub(super) location: Option<String>,
    pub(super) max_bytes_billed: Option<u64>,
    pub(super) api: String,
    pub(super) storage: String,
    /// An emulator lacks partition decorators and row counts, and cannot replace a table.
    pub(super) is_emulator: bool,
    /// False for an endpoint without TLS: no token goes there.
    pub(super) needs_login: bool,
}

/// Schemas that are ours: the only names that a prefix is put before.
const SCHEMAS: [&str; 4] = ["raw", "staging", "prod", "quality"];

impl Options {
    /// `rest` is the URL after `bigquery:`: `project[/prefix][?option=value&..]`.
    pub(super) fn parse(url: &str, rest: &str) -> Result<Self, Error> {
        let fail = |problem: String| Error::Url { url: url.to_owned(), problem };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.trim_start_matches('/');
        let (project, prefix) = place.split_once('/').unwrap_or((place, ""));
        if project.is_empty() {
            return Err(fail("no project; write bigquery:project/prefix?location=EU".to_owned()));
        }
        if !project.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':')) {
            return Err(fail(format!("`{project}` is no project id")));
        }
        if !prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(fail(format!("the prefix `{prefix}` may have letters, digits and _ only")));
        }
        let mut options = Self {
            project: project.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}_") },
            location: None,
            max_bytes_billed: None,
            api: API.to_owned(),
            storage: STORAGE.to_owned(),
            is_emulator: false,
            needs_login: true,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("location", place)) if !place.is_empty() => options.location = Some(place.to_owned()),
                Some(("max_bytes_billed", limit)) => {
                    let limit = bytes(limit).ok_or_else(|| {
                        fail(format!("max_bytes_billed={limit} is no size such as 50GB or 1TB"))
                    })?;
                    options.max_bytes_billed = Some(limit);
                }
                Some(("endpoint", endpoint)) => {
                    options.api = own_endpoint(endpoint).map_err(fail)?;
                    options.needs_login = !options.api.starts_with("http:");
                    options.is_emulator = !options.needs_login;
                }
                Some(("storage_endpoint", endpoint)) => {
                    options.storage = own_endpoint(endpoint).map_err(fail)?;
                }
                // Behind this address is all that BigQuery does.
                Some(("complete", "true")) => options.is_emulator = false,
                _ => return Err(fail(format!("unknown option `{pair}`; known: {KNOWN}"))),
            }
        }
        Ok(options)
    }

    pub(super) fn dataset(&self, schema: &str) -> String {
        format!("{}{schema}", self.prefix)
    }

    /// The dataset of one of our schemas, where it has another name than the schema.
    pub(super) fn renamed(&self, schema: &str) -> Option<String> {
        (!self.prefix.is_empty() && SCHEMAS.contains(&schema)).then(|| self.dataset(schema))
    }
}

/// Without TLS only on this machine: a token must not travel in the clear.
fn own_endpoint(endpoint: &str) -> Result<String, String> {
    let parsed = Url::parse(endpoint).map_err(|error| format!("{endpoint}: {error}"))?;
    let local = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
        || parsed.host_str().is_some_and(|host| !host.contains('.'));
    match parsed.scheme() {
        "https" => Ok(endpoint.trim_end_matches('/').to_owned()),
        "http" if local => Ok(endpoint.trim_end_matches('/').to_owned()),
        _ => Err(format!("{endpoint}: http is for emulators on this machine or network only; use https")),
    }
}

/// `50GB`, `1TB`, or a number of bytes.
fn bytes(text: &str) -> Option<u64> {
    let units = [("TB", 40), ("GB", 30), ("MB", 20)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit).map(|number| (number, *shift)))
        .unwrap_or((text, 0));
    number.parse::<u64>().ok().filter(|number| *number > 0)?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(rest: &str) -> Result<Options, String> {
        Options::parse(&format!("bigquery:{rest}"), rest).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_names_project_prefix_place_and_limit() {
        let options = parse("my-project/streamify?location=EU&max_bytes_billed=50GB").unwrap();
        assert_eq!((options.project.as_str(), options.location.as_deref()), ("my-project", Some("EU")));
        assert_eq!(options.max_bytes_billed, Some(50 << 30));
        assert_eq!(options.dataset("prod"), "streamify_prod");
        assert_eq!(options.renamed("alias"), None);
        assert_eq!(parse("p").unwrap().renamed("prod"), None);
    }

    #[test]
    fn a_bad_url_says_what_is_wrong() {
        for (rest, said) in [
            ("", "no project"),
            ("a b", "no project id"),
            ("p/x-y", "letters, digits and _"),
            ("p?place=EU", "known: location"),
            ("p?max_bytes_billed=much", "50GB"),
            ("p?endpoint=http://example.org", "use https"),
        ] {
            assert!(parse(rest).unwrap_err().contains(said), "{rest}");
        }
    }
}
