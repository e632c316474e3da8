//! What messages may say of a URL: nothing that may be a secret.

use url::Url;

/// Scheme, host and port: for URLs whose path may be the secret, as those of web hooks.
pub fn origin(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) if parsed.has_host() => parsed.origin().ascii_serialization(),
        _ => "the URL".to_string(),
    }
}

/// The same with the path, without user, query and fragment.
pub fn page(url: &str) -> String {
    match Url::parse(url) {
        Ok(parsed) if parsed.has_host() => {
            format!("{}{}", parsed.origin().ascii_serialization(), parsed.path())
        }
        _ => "the URL".to_string(),
    }
}

/// What went wrong with a request, with its causes.
pub fn failure(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_passwords_queries_and_fragments_are_never_shown() {
        let url = "https://me:hush@example.org:8443/hook/T1?token=hush#hush";
        assert_eq!(page(url), "https://example.org:8443/hook/T1");
        assert_eq!(origin(url), "https://example.org:8443");
        assert_eq!(page("no url with hush"), "the URL");
    }
}
