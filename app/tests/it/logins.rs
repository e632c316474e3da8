//! `streamify doctor` logs in to guarded servers as nodes do, and says how, or what to do.

use crate::support::{open_folder, streamify, text};
use broker::{Broker, BrokerConfig};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use testkit::{Database, FakeMetadata, KafkaDoor};

struct Guarded {
    database: Database,
    door: KafkaDoor,
    metadata: FakeMetadata,
    user: String,
    _broker: (Broker, tempfile::TempDir),
}

impl Guarded {
    /// Postgres and Kafka that take `dr-token` of the metadata server.
    async fn new() -> Guarded {
        let database = Database::fresh().await;
        let user = format!("doctor_{}", std::process::id());
        database.on_the_server(&format!("create role {user} login password 'dr-token'")).await;
        database.on_the_server(&format!("alter database {{name}} owner to {user}")).await;
        let mut door = KafkaDoor::bind().await.unwrap();
        let folder = open_folder();
        let config = BrokerConfig { advertise: Some(door.address()), ..BrokerConfig::new(folder.path()) };
        let broker = Broker::start(config).await.unwrap();
        // The token in base64url is the end of what Google's clients send.
        let guard = |_: &str, said: &str| {
            said.ends_with(".ZHItdG9rZW4").then_some(()).ok_or_else(|| "an unknown token".to_string())
        };
        door.open(broker.address(), Arc::new(guard), None);
        let metadata = FakeMetadata::start(3600).await.unwrap();
        Guarded { database, door, metadata, user, _broker: (broker, folder) }
    }

    async fn run(&self, folder: &Path, arguments: &[&str]) -> (String, Vec<Value>) {
        let server = self.database.url().rsplit_once('@').unwrap().1;
        let mut command = streamify();
        command
            .args(arguments)
            .arg("--data")
            .arg(folder)
            .env("DATABASE_URL", format!("postgres://{}@{server}", self.user))
            .env("DATABASE_LOGIN", "google")
            .env("GCE_METADATA_HOST", &self.metadata.host)
            .env("HOME", folder)
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .env("KAFKA_BOOTSTRAP_SERVERS", self.door.address().to_string())
            .env("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
            .env("KAFKA_SASL_MECHANISM", "OAUTHBEARER")
            .env("KAFKA_SSL_CA_FILE", self.door.identity.ca_file());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let findings = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (text(&output), findings)
    }
}

fn said<'a>(findings: &'a [Value], part: &str) -> (bool, &'a str) {
    let found = findings.iter().find(|finding| finding["part"] == part);
    let found = found.unwrap_or_else(|| panic!("no {part} in {findings:#?}"));
    (found["is_fine"] == true, found["said"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_proves_each_login_and_says_what_to_do_where_one_is_refused() {
    let (guarded, folder) = (Guarded::new().await, open_folder());
    guarded.metadata.give("dr-token");
    let (all, _) = guarded.run(folder.path(), &["migrate"]).await;
    let (told, findings) = guarded.run(folder.path(), &["doctor", "--json"]).await;
    let (is_fine, postgres) = said(&findings, "postgres");
    assert!(is_fine && postgres.contains("a token of the Google credentials"), "{postgres}\n{all}");
    let (is_fine, google) = said(&findings, "google");
    assert!(
        is_fine && google.contains(FakeMetadata::EMAIL) && google.contains("Kafka, Postgres"),
        "{google}"
    );
    let (is_fine, kafka) = said(&findings, "kafka");
    assert!(is_fine && kafka.contains("SASL_SSL, OAUTHBEARER") && kafka.contains("1 broker"), "{kafka}");
    assert!(!told.contains("dr-token"), "{told}");

    guarded.metadata.give("an-old-one");
    let (told, findings) = guarded.run(folder.path(), &["doctor", "--json"]).await;
    let (is_fine, postgres) = said(&findings, "postgres");
    assert!(!is_fine && postgres.contains("roles/cloudsql.instanceUser"), "{postgres}");
    let (is_fine, kafka) = said(&findings, "kafka");
    assert!(
        !is_fine && kafka.contains("an unknown token") && kafka.contains("roles/managedkafka.client"),
        "{kafka}"
    );
    assert!(!told.contains("an-old-one"), "{told}");
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_name() {
    let folder = open_folder();
    let refused = |name: &str, value: &str| {
        let mut command = streamify();
        command.args(["generate", "--brokers", "127.0.0.1:1", "--data"]).arg(folder.path()).env(name, value);
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output)
    };
    assert!(
        refused("KAFKA_SECURITY_PROTOCOL", "TLS").contains("KAFKA_SECURITY_PROTOCOL: `TLS` is no protocol")
    );
    assert!(refused("KAFKA_SASL_MECHANISM", "PLAIN").contains("set KAFKA_SECURITY_PROTOCOL=SASL_SSL"));
}
