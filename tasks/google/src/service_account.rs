//! The signed statement with which a service account's key asks for a token (RFC 7523).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::Error;
use crate::source::ServiceAccount;

const VALID_SECONDS: i64 = 3600;

pub(crate) fn assertion(account: &ServiceAccount, scope: &str, now: DateTime<Utc>) -> Result<String, Error> {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": account.private_key_id });
    let claims = json!({
        "iss": account.client_email,
        "scope": scope,
        "aud": account.token_uri,
        "iat": now.timestamp(),
        "exp": now.timestamp() + VALID_SECONDS,
    });
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed =
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let key = key(account)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| unfit(account, "its private_key cannot sign"))?;
    Ok(format!("{signed}.{}", encode(&signature)))
}

fn key(account: &ServiceAccount) -> Result<RsaKeyPair, Error> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.as_bytes())
        .map_err(|_| unfit(account, "its private_key is no PEM of a PKCS#8 key"))?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        .map_err(|_| unfit(account, "its private_key is no RSA key"))
}

fn unfit(account: &ServiceAccount, problem: &str) -> Error {
    Error::File { file: format!("the key file of {}", account.client_email), problem: problem.to_owned() }
}
