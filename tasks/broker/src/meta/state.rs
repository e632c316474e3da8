//! The changes a journal is made of, and the state that follows from them.

use super::transaction::Transaction;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(crate) type TopicPartition = (String, i32);

/// A transactional id unused for this long is forgotten, as by Kafka's `transactional.id.expiration.ms`.
const FORGET_TRANSACTIONAL_ID_MS: i64 = 7 * 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A topic was created, or got more partitions.
    Topic {
        name: String,
        partitions: i32,
    },
    /// The whole configuration of a topic, in place of what it was.
    TopicConfig {
        name: String,
        config: BTreeMap<String, String>,
    },
    TopicDeleted {
        name: String,
    },
    /// Records before this offset were deleted on request.
    LogStart {
        topic: String,
        partition: i32,
        offset: i64,
    },
    Offset {
        group: String,
        topic: String,
        partition: i32,
        committed: CommittedOffset,
    },
    GroupDeleted {
        group: String,
    },
    /// Producer ids below this one are given away.
    NextProducerId {
        id: i64,
    },
    Transaction {
        id: String,
        transaction: Transaction,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TopicMeta {
    pub partitions: i32,
    pub config: BTreeMap<String, String>,
    pub log_starts: BTreeMap<i32, i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MetaState {
    pub topics: BTreeMap<String, TopicMeta>,
    pub offsets: BTreeMap<String, BTreeMap<TopicPartition, CommittedOffset>>,
    pub transactions: BTreeMap<String, Transaction>,
    pub next_producer_id: i64,
}

impl MetaState {
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Topic { name, partitions } => self.topics.entry(name).or_default().partitions = partitions,
            Entry::TopicConfig { name, config } => {
                if let Some(topic) = self.topics.get_mut(&name) {
                    topic.config = config;
                }
            }
            Entry::TopicDeleted { name } => {
                self.topics.remove(&name);
                self.offsets.values_mut().for_each(|group| group.retain(|(topic, _), _| *topic != name));
                self.offsets.retain(|_, group| !group.is_empty());
            }
            Entry::LogStart { topic, partition, offset } => {
                if let Some(topic) = self.topics.get_mut(&topic) {
                    topic.log_starts.insert(partition, offset);
                }
            }
            Entry::Offset { group, topic, partition, committed } => {
                self.offsets.entry(group).or_default().insert((topic, partition), committed);
            }
            Entry::GroupDeleted { group } => {
                self.offsets.remove(&group);
            }
            Entry::NextProducerId { id } => self.next_producer_id = self.next_producer_id.max(id),
            Entry::Transaction { id, transaction } => {
                self.transactions.insert(id, transaction);
            }
        }
    }

    /// The shortest journal that leads to this state.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::NextProducerId { id: self.next_producer_id }];
        for (name, topic) in &self.topics {
            entries.push(Entry::Topic { name: name.clone(), partitions: topic.partitions });
            if !topic.config.is_empty() {
                entries.push(Entry::TopicConfig { name: name.clone(), config: topic.config.clone() });
            }
            for (&partition, &offset) in &topic.log_starts {
                entries.push(Entry::LogStart { topic: name.clone(), partition, offset });
            }
        }
        for (group, offsets) in &self.offsets {
            for ((topic, partition), committed) in offsets {
                let (group, topic, partition) = (group.clone(), topic.clone(), *partition);
                entries.push(Entry::Offset { group, topic, partition, committed: committed.clone() });
            }
        }
        for (id, transaction) in &self.transactions {
            entries.push(Entry::Transaction { id: id.clone(), transaction: transaction.clone() });
        }
        entries
    }

    /// Drops transactional ids that nobody used for long.
    pub fn forget_old(&mut self, now_ms: i64) {
        let oldest = now_ms.saturating_sub(FORGET_TRANSACTIONAL_ID_MS);
        self.transactions.retain(|_, transaction| transaction.is_active() || transaction.updated_ms > oldest);
    }

    /// True if a transaction that has not ended is about to commit an offset of this group here.
    pub fn has_pending_offset(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.transactions
            .values()
            .flat_map(|transaction| &transaction.offsets)
            .any(|pending| pending.group == group && pending.topic == topic && pending.partition == partition)
    }

    /// The transactional id and transaction of a producer.
    pub fn transaction_of(&self, producer_id: i64) -> Option<(&String, &Transaction)> {
        self.transactions.iter().find(|(_, transaction)| transaction.producer_id == producer_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(group: &str, topic: &str, offset: i64) -> Entry {
        let committed = CommittedOffset { offset, leader_epoch: -1, metadata: "note\twith tab".into() };
        Entry::Offset { group: group.into(), topic: topic.into(), partition: 1, committed }
    }

    #[test]
    fn entries_of_a_state_lead_to_it() {
        let mut state = MetaState::default();
        let transaction = Transaction::begin_life(3, 0, 60_000, 1);
        for entry in [
            Entry::Topic { name: "plays".into(), partitions: 3 },
            Entry::TopicConfig { name: "plays".into(), config: [("retention.ms".into(), "5".into())].into() },
            Entry::LogStart { topic: "plays".into(), partition: 2, offset: 7 },
            Entry::NextProducerId { id: 4 },
            Entry::Transaction { id: "t".into(), transaction },
            offset("g", "plays", 1),
            offset("g", "plays", 2),
        ] {
            state.apply(entry);
        }
        let mut again = MetaState::default();
        state.entries().into_iter().for_each(|entry| again.apply(entry));
        assert_eq!(again, state);
        assert_eq!(state.entries().len(), 6, "outdated offsets are gone");
    }

    #[test]
    fn deleted_topic_takes_its_offsets_with_it() {
        let mut state = MetaState::default();
        for topic in ["old", "kept"] {
            state.apply(Entry::Topic { name: topic.into(), partitions: 2 });
            state.apply(offset("g", topic, 5));
        }
        state.apply(offset("only-old", "old", 5));
        state.apply(Entry::TopicDeleted { name: "old".into() });
        assert_eq!(state.offsets.keys().collect::<Vec<_>>(), ["g"]);
        assert_eq!(state.offsets["g"].keys().collect::<Vec<_>>(), [&("kept".to_string(), 1)]);
    }
}
