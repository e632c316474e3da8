//! Clients at a guarded door: who is let in, and what the others are told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerConfig};
use google::Credentials;
use kafka::{Access, Asker, Error, Security};
use tempfile::TempDir;
use testkit::{FakeMetadata, Identity, KafkaDoor};

const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    door: KafkaDoor,
    broker: Broker,
    metadata: FakeMetadata,
    _folder: TempDir,
}

impl Place {
    /// Lets in `ada` with her password, and whoever has `token-1`.
    async fn new() -> Self {
        let mut door = KafkaDoor::bind().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = BrokerConfig { advertise: Some(door.address()), ..BrokerConfig::new(folder.path()) };
        let broker = Broker::start(config).await.unwrap();
        let guard = |mechanism: &str, said: &str| match mechanism {
            "PLAIN" if said == "ada:lovelace" => Ok(()),
            "OAUTHBEARER" if said.ends_with(".dG9rZW4tMQ") => Ok(()),
            _ => Err(format!("{mechanism}: nobody is known by that")),
        };
        door.open(broker.address(), Arc::new(guard), None);
        Self { door, broker, metadata: FakeMetadata::start(3600).await.unwrap(), _folder: folder }
    }

    fn access(&self, protocol: &str, settings: &[(&str, &str)]) -> Access {
        self.access_with(&self.door.address().to_string(), &self.door.identity.ca_file(), protocol, settings)
    }

    fn access_with(&self, brokers: &str, ca: &Path, protocol: &str, settings: &[(&str, &str)]) -> Access {
        let mut all: BTreeMap<String, String> = settings
            .iter()
            .map(|(name, value)| (format!("KAFKA_SASL_{name}"), (*value).to_owned()))
            .collect();
        all.insert("KAFKA_SECURITY_PROTOCOL".to_owned(), protocol.to_owned());
        all.insert("KAFKA_SSL_CA_FILE".to_owned(), ca.display().to_string());
        let security = Security::read(|name| all.get(name).cloned()).unwrap();
        Access::new(brokers, security, || Credentials::found(|name| self.metadata.variable(name))).unwrap()
    }
}

async fn brokers(access: Access) -> Result<usize, Error> {
    let ask = move || Asker::new(&access, "test")?.brokers(PATIENCE);
    tokio::task::spawn_blocking(ask).await.unwrap()
}

async fn refused(access: Access) -> String {
    format!("{:#}", brokers(access).await.unwrap_err())
}

const TOKEN: [(&str, &str); 1] = [("MECHANISM", "OAUTHBEARER")];

fn plain(password: &str) -> [(&str, &str); 3] {
    [("MECHANISM", "PLAIN"), ("USERNAME", "ada"), ("PASSWORD", password)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_a_token_open_the_door() {
    let place = Place::new().await;
    assert_eq!(brokers(place.access("SASL_SSL", &plain("lovelace"))).await.unwrap(), 1);
    assert_eq!(brokers(place.access("SASL_SSL", &TOKEN)).await.unwrap(), 1);
    let knocks = place.door.knocks().borrow().clone();
    assert!(knocks.iter().all(|knock| knock.is_in), "{knocks:?}");
    assert!(knocks.iter().any(|knock| knock.mechanism == "OAUTHBEARER"), "{knocks:?}");
    let access = place.access("SASL_SSL", &TOKEN);
    assert!(access.principal().await.unwrap().unwrap().starts_with(FakeMetadata::EMAIL));
    assert!(!access.can_create_topics());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_shown() {
    let place = Place::new().await;
    let said = refused(place.access("SASL_SSL", &plain("byron-in-the-dark"))).await;
    assert!(
        said.contains("PLAIN: nobody is known by that") && said.contains("KAFKA_SASL_USERNAME"),
        "{said}"
    );
    assert!(said.contains("SASL_SSL, PLAIN as ada") && !said.contains("byron"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_told_and_not_shown() {
    let place = Place::new().await;
    place.metadata.give("stolen-token");
    let said = refused(place.access("SASL_SSL", &TOKEN)).await;
    assert!(said.contains("OAUTHBEARER: nobody is known by that"), "{said}");
    assert!(said.contains("roles/managedkafka.client") && !said.contains("stolen"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nobody_knocks_and_the_reason_is_told() {
    let place = Place::new().await;
    place.metadata.give("");
    let said = refused(place.access("SASL_SSL", &TOKEN)).await;
    assert!(said.contains("this machine has no service account"), "{said}");
    assert!(place.door.knocks().borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_strange_ca_is_told() {
    let place = Place::new().await;
    let (stranger, door) = (Identity::new(), place.door.address().to_string());
    let said = refused(place.access_with(&door, &stranger.ca_file(), "SASL_SSL", &plain("lovelace"))).await;
    assert!(said.contains("certificate verify failed") && said.contains("KAFKA_SSL_CA_FILE"), "{said}");
    assert!(place.door.knocks().borrow().is_empty(), "no password goes to a stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_does_not_speak_tls_is_told() {
    let place = Place::new().await;
    let broker = place.broker.address().to_string();
    let ca = place.door.identity.ca_file();
    let access = place.access_with(&broker, &ca, "SSL", &[]);
    // That it is silent is all there is to wait for.
    let ask = move || Asker::new(&access, "test")?.brokers(Duration::from_secs(5));
    let said = tokio::task::spawn_blocking(ask).await.unwrap().unwrap_err().to_string();
    assert!(said.contains("KAFKA_SECURITY_PROTOCOL"), "{said}");
}
