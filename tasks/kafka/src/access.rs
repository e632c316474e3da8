//! Kafka as one client or many may reach it: addresses, TLS, login.

use std::fmt;
use std::sync::Arc;

use google::Credentials;
use rdkafka::config::ClientConfig;

use crate::login::Login;
use crate::security::Mechanism;
use crate::{Error, Security, Session};

/// Cheap to clone; what is cloned shares its tokens.
#[derive(Clone)]
pub struct Access {
    brokers: String,
    security: Security,
    login: Option<Arc<Login>>,
}

impl Access {
    /// `credentials` are asked for only where the login needs them. Nothing is contacted yet.
    ///
    /// # Errors
    /// Credentials that are named and cannot be used.
    pub fn new(
        brokers: impl Into<String>,
        security: Security,
        credentials: impl FnOnce() -> Result<Credentials, google::Error>,
    ) -> Result<Self, Error> {
        let login = match &security.mechanism {
            Some(Mechanism::OauthBearer { subject }) => {
                let credentials = credentials().map_err(Error::Credentials)?;
                Some(Arc::new(Login::new(credentials, subject.clone())?))
            }
            _ => None,
        };
        Ok(Self { brokers: brokers.into(), security, login })
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    pub fn security(&self) -> &Security {
        &self.security
    }

    /// Whether clients may create topics: librdkafka's administrative client of this binding is never asked for a token
    /// (github.com/fede1024/rust-rdkafka/issues/757), so where tokens are the login, topics are made beforehand.
    pub fn can_create_topics(&self) -> bool {
        self.login.is_none()
    }

    /// What every client begins with.
    pub fn config(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("broker.address.family", "v4")
            .set("client.id", client_id)
            .set("security.protocol", self.security.protocol.name().to_ascii_lowercase());
        if self.security.protocol.is_encrypted() {
            // Our OpenSSL is linked in, so it does not know where this machine keeps its CAs: librdkafka looks at the usual places.
            let ca = self.security.ca_file.as_ref().map(|file| file.display().to_string());
            config.set("ssl.ca.location", ca.as_deref().unwrap_or("probe"));
        }
        if let Some(mechanism) = &self.security.mechanism {
            config.set("sasl.mechanism", mechanism.name());
            if let Mechanism::Password { user, password, .. } = mechanism {
                config.set("sasl.username", user).set("sasl.password", &password.0);
            }
        }
        config
    }

    /// For the context of one client.
    pub fn session(&self) -> Session {
        Session::new(self.login.clone(), self.security.mechanism().map(Mechanism::name))
    }

    /// Whose tokens these are, for people; none where no token is needed.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn principal(&self) -> Result<Option<String>, Error> {
        match &self.login {
            None => Ok(None),
            Some(login) => login.principal().await.map(Some).map_err(Error::Credentials),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.brokers, self.security)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({self})")
    }
}

/// Addresses alone: no encryption, no login, as the embedded broker wants it.
impl From<&str> for Access {
    fn from(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), security: Security::default(), login: None }
    }
}

impl From<&String> for Access {
    fn from(brokers: &String) -> Self {
        brokers.as_str().into()
    }
}

impl From<String> for Access {
    fn from(brokers: String) -> Self {
        brokers.as_str().into()
    }
}

impl From<&Access> for Access {
    fn from(access: &Access) -> Self {
        access.clone()
    }
}
