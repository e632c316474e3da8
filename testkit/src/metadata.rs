//! The metadata server of a virtual machine at Google: who we are, and a token when asked for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::{Request, Response, Server};

pub struct FakeMetadata {
    /// For `GCE_METADATA_HOST`.
    pub host: String,
    state: Arc<Mutex<State>>,
    _server: Server,
}

struct State {
    token: Option<String>,
    lives_seconds: u64,
    given: u64,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeMetadata {
    pub const EMAIL: &'static str = "robot@demo.iam.gserviceaccount.com";

    /// Gives `token-1`, `token-2` and so on, each of which lives so long; those below three minutes are never kept by clients.
    pub async fn start(lives_seconds: u64) -> std::io::Result<FakeMetadata> {
        let state = Arc::new(Mutex::new(State { token: None, lives_seconds, given: 0 }));
        let shared = Arc::clone(&state);
        let answer = move |request: &Request| lock(&shared).answer(request);
        let server = Server::start(Arc::new(answer)).await?;
        let host = server.url.trim_start_matches("http://").to_owned();
        Ok(FakeMetadata { host, state, _server: server })
    }

    /// From now on this token; an empty one stands for an answer that there is none.
    pub fn give(&self, token: &str) {
        lock(&self.state).token = Some(token.to_owned());
    }

    /// Numbered tokens again.
    pub fn count(&self) {
        lock(&self.state).token = None;
    }

    /// How many tokens were given.
    #[must_use]
    pub fn given(&self) -> u64 {
        lock(&self.state).given
    }

    /// The variables of a process on that machine.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        (name == "GCE_METADATA_HOST").then(|| self.host.clone())
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Response {
        if request.path.ends_with("/email") {
            return Response::text(200, "text/plain", FakeMetadata::EMAIL);
        }
        if !request.path.ends_with("/token") {
            return Response::new(404);
        }
        let token = self.token.clone().unwrap_or_else(|| format!("token-{}", self.given + 1));
        if token.is_empty() {
            let refusal = serde_json::json!({ "error": "no_account", "error_description": "this machine has no service account" });
            return Response::text(404, "application/json", refusal.to_string());
        }
        self.given += 1;
        let answer = serde_json::json!({ "access_token": token, "expires_in": self.lives_seconds, "token_type": "Bearer" });
        Response::text(200, "application/json", answer.to_string())
    }
}
