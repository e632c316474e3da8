//! Which node has the embedded warehouse: the one that has its file open. The others ask it.

use engine::Routes;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use warehouse::Warehouse;

const TRY_EVERY: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct WarehouseOwner {
    url: String,
    open: Arc<Mutex<Result<Arc<dyn Warehouse>, String>>>,
}

impl WarehouseOwner {
    pub fn new(url: String) -> Self {
        WarehouseOwner { url, open: Arc::new(Mutex::new(Err("the warehouse is not open yet".to_string()))) }
    }

    /// For a command, when no node has the warehouse open.
    pub fn opened(url: &str) -> Result<Self, warehouse::Error> {
        let open = warehouse::open(url)?;
        Ok(WarehouseOwner { url: url.to_string(), open: Arc::new(Mutex::new(Ok(open))) })
    }

    pub fn get(&self) -> Result<Arc<dyn Warehouse>, String> {
        self.open.lock().expect("no holder panics").clone()
    }

    /// Opens the warehouse, now or when its owner lets go, and tells the engine that tasks for it may come.
    pub async fn keep(self, routes: Routes, cancel: CancellationToken) {
        loop {
            let url = self.url.clone();
            let opened = tokio::task::spawn_blocking(move || warehouse::open(&url)).await;
            let opened = opened
                .map_err(|error| error.to_string())
                .and_then(|opened| opened.map_err(|error| error.to_string()));
            let is_open = opened.is_ok();
            if let Err(error) = &opened {
                tracing::debug!("{error}");
            }
            *self.open.lock().expect("no holder panics") = opened;
            if is_open {
                routes.write().expect("no holder panics").push(kinds::WAREHOUSE.to_string());
                return;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(TRY_EVERY) => {}
            }
        }
    }

    /// Lets go of the file, once the engine has stopped, so that another node may take it.
    pub fn close(&self) {
        *self.open.lock().expect("no holder panics") = Err("the node is stopping".to_string());
    }
}
