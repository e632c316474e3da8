//! Produce: appending batches.

use crate::log::batch::BatchHeader;
use crate::node::{Node, lock};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

pub(crate) fn produce(node: &Node, request: &ProduceRequest) -> ProduceResponse {
    let acks_known = (-1..=1).contains(&request.acks);
    let responses = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            let appended = if acks_known {
                append(node, &topic.name, partition)
            } else {
                Err(ResponseError::InvalidRequiredAcks)
            };
            answer(partition.index, appended)
        });
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_partition_responses(partitions.collect())
    });
    let responses = responses.collect();
    node.appended.notify_waiters();
    ProduceResponse::default().with_responses(responses)
}

struct Appended {
    base_offset: i64,
    log_start: i64,
}

fn answer(index: i32, appended: Result<Appended, ResponseError>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index).with_log_append_time_ms(-1);
    match appended {
        Ok(Appended { base_offset, log_start }) => {
            answer.with_base_offset(base_offset).with_log_start_offset(log_start)
        }
        Err(error) => answer.with_base_offset(-1).with_error_code(error.code()),
    }
}

fn append(node: &Node, topic_name: &str, data: &PartitionProduceData) -> Result<Appended, ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let topic = node.topics.get(topic_name).ok_or(unknown)?;
    let index = usize::try_from(data.index).map_err(|_| unknown)?;
    let partition = topic.partitions.get(index).ok_or(unknown)?;
    let records = data.records.as_deref().unwrap_or_default();
    let header = BatchHeader::decode(records).ok_or(ResponseError::CorruptMessage)?;
    // Held until the batch is written: the transaction must not end in between.
    let meta = header.is_transactional().then(|| lock(&node.meta));
    if let Some(meta) = &meta {
        let (_, transaction) =
            meta.state().transaction_of(header.producer_id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        transaction.check_write(header.producer_epoch, &(topic_name.to_owned(), data.index))?;
    }
    let mut partition = lock(partition);
    let base_offset = partition.append(records, topic.settings.max_message_bytes)?;
    Ok(Appended { base_offset, log_start: partition.start_offset() })
}
