//! The topics with their open partitions. What a topic is called and set to is kept in `meta`; this is its mirror.

use crate::log::{Partition, PartitionOptions, RetentionLimits};
use crate::meta::{Entry, Meta, MetaState};
use crate::node::lock;
use crate::topic_config::{self, TopicSettings};
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

const TOPICS_DIR: &str = "topics";
/// Each partition holds one open file; 1,024 is a common limit of files for a process.
const MAX_PARTITIONS: usize = 512;

pub(crate) struct Topic {
    pub partitions: Vec<Arc<Mutex<Partition>>>,
    pub settings: TopicSettings,
}

/// A refusal in Kafka's word, with a sentence for people.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub error: ResponseError,
    pub message: String,
}

impl Refusal {
    pub fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }

    fn unknown(name: &str) -> Self {
        Self::new(ResponseError::UnknownTopicOrPartition, format!("there is no topic {name}"))
    }

    fn storage(path: &Path, error: &io::Error) -> Self {
        tracing::error!(path = %path.display(), %error, "cannot change a topic");
        Self::new(ResponseError::KafkaStorageError, format!("{}: {error}", path.display()))
    }
}

/// What a topic is to be.
pub(crate) struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub config: BTreeMap<String, String>,
}

pub(crate) struct Topics {
    dir: PathBuf,
    partition_options: PartitionOptions,
    pub default_retention: RetentionLimits,
    open: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl Topics {
    /// Opens all partitions. Also says how many bytes of torn ends were cut off.
    pub fn open(
        data_dir: &Path,
        partition_options: PartitionOptions,
        default_retention: RetentionLimits,
        meta: &MetaState,
    ) -> io::Result<(Self, u64)> {
        let dir = data_dir.join(TOPICS_DIR);
        let topics = Self { dir, partition_options, default_retention, open: RwLock::default() };
        let mut cut_bytes = 0;
        for (name, topic) in &meta.topics {
            let mut partitions = Vec::new();
            for index in 0..topic.partitions {
                let start = topic.log_starts.get(&index).copied().unwrap_or(0);
                let (partition, cut) =
                    Partition::open(&topics.partition_dir(name, index), start, partition_options)?;
                partitions.push(Arc::new(Mutex::new(partition)));
                cut_bytes += cut;
            }
            let settings = topic_config::parse(&topic.config, default_retention).map_err(|wrong| {
                io::Error::new(io::ErrorKind::InvalidData, format!("topic {name}: {wrong}"))
            })?;
            topics.put(name, Topic { partitions, settings });
        }
        Ok((topics, cut_bytes))
    }

    fn partition_dir(&self, topic: &str, index: i32) -> PathBuf {
        self.dir.join(topic).join(index.to_string())
    }

    fn put(&self, name: &str, topic: Topic) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::new(topic));
    }

    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub fn all(&self) -> Vec<(String, Arc<Topic>)> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|(name, topic)| (name.clone(), Arc::clone(topic))).collect()
    }

    pub fn partition(&self, topic: &str, index: i32) -> Option<Arc<Mutex<Partition>>> {
        let index = usize::try_from(index).ok()?;
        self.get(topic)?.partitions.get(index).cloned()
    }

    /// Whether this topic could be created.
    pub fn check_new(&self, new: &NewTopic) -> Result<TopicSettings, Refusal> {
        if !topic_config::is_valid_name(&new.name) {
            let rule = "a topic's name has 1 to 249 letters, digits, dots, underscores and hyphens";
            return Err(Refusal::new(ResponseError::InvalidTopicException, rule));
        }
        if self.get(&new.name).is_some() {
            return Err(Refusal::new(
                ResponseError::TopicAlreadyExists,
                format!("topic {} exists", new.name),
            ));
        }
        self.check_partitions(0, new.partitions)?;
        let wrong = |message| Refusal::new(ResponseError::InvalidConfig, message);
        topic_config::parse(&new.config, self.default_retention).map_err(wrong)
    }

    fn check_partitions(&self, from: usize, to: i32) -> Result<(), Refusal> {
        let held: usize = self.all().iter().map(|(_, topic)| topic.partitions.len()).sum();
        match usize::try_from(to) {
            Ok(to) if to > from && held - from + to <= MAX_PARTITIONS => Ok(()),
            _ => Err(Refusal::new(
                ResponseError::InvalidPartitions,
                format!(
                    "{to} partitions: must be more than {from}, and this broker holds at most {MAX_PARTITIONS} (now {held})"
                ),
            )),
        }
    }

    pub fn create(&self, meta: &mut Meta, new: NewTopic) -> Result<(), Refusal> {
        let settings = self.check_new(&new)?;
        let dir = self.dir.join(&new.name);
        // Left by a creation or deletion that a crash cut short.
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Refusal::storage(&dir, &error));
            }
            _ => {}
        }
        let partitions = self.new_partitions(&new.name, 0, new.partitions)?;
        let mut entries = vec![Entry::Topic { name: new.name.clone(), partitions: new.partitions }];
        if !new.config.is_empty() {
            entries.push(Entry::TopicConfig { name: new.name.clone(), config: new.config });
        }
        meta.commit(entries).map_err(|error| Refusal::storage(&dir, &error))?;
        self.put(&new.name, Topic { partitions, settings });
        Ok(())
    }

    fn new_partitions(&self, topic: &str, from: i32, to: i32) -> Result<Vec<Arc<Mutex<Partition>>>, Refusal> {
        let open = |index| {
            let dir = self.partition_dir(topic, index);
            let opened = Partition::open(&dir, 0, self.partition_options);
            opened
                .map(|(partition, _)| Arc::new(Mutex::new(partition)))
                .map_err(|e| Refusal::storage(&dir, &e))
        };
        (from..to).map(open).collect()
    }

    pub fn add_partitions(
        &self,
        meta: &mut Meta,
        name: &str,
        count: i32,
        only_check: bool,
    ) -> Result<(), Refusal> {
        let topic = self.get(name).ok_or_else(|| Refusal::unknown(name))?;
        let held = topic.partitions.len();
        self.check_partitions(held, count)?;
        if only_check {
            return Ok(());
        }
        let from = i32::try_from(held).unwrap_or(i32::MAX);
        let mut partitions = topic.partitions.clone();
        partitions.extend(self.new_partitions(name, from, count)?);
        let entry = Entry::Topic { name: name.to_owned(), partitions: count };
        meta.commit(vec![entry]).map_err(|error| Refusal::storage(&self.dir, &error))?;
        self.put(name, Topic { partitions, settings: topic.settings.clone() });
        Ok(())
    }

    /// Replaces the whole configuration.
    pub fn configure(
        &self,
        meta: &mut Meta,
        name: &str,
        config: BTreeMap<String, String>,
        only_check: bool,
    ) -> Result<(), Refusal> {
        let topic = self.get(name).ok_or_else(|| Refusal::unknown(name))?;
        let wrong = |message| Refusal::new(ResponseError::InvalidConfig, message);
        let settings = topic_config::parse(&config, self.default_retention).map_err(wrong)?;
        if only_check {
            return Ok(());
        }
        let entry = Entry::TopicConfig { name: name.to_owned(), config };
        meta.commit(vec![entry]).map_err(|error| Refusal::storage(&self.dir, &error))?;
        self.put(name, Topic { partitions: topic.partitions.clone(), settings });
        Ok(())
    }

    pub fn delete(&self, meta: &mut Meta, name: &str) -> Result<(), Refusal> {
        if self.get(name).is_none() {
            return Err(Refusal::unknown(name));
        }
        let entry = Entry::TopicDeleted { name: name.to_owned() };
        meta.commit(vec![entry]).map_err(|error| Refusal::storage(&self.dir, &error))?;
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        let dir = self.dir.join(name);
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::warn!(path = %dir.display(), %error, "files of a deleted topic stay until it is created anew");
        }
        Ok(())
    }

    /// Deletes what retention no longer keeps.
    pub fn expire(&self, now_ms: i64) {
        for (name, topic) in self.all() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                match lock(partition).expire(topic.settings.retention, now_ms) {
                    Ok(0) => {}
                    Ok(segments) => tracing::info!(
                        topic = name,
                        partition = index,
                        segments,
                        "retention deleted segments"
                    ),
                    Err(error) => {
                        tracing::error!(topic = name, partition = index, %error, "retention failed")
                    }
                }
            }
        }
    }
}
