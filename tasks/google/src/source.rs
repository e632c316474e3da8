//! Where credentials come from, in the order of Google's own libraries.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;

const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const METADATA_HOST: &str = "GCE_METADATA_HOST";
const METADATA: &str = "metadata.google.internal";

/// What the credentials are, as their file says.
#[derive(Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source {
    ServiceAccount(ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    ExternalAccount(Box<ExternalAccount>),
    /// The machine's own identity; no file says so.
    #[serde(skip)]
    Metadata {
        host: String,
    },
}

#[derive(Clone, Deserialize)]
pub(crate) struct ServiceAccount {
    pub(crate) client_email: String,
    pub(crate) private_key: String,
    #[serde(default)]
    pub(crate) private_key_id: Option<String>,
    pub(crate) token_uri: String,
}

#[derive(Clone, Deserialize)]
pub(crate) struct AuthorizedUser {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) refresh_token: String,
    #[serde(default = "google_token_uri")]
    pub(crate) token_uri: String,
}

#[derive(Clone, Deserialize)]
pub(crate) struct ExternalAccount {
    pub(crate) audience: String,
    pub(crate) subject_token_type: String,
    pub(crate) token_url: String,
    pub(crate) credential_source: CredentialSource,
    #[serde(default)]
    pub(crate) service_account_impersonation_url: Option<String>,
}

/// Where the foreign token lies: a file, or a page that hands it out.
#[derive(Clone, Deserialize)]
pub(crate) struct CredentialSource {
    #[serde(default)]
    pub(crate) file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) format: Format,
}

#[derive(Clone, Default, Deserialize)]
pub(crate) struct Format {
    #[serde(default)]
    pub(crate) subject_token_field_name: Option<String>,
}

fn google_token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

impl Source {
    /// From the environment; a file that is named but unfit is an error, never passed over.
    pub(crate) fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        if let Some(file) = variable(FILE).filter(|file| !file.is_empty()) {
            return Self::read(Path::new(&file));
        }
        let login = variable("HOME")
            .map(|home| Path::new(&home).join(".config/gcloud/application_default_credentials.json"));
        if let Some(login) = login.filter(|login| login.is_file()) {
            return Self::read(&login);
        }
        let host = variable(METADATA_HOST).filter(|host| !host.is_empty());
        Ok(Self::Metadata { host: host.unwrap_or_else(|| METADATA.to_owned()) })
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let fail = |problem: String| Error::File { file: path.display().to_string(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        // Not what is wrong in it: that might quote a secret.
        serde_json::from_str(&text).map_err(|_| {
            fail(
                "no complete credentials of type service_account, authorized_user or external_account"
                    .to_owned(),
            )
        })
    }
}
