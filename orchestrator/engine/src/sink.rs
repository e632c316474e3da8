//! Where a kind tells what happens: lines go to the log, the rest waits for the attempt's reporter. Probes listen in.

use crate::live::Live;
use crate::logship::LogShip;
use crate::probes::Watch;
use model::CheckResult;
use model::task::{Sink, Stream};
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct AttemptSink {
    pub ship: LogShip,
    pub live: Arc<Live>,
    pub watch: Option<Arc<Watch>>,
}

impl Sink for AttemptSink {
    fn log(&self, stream: Stream, line: String) {
        if let Some(watch) = &self.watch {
            watch.heard(&line, &self.live);
        }
        self.ship.log(self.live.attempt_id, stream, line);
    }

    fn ready(&self) {
        if !self.watch.as_ref().is_some_and(|watch| watch.decides_readiness()) {
            self.live.tell_ready();
        }
    }

    fn status(&self, status: Value) {
        if let Some(watch) = &self.watch {
            watch.told(&status, &self.live);
        }
        self.live.tell_status(status);
    }

    fn check(&self, result: CheckResult) {
        self.live.tell_check(result);
    }
}
