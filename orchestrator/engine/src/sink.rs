//! Where a kind tells what happens: lines go to the log, the rest waits for the attempt's reporter.

use crate::live::Live;
use crate::logship::LogShip;
use model::CheckResult;
use model::task::{Sink, Stream};
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct AttemptSink {
    pub ship: LogShip,
    pub live: Arc<Live>,
}

impl Sink for AttemptSink {
    fn log(&self, stream: Stream, line: String) {
        self.ship.log(self.live.attempt_id, stream, line);
    }

    fn ready(&self) {
        self.live.tell_ready();
    }

    fn status(&self, status: Value) {
        self.live.tell_status(status);
    }

    fn check(&self, result: CheckResult) {
        self.live.tell_check(result);
    }
}
