//! Where a node's pages and API are: for other nodes, and for people's browsers.
//!
//! The socket says it on one machine. In a container it says `0.0.0.0`, which leads nobody anywhere: then it is the host's name, or what the
//! settings `advertise_url` and `public_url` say.

use crate::config::Config;
use anyhow::{Result, bail};
use std::net::{IpAddr, SocketAddr};
use url::Url;

#[derive(Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Other nodes ask this one here.
    pub nodes: String,
    /// Links for people begin with this.
    pub people: String,
}

impl Addresses {
    /// # Errors
    /// Names the setting that is no http(s) URL.
    pub fn of(config: &Config, listening: SocketAddr, host: &str) -> Result<Addresses> {
        let own = if listening.ip().is_unspecified() {
            format!("http://{host}:{}", listening.port())
        } else {
            format!("http://{listening}")
        };
        let nodes = said(config, "advertise_url")?.unwrap_or(own);
        let people = said(config, "public_url")?.unwrap_or_else(|| nodes.clone());
        Ok(Addresses { nodes, people })
    }
}

/// Where this machine itself reaches what listens on `host`.
pub fn from_here(host: IpAddr, port: u16) -> String {
    let host = match host {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        host => host,
    };
    format!("http://{}", SocketAddr::new(host, port))
}

fn said(config: &Config, name: &'static str) -> Result<Option<String>> {
    let Some(text) = config.optional(name) else { return Ok(None) };
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(Some(text.trim_end_matches('/').to_string()))
        }
        _ => bail!("{name} = {text:?}: not an http:// or https:// URL, such as http://worker:8080"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Global;

    fn config(values: &[(&'static str, &str)]) -> Config {
        let mut config = Config::load(&Global::default()).unwrap();
        for name in ["advertise_url", "public_url"] {
            config.flag(name, Some(String::new()));
        }
        for (name, value) in values {
            config.flag(name, Some((*value).to_string()));
        }
        config
    }

    fn of(values: &[(&'static str, &str)], listening: &str) -> (String, String) {
        let found = Addresses::of(&config(values), listening.parse().unwrap(), "box").unwrap();
        (found.nodes, found.people)
    }

    #[test]
    fn others_are_told_an_address_that_leads_somewhere() {
        let same = |url: &str| (url.to_string(), url.to_string());
        assert_eq!(of(&[], "127.0.0.1:8080"), same("http://127.0.0.1:8080"));
        assert_eq!(of(&[], "0.0.0.0:8080"), same("http://box:8080"));
        assert_eq!(of(&[], "[::]:8080"), same("http://box:8080"));
        assert_eq!(of(&[("advertise_url", "http://worker:81/")], "0.0.0.0:80"), same("http://worker:81"));
        let both = of(&[("public_url", "https://streamify.example")], "0.0.0.0:80");
        assert_eq!(both, ("http://box:80".to_string(), "https://streamify.example".to_string()));
    }

    #[test]
    fn an_address_that_is_no_url_names_its_setting() {
        let config = config(&[("public_url", "localhost:8080")]);
        let error = Addresses::of(&config, "127.0.0.1:1".parse().unwrap(), "box").unwrap_err().to_string();
        assert!(error.contains("public_url") && error.contains("localhost:8080"), "{error}");
    }

    #[test]
    fn all_addresses_are_reached_from_here_by_loopback() {
        let here = |host: &str| from_here(host.parse().unwrap(), 8080);
        assert_eq!(here("0.0.0.0"), "http://127.0.0.1:8080");
        assert_eq!(here("::"), "http://[::1]:8080");
        assert_eq!(here("127.0.0.1"), "http://127.0.0.1:8080");
    }
}
