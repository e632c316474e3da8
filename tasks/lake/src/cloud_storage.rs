//! Cloud Storage: who we are there, and where it is when it is not Google's.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;
use google::{CLOUD_PLATFORM, Credentials};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{ClientOptions, CredentialProvider, ObjectStore};
use url::Url;

/// As Google's own clients name it.
const EMULATOR: &str = "STORAGE_EMULATOR_HOST";

#[derive(Debug)]
struct Provider(Credentials);

#[async_trait]
impl CredentialProvider for Provider {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let token = self.0.token(CLOUD_PLATFORM, Utc::now()).await;
        let token = token
            .map_err(|source| object_store::Error::Generic { store: "GCS", source: Box::new(source) })?;
        Ok(Arc::new(GcpCredential { bearer: token.value }))
    }
}

/// The bucket `gs://name` of a URL that may name another endpoint.
pub(crate) fn open(url: &Url, bucket: &str) -> Result<Box<dyn ObjectStore>, String> {
    let named =
        url.query_pairs().find(|(name, _)| name == "endpoint").map(|(_, endpoint)| endpoint.into_owned());
    let endpoint = named.or_else(|| std::env::var(EMULATOR).ok().filter(|host| !host.is_empty()));
    let builder = GoogleCloudStorageBuilder::new().with_url(bucket);
    let builder = match endpoint {
        Some(endpoint) => {
            let endpoint = local(&endpoint)?;
            // object_store knows another endpoint only as a part of a key.
            let key = serde_json::json!({
                "gcs_base_url": endpoint, "disable_oauth": true,
                "client_email": "", "private_key": "", "private_key_id": "",
            });
            let options = ClientOptions::new().with_allow_http(true);
            builder.with_service_account_key(key.to_string()).with_client_options(options)
        }
        None => {
            let credentials = Credentials::from_environment().map_err(|error| error.to_string())?;
            builder.with_credentials(Arc::new(Provider(credentials)))
        }
    };
    Ok(Box::new(builder.build().map_err(|error| error.to_string())?))
}

/// An emulator is on this machine or network: data must not travel in the clear.
fn local(endpoint: &str) -> Result<String, String> {
    let address = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let parsed = Url::parse(&address).map_err(|error| format!("endpoint {endpoint}: {error}"))?;
    let host = parsed.host_str().unwrap_or_default();
    if parsed.scheme() == "http" && host.contains('.') && host != "127.0.0.1" {
        return Err(format!("endpoint {endpoint} is neither https nor on this machine or network"));
    }
    Ok(address.trim_end_matches('/').to_owned())
}
