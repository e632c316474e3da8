//! TLS and login as the settings say them; what contradicts itself is refused before anything is contacted.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Error;

pub(crate) const PROTOCOL: &str = "KAFKA_SECURITY_PROTOCOL";
pub(crate) const MECHANISM: &str = "KAFKA_SASL_MECHANISM";
pub(crate) const USERNAME: &str = "KAFKA_SASL_USERNAME";
pub(crate) const PASSWORD: &str = "KAFKA_SASL_PASSWORD";
pub(crate) const CA_FILE: &str = "KAFKA_SSL_CA_FILE";

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("PLAINTEXT", Protocol::Plaintext),
    ("SSL", Protocol::Ssl),
    ("SASL_PLAINTEXT", Protocol::SaslPlaintext),
    ("SASL_SSL", Protocol::SaslSsl),
];
const WITH_PASSWORD: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const OAUTHBEARER: &str = "OAUTHBEARER";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    fn logs_in(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// Shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub(crate) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    /// Google's access token; `subject` is the account's e-mail address where the credentials do not tell it.
    OauthBearer { subject: Option<String> },
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    Password { name: &'static str, user: String, password: Password },
}

impl Mechanism {
    pub fn name(&self) -> &'static str {
        match self {
            Self::OauthBearer { .. } => OAUTHBEARER,
            Self::Password { name, .. } => name,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    pub(crate) protocol: Protocol,
    pub(crate) mechanism: Option<Mechanism>,
    /// Instead of the CAs that this machine trusts.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Security {
    /// From settings, by the names of their variables; an empty one counts as not set.
    ///
    /// # Errors
    /// The variable, what is wrong with it, what to do.
    pub fn read(setting: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let setting =
            |name: &str| setting(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let protocol = match setting(PROTOCOL) {
            Some(name) => protocol(&name)?,
            None => Protocol::default(),
        };
        let mechanism = if protocol.logs_in() {
            Some(mechanism(protocol, &setting)?)
        } else {
            for name in [MECHANISM, USERNAME, PASSWORD] {
                if setting(name).is_some() {
                    return refuse(
                        name,
                        format!(
                            "set, but {} logs nobody in: set {PROTOCOL}=SASL_SSL, or leave it out",
                            protocol.name()
                        ),
                    );
                }
            }
            None
        };
        let ca_file = setting(CA_FILE).map(PathBuf::from);
        if let Some(file) = &ca_file {
            check_ca(protocol, file)?;
        }
        Ok(Self { protocol, mechanism, ca_file })
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn mechanism(&self) -> Option<&Mechanism> {
        self.mechanism.as_ref()
    }

    /// The settings again, for a process that shall log in the same way. The password is among them.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![(PROTOCOL, self.protocol.name().to_owned())];
        settings.extend(self.ca_file.as_ref().map(|file| (CA_FILE, file.display().to_string())));
        match &self.mechanism {
            None => {}
            Some(Mechanism::OauthBearer { subject }) => {
                settings.push((MECHANISM, OAUTHBEARER.to_owned()));
                settings.extend(subject.clone().map(|subject| (USERNAME, subject)));
            }
            Some(Mechanism::Password { name, user, password }) => {
                settings.extend([
                    (MECHANISM, (*name).to_owned()),
                    (USERNAME, user.clone()),
                    (PASSWORD, password.0.clone()),
                ]);
            }
        }
        settings
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mechanism {
            None => f.write_str(self.protocol.name()),
            Some(Mechanism::Password { name, user, .. }) => {
                write!(f, "{}, {name} as {user}", self.protocol.name())
            }
            Some(Mechanism::OauthBearer { .. }) => write!(f, "{}, {OAUTHBEARER}", self.protocol.name()),
        }
    }
}

fn refuse<T>(variable: &'static str, problem: impl Into<String>) -> Result<T, Error> {
    Err(Error::Setting { variable, problem: problem.into() })
}

fn protocol(given: &str) -> Result<Protocol, Error> {
    match PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(given)) {
        Some((_, protocol)) => Ok(*protocol),
        None => refuse(
            PROTOCOL,
            format!("`{given}` is no protocol; write one of {}", PROTOCOLS.map(|(name, _)| name).join(", ")),
        ),
    }
}

fn mechanism(protocol: Protocol, setting: &impl Fn(&str) -> Option<String>) -> Result<Mechanism, Error> {
    let all = || format!("{OAUTHBEARER}, {}", WITH_PASSWORD.join(", "));
    let Some(given) = setting(MECHANISM) else {
        return refuse(
            MECHANISM,
            format!("not set, but {} needs one; write one of {}", protocol.name(), all()),
        );
    };
    let (user, password) = (setting(USERNAME), setting(PASSWORD));
    if given.eq_ignore_ascii_case(OAUTHBEARER) {
        if !protocol.is_encrypted() {
            return refuse(PROTOCOL, "an access token must not cross the network in the clear: set SASL_SSL");
        }
        if password.is_some() {
            return refuse(
                PASSWORD,
                format!("set, but {OAUTHBEARER} logs in with Google's token: leave it out"),
            );
        }
        return Ok(Mechanism::OauthBearer { subject: user });
    }
    let Some(name) = WITH_PASSWORD.into_iter().find(|name| name.eq_ignore_ascii_case(&given)) else {
        return refuse(MECHANISM, format!("`{given}` is not known here; write one of {}", all()));
    };
    let Some(user) = user else {
        return refuse(USERNAME, format!("not set, but {name} needs a user"));
    };
    let Some(password) = password else {
        return refuse(
            PASSWORD,
            format!(
                "not set, but {name} needs a password: set it, or {PASSWORD}_FILE with the path of a file"
            ),
        );
    };
    Ok(Mechanism::Password { name, user, password: Password(password) })
}

fn check_ca(protocol: Protocol, file: &Path) -> Result<(), Error> {
    if !protocol.is_encrypted() {
        return refuse(
            CA_FILE,
            format!(
                "set, but {} is not encrypted: set {PROTOCOL}=SASL_SSL or SSL, or leave it out",
                protocol.name()
            ),
        );
    }
    match std::fs::read_to_string(file) {
        Err(error) => refuse(CA_FILE, format!("{}: {error}", file.display())),
        Ok(text) if !text.contains("-----BEGIN CERTIFICATE-----") => {
            refuse(CA_FILE, format!("{}: holds no certificate in PEM form", file.display()))
        }
        Ok(_) => Ok(()),
    }
}
