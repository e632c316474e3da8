//! Who asks: labels on every job, so that costs and slow queries can be told by dag, run and task.

use std::collections::HashMap;
use std::future::Future;

const LONGEST: usize = 63;

tokio::task_local! {
    static LABELS: HashMap<String, String>;
}

/// Runs `work` with labels on all jobs that it starts. What a label may not have becomes `_`.
pub async fn labelled<T>(labels: &[(&str, &str)], work: impl Future<Output = T>) -> T {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), fit(value))).collect();
    LABELS.scope(labels, work).await
}

pub(super) fn current() -> HashMap<String, String> {
    let mut labels = LABELS.try_with(Clone::clone).unwrap_or_default();
    labels.insert("app".to_owned(), "streamify".to_owned());
    labels
}

fn fit(value: &str) -> String {
    let letter = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    value.to_lowercase().chars().map(letter).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::{current, labelled};

    #[tokio::test]
    async fn labels_are_fit_and_end_with_the_work() {
        let seen = labelled(&[("run", "scheduled__2026-01-01T00:00:00+00:00")], async { current() }).await;
        assert_eq!(seen["run"], "scheduled__2026-01-01t00_00_00_00_00");
        assert_eq!(seen["app"], "streamify");
        assert!(!current().contains_key("run"));
    }
}
