//! The router with what is around every handler, and the listening socket.

use crate::app::Web;
use crate::error::{Error, PageError};
use crate::{api, assets, headers, metrics, pages};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;

/// No form or API body of ours is larger.
const LARGEST_BODY: usize = 1 << 20;
/// Open log pages do not hold up a stop for longer.
const GOODBYE: Duration = Duration::from_secs(3);

impl Web {
    pub fn router(self) -> Router {
        pages::router()
            .nest("/api/v2", api::router())
            .merge(api::token_router())
            .route("/assets/{name}", get(assets::serve))
            .route("/metrics", get(metrics::page))
            .fallback(not_found)
            .layer(axum::middleware::from_fn_with_state(self.app.clone(), metrics::count))
            .layer(axum::middleware::from_fn(headers::secure))
            .layer(CompressionLayer::new())
            .layer(CatchPanicLayer::new())
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
            .layer(TraceLayer::new_for_http())
            .with_state(self.app)
    }

    /// Takes the address of the configuration.
    ///
    /// # Errors
    /// [`Error::PortInUse`] names the port and what to do.
    pub async fn bind(&self) -> Result<TcpListener, Error> {
        let address = self.app.config.listen;
        TcpListener::bind(address).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::PortInUse(address),
            _ => Error::Bind { address, source },
        })
    }

    /// `/metrics` and the health of the platform alone, for a node without pages.
    fn monitor_router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics::page))
            .nest("/api/v2", api::monitor_router())
            .layer(axum::middleware::from_fn_with_state(self.app.clone(), metrics::count))
            .layer(CatchPanicLayer::new())
            .with_state(self.app)
    }

    /// Answers on a bound socket until `cancel`; requests under way are finished, within reason.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve(self, listener: TcpListener, cancel: CancellationToken) -> Result<(), Error> {
        answer(listener, self.router(), cancel).await
    }

    /// The same for [`Web::monitor_router`].
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve_monitor(self, listener: TcpListener, cancel: CancellationToken) -> Result<(), Error> {
        answer(listener, self.monitor_router(), cancel).await
    }
}

async fn answer(listener: TcpListener, router: Router, cancel: CancellationToken) -> Result<(), Error> {
    let stop = cancel.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    let overdue = async {
        cancel.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        ended = server => ended.map_err(Error::Serve),
        () = overdue => Ok(()),
    }
}

async fn not_found(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        let body = serde_json::json!({ "detail": format!("there is no {}", uri.path()) });
        return (StatusCode::NOT_FOUND, axum::Json(body)).into_response();
    }
    PageError::NotFound(format!("There is no page {}.", uri.path())).into_response()
}
