//! Replacing a table by a CSV file of the lake: the header is read first, so that columns are known by name.

use gcp_bigquery_client::model::field_type::FieldType;
use gcp_bigquery_client::model::job_configuration::JobConfiguration;
use gcp_bigquery_client::model::job_configuration_load::JobConfigurationLoad;
use gcp_bigquery_client::model::table_field_schema::TableFieldSchema;
use gcp_bigquery_client::model::table_reference::TableReference;
use gcp_bigquery_client::model::table_schema::TableSchema;
use url::Url;

use super::BigQuery;
use super::hour::{definition, input, quoted, split, value};
use super::values::type_of;
use crate::{Error, LoadColumn, Statement};

/// A header line is shorter.
const HEAD: usize = 64 << 10;

impl BigQuery {
    pub(super) async fn replace_by_csv(
        &self,
        table: &str,
        uri: &str,
        columns: &[LoadColumn],
    ) -> Result<u64, Error> {
        let (schema, name) = split(table)?;
        let header = self.header(uri).await?;
        let lacks = |column: &&LoadColumn| !header.contains(&column.name);
        let missing: Vec<&str> = columns.iter().filter(lacks).map(|column| column.name.as_str()).collect();
        if !missing.is_empty() {
            let message =
                format!("no column {} in the header; it has {}", missing.join(", "), header.join(", "));
            return Err(input(&format!("{uri}:1"), &message));
        }
        self.ensure_dataset(schema).await?;
        let scratch = format!("_load_{name}");
        self.load_text(schema, &scratch, uri, &header, columns).await?;
        let source = quoted(schema, &scratch);
        let rows = self.number(&format!("select count(*) as n from {source}"), &[]).await?;
        let table = quoted(schema, name);
        let definitions: Vec<String> = columns.iter().map(definition).collect();
        let values: Vec<String> = columns.iter().map(value).collect();
        let create = format!(
            "create or replace table {table} ({}) as select {} from {source}",
            definitions.join(", "),
            values.join(", ")
        );
        self.write(&[Statement::new(create)]).await?;
        self.drop_scratch(schema, &scratch).await;
        Ok(rows)
    }

    async fn load_text(
        &self,
        schema: &str,
        scratch: &str,
        uri: &str,
        header: &[String],
        columns: &[LoadColumn],
    ) -> Result<(), Error> {
        let field = |name: &String| {
            let known = columns.iter().find(|column| column.name == *name);
            TableFieldSchema::new(name, known.map_or(FieldType::String, |column| type_of(column.kind)))
        };
        let options = &self.api.options;
        let load = JobConfigurationLoad {
            source_uris: Some(vec![uri.to_owned()]),
            source_format: Some("CSV".to_owned()),
            skip_leading_rows: Some(1),
            allow_quoted_newlines: Some(true),
            schema: Some(TableSchema::new(header.iter().map(field).collect())),
            destination_table: Some(TableReference::new(&options.project, &options.dataset(schema), scratch)),
            create_disposition: Some("CREATE_IF_NEEDED".to_owned()),
            write_disposition: Some("WRITE_TRUNCATE".to_owned()),
            ..JobConfigurationLoad::default()
        };
        let configuration = JobConfiguration { load: Some(load), ..JobConfiguration::default() };
        let id = format!("streamify_csv_{}", uuid::Uuid::new_v4().simple());
        let loaded = self.api.run(&id, configuration, &format!("load of {uri}")).await;
        loaded.map(|_| ()).map_err(|error| match error {
            Error::BigQuery { refusal, message, .. } if !refusal.passes() => input(uri, &message),
            other => other,
        })
    }

    async fn header(&self, uri: &str) -> Result<Vec<String>, Error> {
        let path = uri.strip_prefix("gs://").ok_or_else(|| {
            input(uri, "BigQuery reads from Cloud Storage; use a gs:// lake with bigquery:")
        })?;
        let mut url =
            Url::parse(&self.api.options.storage).map_err(|error| input(uri, &error.to_string()))?;
        url.path_segments_mut().map_err(|()| input(uri, "no storage address"))?.extend(path.split('/'));
        let connected = self.api.connected().await?;
        let token = connected.token().await?;
        let asked = connected
            .http
            .get(url)
            .bearer_auth(token)
            .header("Range", format!("bytes=0-{}", HEAD - 1))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let fail = |error: reqwest::Error| input(uri, &error.without_url().to_string());
        let bytes = asked.map_err(fail)?.bytes().await.map_err(fail)?;
        let mut records = ::csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]);
        let mut first = ::csv::StringRecord::new();
        match records.read_record(&mut first) {
            Ok(true) => {
                Ok(first.iter().map(|name| name.trim().trim_start_matches('\u{feff}').to_owned()).collect())
            }
            Ok(false) => Err(input(uri, "the file is empty; the first line names the columns")),
            Err(error) => Err(input(uri, &error.to_string())),
        }
    }
}
