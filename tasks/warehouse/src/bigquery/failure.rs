//! What BigQuery's refusals mean: a class for the program, a message for people.

use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::model::error_proto::ErrorProto;

use crate::Error;

/// Why BigQuery refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too much at once; passes by itself.
    RateLimited,
    /// A daily or monthly limit; passes, but not soon.
    Quota,
    NotFound,
    AlreadyExists,
    Denied,
    /// Two transactions met; the loser may try again.
    Conflict,
    /// The query would cost more than it may.
    TooCostly,
    Invalid,
    /// BigQuery's own fault, or the network's.
    Unavailable,
    /// No token could be had.
    Login,
}

impl Refusal {
    pub(super) fn of(reason: &str, message: &str) -> Self {
        match reason {
            "rateLimitExceeded" | "jobRateLimitExceeded" | "tableUnavailable" => Self::RateLimited,
            "quotaExceeded" => Self::Quota,
            "notFound" => Self::NotFound,
            "duplicate" | "alreadyExists" => Self::AlreadyExists,
            "accessDenied" | "forbidden" | "billingNotEnabled" | "blocked" => Self::Denied,
            "bytesBilledLimitExceeded" => Self::TooCostly,
            "backendError" | "internalError" | "jobBackendError" | "jobInternalError" | "timeout" => {
                Self::Unavailable
            }
            _ if is_conflict(message) => Self::Conflict,
            _ if message.starts_with("Not found") || message.contains("Table not found") => Self::NotFound,
            _ => Self::Invalid,
        }
    }

    /// Worth another try within the same call.
    pub(super) fn passes_soon(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable)
    }

    pub(crate) fn passes(self) -> bool {
        self.passes_soon() || matches!(self, Self::Quota | Self::Conflict | Self::Login)
    }
}

fn is_conflict(message: &str) -> bool {
    message.contains("Transaction is aborted due to concurrent update")
        || message.contains("Could not serialize access to table")
}

pub(super) fn of_api(error: BQError, what: &str) -> Error {
    let (refusal, message) = match error {
        BQError::ResponseError { error } => {
            let error = error.error;
            let reason = error.errors.first().and_then(|one| one.get("reason")).cloned().unwrap_or_default();
            let refusal = match (error.code, reason.as_str()) {
                (404, _) => Refusal::NotFound,
                (409, _) => Refusal::AlreadyExists,
                (401, _) => Refusal::Login,
                (429, _) => Refusal::RateLimited,
                (500.., "") => Refusal::Unavailable,
                // The emulator has one reason for everything that a statement may do wrong.
                (400, "jobInternalError") if error.message.ends_with("is already created") => {
                    Refusal::AlreadyExists
                }
                (400, "jobInternalError") => Refusal::of("", &error.message),
                (_, reason) => Refusal::of(reason, &error.message),
            };
            (refusal, error.message)
        }
        BQError::RequestError(error) => (Refusal::Unavailable, error.without_url().to_string()),
        BQError::NoToken => (Refusal::Login, "no access token".to_owned()),
        BQError::AuthError(_) | BQError::YupAuthError(_) | BQError::InvalidServiceAccountKey(_) => {
            (Refusal::Login, error.to_string())
        }
        other => (Refusal::Invalid, other.to_string()),
    };
    Error::BigQuery { refusal, message, statement: what.to_owned() }
}

pub(super) fn of_job(error: &ErrorProto, what: &str) -> Error {
    let message = error.message.clone().unwrap_or_default();
    let reason = error.reason.as_deref().unwrap_or_default();
    // As above: where the job itself failed, `jobInternalError` is the emulator's word for an invalid statement.
    let refusal = Refusal::of(if reason == "jobInternalError" { "" } else { reason }, &message);
    Error::BigQuery { refusal, message, statement: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn a_reason_tells_whether_another_try_can_help() {
        let cases = [
            ("rateLimitExceeded", "", true),
            ("backendError", "", true),
            ("quotaExceeded", "", true),
            ("invalidQuery", "Transaction is aborted due to concurrent update against table p:d.t.", true),
            ("invalidQuery", "Syntax error", false),
            ("notFound", "", false),
            ("accessDenied", "", false),
            ("bytesBilledLimitExceeded", "", false),
        ];
        for (reason, message, passes) in cases {
            assert_eq!(Refusal::of(reason, message).passes(), passes, "{reason}");
        }
    }
}
