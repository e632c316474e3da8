//! Whether a service is ready and whether it still lives, where its dag says how to tell (`service: { ready, live }`).
//!
//! Questions by http and tcp go out through [`Outbound`](model::platform::Outbound); what a service logs and the figures that it tells
//! come by its sink. A service that gives too many bad answers in a row is stopped and has failed: its restart policy says the rest.

use crate::live::{Cause, Live};
use crate::worker::Core;
use model::dag::Service;
use model::probe::{Ask, Liveness, Probe};
use model::task::Stream;
use model::template::{TemplateContext, render_env};
use regex::Regex;
use serde_json::Value;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

/// What is watched of one attempt of a service, templates rendered.
pub(crate) struct Watch {
    ready: Option<Probe>,
    live: Option<Liveness>,
    pattern: Option<Regex>,
    figures: Mutex<Figures>,
}

/// The newest that the service told of itself.
#[derive(Default)]
struct Figures {
    lag: Option<f64>,
    /// Told since they were looked at last.
    fresh: bool,
}

impl Watch {
    pub fn of(service: &Service, names: &TemplateContext) -> Result<Watch, String> {
        let ready = service.ready.as_ref().map(|probe| rendered(probe, names)).transpose();
        let ready = ready.map_err(|error| format!("service.ready: {error}"))?;
        let live = service.live.as_ref().map(|live| {
            Ok::<_, String>(Liveness { probe: rendered(&live.probe, names)?, failures: live.failures })
        });
        let live = live.transpose().map_err(|error| format!("service.live: {error}"))?;
        let pattern = match ready.as_ref().map(|probe| &probe.ask) {
            Some(Ask::Log(pattern)) => {
                Some(Regex::new(pattern).map_err(|error| format!("service.ready: {error}"))?)
            }
            _ => None,
        };
        Ok(Watch { ready, live, pattern, figures: Mutex::default() })
    }

    /// The probe decides, not the kind.
    pub fn decides_readiness(&self) -> bool {
        self.ready.is_some()
    }

    /// A line of its log.
    pub fn heard(&self, text: &str, live: &Live) {
        if let Some(pattern) = &self.pattern
            && !live.is_ready()
            && text.lines().any(|line| pattern.is_match(line))
        {
            live.tell_ready();
        }
    }

    /// Its figures.
    pub fn told(&self, status: &Value, live: &Live) {
        let lag = lag_of(status);
        *self.figures() = Figures { lag, fresh: true };
        if let Some(Ask::Lag(at_most)) = self.ready.as_ref().map(|probe| &probe.ask)
            && !live.is_ready()
        {
            match within(lag, *at_most) {
                Ok(()) => live.tell_ready(),
                Err(why) => live.not_ready_yet(why),
            }
        }
    }

    async fn ask(&self, core: &Core, probe: &Probe) -> Result<(), String> {
        match &probe.ask {
            Ask::Http(_) | Ask::Tcp(_) => {
                let answer = core.outbound.probe(&probe.ask, probe.timeout);
                tokio::time::timeout(probe.timeout, answer)
                    .await
                    .unwrap_or_else(|_| Err(format!("no answer within {:?}", probe.timeout)))
            }
            Ask::Lag(at_most) => {
                let mut figures = self.figures();
                let lag = figures.lag;
                if !std::mem::take(&mut figures.fresh) {
                    return Err("it has told no lag since the last look".to_owned());
                }
                within(lag, *at_most)
            }
            // Only readiness asks for a line, and it is told by `heard`.
            Ask::Log(_) => Ok(()),
        }
    }

    fn figures(&self) -> std::sync::MutexGuard<'_, Figures> {
        self.figures.lock().expect("no holder panics")
    }
}

/// Asks as often as the dag says, until the service is stopped.
pub(crate) async fn watch(core: Arc<Core>, live: Arc<Live>, watch: Arc<Watch>) {
    let asking = async {
        if let Some(probe) = &watch.ready {
            until_ready(&core, &live, &watch, probe).await;
        }
        live.became_ready.cancelled().await;
        if let Some(liveness) = &watch.live {
            while_alive(&core, &live, &watch, liveness).await;
        }
    };
    tokio::select! {
        biased;
        () = live.cancel.cancelled() => {}
        () = asking => {}
    }
}

async fn until_ready(core: &Core, live: &Live, watch: &Watch, probe: &Probe) {
    if !matches!(probe.ask, Ask::Http(_) | Ask::Tcp(_)) {
        return;
    }
    loop {
        match watch.ask(core, probe).await {
            Ok(()) => return live.tell_ready(),
            Err(why) => live.not_ready_yet(core.ship.masked(why)),
        }
        tokio::time::sleep(probe.every).await;
    }
}

async fn while_alive(core: &Core, live: &Live, watch: &Watch, liveness: &Liveness) {
    let Liveness { probe, failures } = liveness;
    let mut bad = 0;
    loop {
        tokio::time::sleep(probe.every).await;
        let Err(why) = watch.ask(core, probe).await else {
            bad = 0;
            continue;
        };
        bad += 1;
        core.stats.bad_answers.fetch_add(1, Relaxed);
        let line = format!("does it live? bad answer {bad} of {failures}: {why}");
        core.ship.log(live.attempt_id, Stream::System, line);
        if bad >= *failures {
            let why = format!("{bad} bad answers in a row, the last: {}", core.ship.masked(why));
            live.stop(Cause::NotAlive(why), core.clock.now());
            core.bells.sweep.ring();
            return;
        }
    }
}

fn rendered(probe: &Probe, names: &TemplateContext) -> Result<Probe, String> {
    let text = |text: &String| {
        let one = [("ask".to_owned(), text.clone())].into();
        let rendered = render_env(&one, names).map_err(|error| error.message)?;
        Ok::<_, String>(rendered.into_values().next().unwrap_or_default())
    };
    let ask = match &probe.ask {
        Ask::Http(url) => Ask::Http(text(url)?),
        Ask::Tcp(address) => Ask::Tcp(text(address)?),
        Ask::Log(pattern) => Ask::Log(pattern.clone()),
        Ask::Lag(at_most) => Ask::Lag(*at_most),
    };
    Ok(Probe { ask, ..probe.clone() })
}

/// `lag`, or the sum of those of its topics.
fn lag_of(status: &Value) -> Option<f64> {
    let own = status.get("lag").and_then(Value::as_f64);
    own.or_else(|| {
        let topics = status.get("topics")?.as_object()?;
        let lags: Vec<f64> = topics.values().filter_map(|topic| topic.get("lag")?.as_f64()).collect();
        (!lags.is_empty()).then(|| lags.iter().sum())
    })
}

fn within(lag: Option<f64>, at_most: u64) -> Result<(), String> {
    match lag {
        None => Err("its figures say no lag".to_owned()),
        Some(lag) if lag <= at_most as f64 => Ok(()),
        Some(lag) => Err(format!("its lag is {lag}, at most {at_most} is asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lag_is_that_of_the_service_or_the_sum_of_its_topics() {
        assert_eq!(lag_of(&json!({ "lag": 5, "topics": { "a": { "lag": 1 } } })), Some(5.0));
        assert_eq!(
            lag_of(&json!({ "topics": { "a": { "lag": 1 }, "b": { "lag": 2 }, "c": {} } })),
            Some(3.0)
        );
        assert_eq!(lag_of(&json!({ "rows": 1 })), None);
        assert!(within(Some(3.0), 3).is_ok() && within(Some(3.5), 3).is_err() && within(None, 3).is_err());
    }
}
