//! Tasks of people learn how Kafka is spoken to, not the password of the platform.

use crate::support::Bench;
use serde_json::json;

#[tokio::test]
async fn a_process_learns_the_protocol_and_not_the_password() {
    let bench = Bench::new();
    bench.run("process", json!({"command": ["env"]})).await.unwrap();
    let lines = bench.told.text();
    assert!(lines.iter().any(|line| line == "KAFKA_SECURITY_PROTOCOL=SASL_SSL"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("kafka-hunter2")), "the password is in {lines:?}");
}
