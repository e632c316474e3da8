//! A log line as one flat JSON object: what is always there first, then the fields of the spans around it, then its own.

use serde_json::{Map, Value, json};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

const ALWAYS: [&str; 4] = ["timestamp", "level", "target", "message"];

/// Goes with [`JsonFields`].
pub struct FlatJson;

impl<S> FormatEvent<S, JsonFields> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let said = extensions.get::<FormattedFields<JsonFields>>();
            let said = said.and_then(|said| serde_json::from_str::<Map<String, Value>>(said).ok());
            said.into_iter().flatten().for_each(|(name, value)| fields.put(&name, value));
        }
        event.record(&mut fields);
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let meta = event.metadata();
        let mut line = Map::new();
        let always = [json!(now), json!(meta.level().as_str()), json!(meta.target()), json!(fields.message)];
        line.extend(ALWAYS.map(str::to_string).into_iter().zip(always));
        line.extend(fields.others);
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        match name {
            "message" => self.message = value.as_str().map_or_else(|| value.to_string(), str::to_string),
            name if ALWAYS.contains(&name) => drop(self.others.insert(format!("field_{name}"), value)),
            name => drop(self.others.insert(name.trim_start_matches("r#").to_string(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), json!(value));
    }
}
