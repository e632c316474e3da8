//! argon2 off the async threads: one hash takes tens of milliseconds and 19 MB.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};

/// The PHC string to store for a password.
pub async fn hash(password: String) -> String {
    tokio::task::spawn_blocking(move || {
        let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).expect("16 bytes are a valid salt");
        Argon2::default()
            .hash_password(password.as_bytes(), &salt)
            .expect("default parameters are valid")
            .to_string()
    })
    .await
    .expect("hashing does not panic")
}

/// Whether the password fits. Without a stored hash the same work is done, so that time does not tell who exists.
pub async fn verify(password: String, stored: Option<String>) -> bool {
    // The hash of a random password that nobody knows.
    const NOBODY: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$4xkmDnLNkw3o3sMsnFgKlCmJ5p0Hpcg2Qqzc8zkqYJk";
    tokio::task::spawn_blocking(move || {
        let known = stored.is_some();
        let text = stored.as_deref().unwrap_or(NOBODY);
        let fits = PasswordHash::new(text)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        known && fits
    })
    .await
    .unwrap_or(false)
}
