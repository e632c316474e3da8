//! How many records a plan yields, by making them all again: the figure that every layer behind is reconciled with.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::kafka::Access;
use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::event::Topic;
use crate::input::Inputs;
use crate::kafka::Cluster;
use crate::model::{Model, instant, seconds};
use crate::options::Options;
use crate::plan::Plan;
use crate::plan_topic;
use crate::report::Counts;
use crate::simulate::Simulation;

const HOUR: u32 = 3_600;

/// Counts the records of all events before `until`, from options alone; `from` must be given, in them or in the configuration.
///
/// # Errors
/// What is wrong with the options or their inputs.
pub async fn count(options: &Options, until: DateTime<Utc>) -> Result<Counts, Error> {
    let inputs = Inputs::load(&options.sources()).await?;
    if options.from.is_none() && inputs.config.start_date.is_none() {
        return Err(Error::Options("counting needs the beginning of the history: give --from".to_owned()));
    }
    let plan = Plan::new(options, &inputs, None, until)?;
    count_plan(plan, inputs, until).await
}

/// Counts the records of the plan that is stored in the plan topic.
///
/// # Errors
/// When there is no plan, Kafka cannot be reached, or the plan's inputs are no longer what they were.
pub async fn count_for_brokers(
    kafka: impl Into<Access>,
    options: &Options,
    until: DateTime<Utc>,
) -> Result<Counts, Error> {
    let cluster = Arc::new(Cluster::connect(kafka.into())?);
    let topic = plan_topic::name(options);
    let plan = plan_topic::read(&cluster, &topic).await?.ok_or_else(|| Error::Topic {
        topic: topic.clone(),
        problem: "holds no plan: no generator has run with this prefix".to_owned(),
    })?;
    let inputs = Inputs::load(&plan.sources(options)).await?;
    plan.agree(options, &inputs, &topic)?;
    count_plan(plan, inputs, until).await
}

async fn count_plan(plan: Plan, inputs: Inputs, until: DateTime<Utc>) -> Result<Counts, Error> {
    let from = plan.from;
    let topics = tokio::task::spawn_blocking(move || {
        let model = Arc::new(Model::new(&plan, inputs)?);
        Ok::<_, Error>(by_hour(model, seconds(until)))
    })
    .await??;
    Ok(Counts { from, until, topics })
}

fn by_hour(model: Arc<Model>, until: u32) -> BTreeMap<Topic, BTreeMap<DateTime<Utc>, u64>> {
    let mut topics: BTreeMap<Topic, BTreeMap<DateTime<Utc>, u64>> =
        Topic::ALL.into_iter().map(|topic| (topic, BTreeMap::new())).collect();
    let simulation = Simulation::new(Arc::clone(&model));
    for event in simulation.take_while(|event| event.at < until) {
        let hour = instant(event.at - event.at % HOUR);
        for topic in model.topics(&event) {
            *topics.entry(topic).or_default().entry(hour).or_default() += 1;
        }
    }
    topics
}
