//! A certificate for this machine and the CA that signed it, made anew.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Of a server on 127.0.0.1.
pub struct Identity {
    folder: TempDir,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    /// # Panics
    /// When a temp folder cannot be written.
    #[must_use]
    pub fn new() -> Identity {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "A CA of tests");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let ca = ca.expect("a CA signs itself");
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("names of this machine");
        // Not the CA's name, or it would pass for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, "A server of tests");
        let certificate = params.signed_by(&key, &ca).expect("the CA signs");
        let folder = tempfile::tempdir().expect("a temp folder");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).expect("a temp folder");
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        std::fs::write(folder.path().join("server.pem"), both).expect("a temp folder");
        Identity { folder, certificate, key }
    }

    /// What clients trust, in PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Key and certificate, in PEM.
    #[must_use]
    pub fn server_file(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn server_config(&self) -> ServerConfig {
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).expect("our own key");
        ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .expect("key and certificate belong together")
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}
