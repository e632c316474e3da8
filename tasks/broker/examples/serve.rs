//! A broker in a process of its own: `serve <address> <data folder> [segment bytes]`.
//!
//! Prints `listening <address>` when clients may connect, and stops when its standard input ends. The crash
//! tests start it to kill it.

use broker::{Broker, BrokerConfig};
use std::error::Error;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("the first argument is the address to listen on")?;
    let data_dir = arguments.next().ok_or("the second argument is the data folder")?;
    let mut config = BrokerConfig { listen: address.parse()?, ..BrokerConfig::new(data_dir) };
    if let Some(bytes) = arguments.next() {
        config.segment_bytes = bytes.parse()?;
    }
    let broker = Broker::start(config).await?;
    println!("listening {}", broker.address());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    broker.shutdown().await;
    Ok(())
}
