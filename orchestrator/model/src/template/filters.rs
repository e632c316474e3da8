//! Filters on instants, which are ISO-8601 texts: `strftime`, `date`, `timestamp`, `shift`. `strftime` and `isoformat` also work as
//! methods, as Airflow's templates have them.

use crate::duration;
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use minijinja::value::Rest;
use minijinja::{Environment, Error, ErrorKind, State, Value};

const WIDTH_DIGITS_MAX: usize = 4;
/// As many as `WIDTH_DIGITS_MAX` digits can say.
const SIZE_MAX: i128 = 9_999;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("strftime", strftime);
    environment.add_filter("date", |value: &str| strftime(value, "%Y-%m-%d", None));
    environment.add_filter("timestamp", |value: &str| instant(value).map(|instant| instant.timestamp()));
    environment.add_filter("shift", shift);
    environment.add_filter("format", format);
    environment.add_filter("minijinja_indent", minijinja::filters::indent);
    environment.add_filter("minijinja_tojson", minijinja::filters::tojson);
    environment.add_filter("minijinja_batch", minijinja::filters::batch);
    environment.add_filter("minijinja_slice", minijinja::filters::slice);
    for (name, own) in SIZED {
        environment.add_filter(name, move |state: &State<'_, '_>, arguments: Rest<Value>| {
            sized(name, &arguments)?;
            state.apply_filter(own, &arguments)
        });
    }
    environment.set_unknown_method_callback(|_, value, method, args| match (value.as_str(), method, args) {
        (Some(text), "strftime", [format]) => {
            let format = format.as_str().ok_or_else(|| invalid("strftime takes a format".to_owned()))?;
            strftime(text, format, None).map(Value::from)
        }
        (Some(text), "isoformat", []) => instant(text).map(|instant| Value::from(instant.to_rfc3339())),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    });
}

fn strftime(value: &str, format: &str, zone: Option<&str>) -> Result<String, Error> {
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    if items.contains(&Item::Error) {
        return Err(invalid(format!("'{format}' is no format of a time")));
    }
    let zone: Tz = match zone {
        None => Tz::UTC,
        Some(name) => name.parse().map_err(|_| invalid(format!("'{name}' is no time zone")))?,
    };
    Ok(instant(value)?.with_timezone(&zone).format_with_items(items.into_iter()).to_string())
}

/// minijinja's own, but for widths and precisions: it would take any, and end the process where memory does not suffice.
fn format(state: &State<'_, '_>, text: &Value, arguments: Rest<Value>) -> Result<Value, Error> {
    let digits = text.as_str().unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    if text.as_str().is_some_and(|text| text.contains("%*") || text.contains(".*"))
        || digits.map(str::len).max().unwrap_or(0) > WIDTH_DIGITS_MAX
    {
        return Err(invalid(format!("format: widths have at most {WIDTH_DIGITS_MAX} digits, and no `*`")));
    }
    minijinja::filters::format(state, text, arguments)
}

/// minijinja's own filters that reserve as much memory as they are told to.
const SIZED: [(&str, &str); 4] = [
    ("indent", "minijinja_indent"),
    ("tojson", "minijinja_tojson"),
    ("batch", "minijinja_batch"),
    ("slice", "minijinja_slice"),
];

/// The first argument is what is filtered; a size is among the others, by place or by name.
fn sized(filter: &str, arguments: &[Value]) -> Result<(), Error> {
    let named =
        |value: &Value| ["width", "indent", "count"].map(|name| value.get_attr(name).unwrap_or_default());
    let given = arguments.iter().skip(1);
    let mut sizes =
        given.flat_map(|value| if value.is_kwargs() { named(value).to_vec() } else { vec![value.clone()] });
    match sizes.find(|size| i128::try_from(size.clone()).is_ok_and(|size| size > SIZE_MAX)) {
        Some(size) => {
            Err(invalid(format!("{filter}: {size} is too large, widths and sizes end at {SIZE_MAX}")))
        }
        None => Ok(()),
    }
}

/// Later by a duration, or sooner: `shift("-1d")`.
fn shift(value: &str, by: &str) -> Result<String, Error> {
    let (text, sign) = by.strip_prefix('-').map_or((by, 1), |text| (text, -1));
    let length = TimeDelta::from_std(duration::parse(text).map_err(invalid)?);
    let moved = length.ok().and_then(|length| instant(value).ok()?.checked_add_signed(length * sign));
    let moved = moved.ok_or_else(|| invalid(format!("cannot shift '{value}' by '{by}'")))?;
    Ok(moved.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn instant(text: &str) -> Result<DateTime<Utc>, Error> {
    let date = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|midnight| midnight.and_utc());
    let instant = DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc()).ok().or_else(date);
    instant.ok_or_else(|| invalid(format!("'{text}' is no instant")))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
