//! What settings may say, and how what they may not say is refused.

use crate::{Access, Error, Protocol, Security};

fn read(settings: &[(&str, &str)]) -> Result<Security, Error> {
    Security::read(|name| {
        settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

fn refused(settings: &[(&str, &str)], variable: &str, advice: &str) {
    let error = read(settings).expect_err(&format!("{settings:?}")).to_string();
    assert!(error.starts_with(&format!("{variable}: ")) && error.contains(advice), "{settings:?}: {error}");
    assert!(!error.contains("hunter2"), "{error}");
}

const SASL: (&str, &str) = ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL");
const USER: (&str, &str) = ("KAFKA_SASL_USERNAME", "ada");
const PASSWORD: (&str, &str) = ("KAFKA_SASL_PASSWORD", "hunter2");

#[test]
fn without_settings_kafka_is_plain() {
    assert_eq!(read(&[]).unwrap(), Security::default());
    assert_eq!(read(&[("KAFKA_SECURITY_PROTOCOL", "")]).unwrap().protocol(), Protocol::Plaintext);
}

#[test]
fn what_terraform_sets_is_a_login_by_token() {
    let read = read(&[SASL, ("KAFKA_SASL_MECHANISM", "OAUTHBEARER")]).unwrap();
    assert_eq!(read.to_string(), "SASL_SSL, OAUTHBEARER");
}

#[test]
fn a_child_process_gets_the_same_login() {
    let settings = [SASL, ("KAFKA_SASL_MECHANISM", "scram-sha-512"), USER, PASSWORD];
    let security = read(&settings).unwrap();
    let handed = security.settings();
    let handed: Vec<(&str, &str)> = handed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(handed.contains(&("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")), "{handed:?}");
    assert_eq!(
        super::Security::read(|name| handed
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned()))
        .unwrap(),
        security
    );
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let mechanism = |name| ("KAFKA_SASL_MECHANISM", name);
    let plain = ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT");
    refused(
        &[("KAFKA_SECURITY_PROTOCOL", "TLS")],
        "KAFKA_SECURITY_PROTOCOL",
        "write one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
    );
    refused(&[SASL], "KAFKA_SASL_MECHANISM", "write one of OAUTHBEARER, PLAIN");
    refused(&[SASL, mechanism("GSSAPI")], "KAFKA_SASL_MECHANISM", "`GSSAPI` is not known here");
    refused(&[SASL, mechanism("PLAIN"), PASSWORD], "KAFKA_SASL_USERNAME", "needs a user");
    refused(&[SASL, mechanism("PLAIN"), USER], "KAFKA_SASL_PASSWORD", "KAFKA_SASL_PASSWORD_FILE");
    refused(&[SASL, mechanism("OAUTHBEARER"), PASSWORD], "KAFKA_SASL_PASSWORD", "leave it out");
    refused(
        &[("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"), mechanism("OAUTHBEARER")],
        "KAFKA_SECURITY_PROTOCOL",
        "set SASL_SSL",
    );
    refused(&[plain, mechanism("PLAIN")], "KAFKA_SASL_MECHANISM", "set KAFKA_SECURITY_PROTOCOL=SASL_SSL");
    refused(&[plain, PASSWORD], "KAFKA_SASL_PASSWORD", "PLAINTEXT logs nobody in");
    refused(&[plain, ("KAFKA_SSL_CA_FILE", "/ca.pem")], "KAFKA_SSL_CA_FILE", "is not encrypted");
    refused(
        &[("KAFKA_SECURITY_PROTOCOL", "SSL"), ("KAFKA_SSL_CA_FILE", "/no/ca.pem")],
        "KAFKA_SSL_CA_FILE",
        "/no/ca.pem",
    );
}

#[test]
fn nothing_shows_the_password() {
    let security = read(&[SASL, ("KAFKA_SASL_MECHANISM", "PLAIN"), USER, PASSWORD]).unwrap();
    let access = Access::new("broker:9092", security.clone(), google::Credentials::from_environment).unwrap();
    let shown = format!("{security:?} {security} {access:?} {access} {:?}", access.config("test"));
    assert!(shown.contains("PLAIN as ada") && !shown.contains("hunter2"), "{shown}");
}
