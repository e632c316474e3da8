//! One question to a service, by HTTP or TCP.

use crate::address;
use model::probe::Ask;
use std::time::Duration;
use tokio::net::TcpStream;

pub async fn ask(client: &reqwest::Client, ask: &Ask, timeout: Duration) -> Result<(), String> {
    let late = |what: &str| format!("{what} did not answer within {timeout:?}");
    match ask {
        Ask::Http(url) => {
            let shown = address::page(url);
            match tokio::time::timeout(timeout, client.get(url).send()).await {
                Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
                Ok(Ok(answer)) => Err(format!("{shown} answered {}", answer.status())),
                Ok(Err(error)) => Err(format!("{shown}: {}", address::failure(error))),
                Err(_) => Err(late(&shown)),
            }
        }
        Ask::Tcp(place) => match tokio::time::timeout(timeout, TcpStream::connect(place)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{place}: {error}")),
            Err(_) => Err(late(place)),
        },
        Ask::Log(_) | Ask::Lag(_) => Err("log and lag are answered by the service's own worker".to_string()),
    }
}
