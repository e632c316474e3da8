//! The topic that holds the plan, and agreement on it: the first record counts, whoever wrote it.

use std::sync::Arc;

use ::kafka::Session;
use chrono::{DateTime, Utc};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::error::Error;
use crate::event::Topic;
use crate::input::Inputs;
use crate::kafka::{Cluster, TIMEOUT, blocking};
use crate::options::Options;
use crate::plan::Plan;

const KEY: &str = "plan";

pub(crate) fn name(options: &Options) -> String {
    format!("{}generator_plan", options.topic_prefix)
}

/// The plan to follow: the stored one if it is what the caller asks for, else a new one, stored before any event is.
///
/// # Errors
/// Conflicts with the stored plan or the topics, wrong options or inputs, Kafka out of reach.
pub(crate) async fn agree(
    cluster: &Arc<Cluster>,
    options: &Options,
    now: DateTime<Utc>,
) -> Result<(Plan, Inputs), Error> {
    let topic = name(options);
    if let Some(plan) = read(cluster, &topic).await? {
        let inputs = Inputs::load(&plan.sources(options)).await?;
        plan.agree(options, &inputs, &topic)?;
        return Ok((plan, inputs));
    }
    let inputs = Inputs::load(&options.sources()).await?;
    let found = existing_partitions(cluster, options).await?;
    let ours = Plan::new(options, &inputs, found, now)?;
    create(cluster, &topic).await?;
    write(cluster, &topic, &ours).await?;
    let stored = read(cluster, &topic).await?.ok_or_else(|| Error::Topic {
        topic: topic.clone(),
        problem: "the plan just written to it cannot be found".to_owned(),
    })?;
    // Another generator may have come first with a plan of its own.
    stored.agree(options, &inputs, &topic)?;
    Ok((stored, inputs))
}

/// The stored plan; `None` when there is none yet.
pub(crate) async fn read(cluster: &Arc<Cluster>, topic: &str) -> Result<Option<Plan>, Error> {
    let topic = topic.to_owned();
    blocking(cluster, move |cluster| {
        if cluster.partitions(&topic)?.is_none() {
            return Ok(None);
        }
        match cluster.offsets(&topic, 0)? {
            (_, 0) => Ok(None),
            (0, _) => {
                let record = cluster.records(&topic, 0, 0..1)?;
                record.first().map(|record| Plan::parse(&record.value, &topic)).transpose()
            }
            (low, _) => Err(Error::Topic {
                problem: format!(
                    "its first {low} records, and with them the plan, have been deleted; set its retention.ms to -1 \
                     and start anew with `streamify up --fresh` or another --topic-prefix"
                ),
                topic,
            }),
        }
    })
    .await
}

/// Partitions of event topics that exist before there is a plan. They must be empty: whose events would they be?
async fn existing_partitions(cluster: &Arc<Cluster>, options: &Options) -> Result<Option<i32>, Error> {
    let prefix = options.topic_prefix.clone();
    blocking(cluster, move |cluster| {
        let mut found = None;
        for topic in Topic::ALL.map(|topic| format!("{prefix}{}", topic.name())) {
            let Some(partitions) = cluster.partitions(&topic)? else { continue };
            for partition in 0..partitions {
                let (_, end) = cluster.offsets(&topic, partition)?;
                if end > 0 {
                    return Err(Error::Topic {
                        problem: format!(
                            "partition {partition} holds {end} records, but there is no plan that they follow; \
                             start anew with `streamify up --fresh` or use another --topic-prefix"
                        ),
                        topic,
                    });
                }
            }
            found = found.or(Some(partitions));
        }
        Ok(found)
    })
    .await
}

/// Makes the topic if it is not there yet: who may write need not be allowed to create.
async fn create(cluster: &Arc<Cluster>, topic: &str) -> Result<(), Error> {
    let name = topic.to_owned();
    match blocking(cluster, move |cluster| cluster.partitions(&name)).await? {
        Some(_) => Ok(()),
        None => cluster.create(topic, 1, false).await,
    }
}

async fn write(cluster: &Arc<Cluster>, topic: &str, plan: &Plan) -> Result<(), Error> {
    let json = serde_json::to_vec(plan).expect("a plan is plain data");
    let topic = topic.to_owned();
    blocking(cluster, move |cluster| {
        let failed = |source| cluster.failed(format!("write the plan to {topic}"), source);
        let mut config = cluster.client_config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", TIMEOUT.as_millis().to_string());
        let producer: BaseProducer<Session> =
            config.create_with_context(cluster.session()).map_err(failed)?;
        let record = BaseRecord::to(&topic).key(KEY).payload(&json).partition(0);
        producer.send(record).map_err(|(error, _)| failed(error))?;
        producer.flush(TIMEOUT).map_err(failed)
    })
    .await
}
