//! Why a client is not served, as far as librdkafka tells: sorted by what a person can do.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// We have nothing to log in with.
    Token,
    /// The brokers refuse our login.
    Login,
    Encryption,
    /// Nobody there, or no address.
    Connection,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub cause: Cause,
    /// In librdkafka's words.
    pub reason: String,
    mechanism: Option<&'static str>,
}

const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

impl Trouble {
    pub(crate) fn new(error: &KafkaError, reason: &str, mechanism: Option<&'static str>) -> Self {
        let cause = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication) if reason.starts_with(NO_TOKEN) => Cause::Token,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                Cause::Login
            }
            Some(RDKafkaErrorCode::SSL) => Cause::Encryption,
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut,
            ) => Cause::Connection,
            _ => Cause::Other,
        };
        Self { cause, reason: reason.to_owned(), mechanism }
    }

    pub(crate) fn token(reason: &str) -> Self {
        Self { cause: Cause::Token, reason: reason.to_owned(), mechanism: None }
    }

    /// Waiting will hardly mend it.
    pub fn is_refusal(&self) -> bool {
        matches!(self.cause, Cause::Token | Cause::Login | Cause::Encryption)
    }

    /// A later word of less weight does not replace this one: that all brokers are down says less than why they are.
    pub(crate) fn outweighs(&self, later: &Self) -> bool {
        self.is_refusal() && !later.is_refusal()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match (self.cause, self.mechanism) {
            (Cause::Login, Some("OAUTHBEARER")) => f.write_str(
                "; give the account roles/managedkafka.client, and see that its token is for this cluster (`streamify doctor` names the account)",
            ),
            (Cause::Login, _) => f.write_str("; check KAFKA_SASL_USERNAME, its password and KAFKA_SASL_MECHANISM"),
            (Cause::Encryption, _) => f.write_str(
                "; does that port speak TLS (KAFKA_SECURITY_PROTOCOL), is it one of the names in the broker's certificate, and has \
                 KAFKA_SSL_CA_FILE the CA that signed it?",
            ),
            (Cause::Connection, _) => f.write_str(
                "; is it up and reachable from here, and does that port speak what KAFKA_SECURITY_PROTOCOL says?",
            ),
            (Cause::Token | Cause::Other, _) => Ok(()),
        }
    }
}
