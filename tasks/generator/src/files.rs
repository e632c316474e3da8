//! Eventsim's output directory: one file of JSON lines for each topic, without Kafka.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::event::Topic;
use crate::input::Inputs;
use crate::model::{Model, instant, seconds};
use crate::options::Options;
use crate::plan::{self, Plan};
use crate::report::{Ending, Phase, Progress, Report, TopicCount};
use crate::simulate::Simulation;

/// Events between two looks at the cancellation.
const BATCH: u64 = 1_024;

struct Output {
    file: BufWriter<File>,
    partial: PathBuf,
    whole: PathBuf,
    written: u64,
}

/// Writes `<topic>.json` for each topic into `directory`. A file gets its name when it is whole, so a broken run
/// leaves `<topic>.json.partial`, and a file that exists is replaced.
///
/// # Errors
/// Wrong options or inputs, or a file that cannot be written.
pub async fn write_files(
    options: &Options,
    directory: &Path,
    now: DateTime<Utc>,
    cancel: CancellationToken,
) -> Result<Report, Error> {
    if options.continuous {
        return Err(Error::Options(
            "files cannot be written in continuous mode: leave --continuous out".to_owned(),
        ));
    }
    let inputs = Inputs::load(&options.sources()).await?;
    let plan = Plan::new(options, &inputs, None, now)?;
    let to = plan::end(options, &inputs, &plan, now)?.unwrap_or(now);
    let directory = directory.to_owned();
    tokio::task::spawn_blocking(move || {
        let model = Arc::new(Model::new(&plan, inputs)?);
        write(&directory, plan, &model, seconds(to), &cancel)
    })
    .await?
}

fn write(
    directory: &Path,
    plan: Plan,
    model: &Arc<Model>,
    to: u32,
    cancel: &CancellationToken,
) -> Result<Report, Error> {
    let mut outputs = open(directory)?;
    let (mut page_views, mut last, mut ending) = (0, None, Ending::Complete);
    let mut line = Vec::with_capacity(1_024);
    for event in Simulation::new(Arc::clone(model)).take_while(|event| event.at < to) {
        for topic in model.topics(&event) {
            line.clear();
            model.write(topic, &event, &mut line);
            line.push(b'\n');
            let output = &mut outputs[topic as usize];
            output.file.write_all(&line).map_err(|error| failed(&output.partial, error))?;
            output.written += 1;
        }
        last = Some(event.at);
        page_views += 1;
        if page_views % BATCH == 0 && cancel.is_cancelled() {
            ending = Ending::Cancelled;
            break;
        }
    }
    let mut topics = std::collections::BTreeMap::new();
    for (topic, mut output) in Topic::ALL.into_iter().zip(outputs) {
        output.file.flush().map_err(|error| failed(&output.partial, error))?;
        if ending == Ending::Complete {
            std::fs::rename(&output.partial, &output.whole).map_err(|error| failed(&output.whole, error))?;
        }
        topics.insert(topic.name().to_owned(), TopicCount { replayed: 0, sent: output.written });
    }
    let events = topics.values().map(|topic: &TopicCount| topic.sent).sum();
    let progress = Progress {
        state: Phase::Done,
        event_time: last.map(instant),
        topics,
        page_views,
        events,
        events_per_second: 0.0,
        rejected: 0,
        error: None,
    };
    Ok(Report { ending, plan, watermark: None, progress })
}

fn open(directory: &Path) -> Result<Vec<Output>, Error> {
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    Topic::ALL
        .into_iter()
        .map(|topic| {
            let whole = directory.join(format!("{}.json", topic.name()));
            let partial = directory.join(format!("{}.json.partial", topic.name()));
            let file = File::create(&partial).map_err(|error| failed(&partial, error))?;
            Ok(Output { file: BufWriter::with_capacity(1 << 18, file), partial, whole, written: 0 })
        })
        .collect()
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::File { action: "write", path: path.to_owned(), source }
}
