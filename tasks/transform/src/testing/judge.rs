//! From a measured value and the test's bounds to pass, warn or fail.

use model::{CheckResult, CheckStatus, Severity};
use serde_json::Value;

use super::Plan;
use crate::config::Config;

/// Failing rows that a result keeps.
pub(crate) const SAMPLE_ROWS: usize = 20;

/// `value` is the number of failing rows, or what the plan's measure returned.
pub(crate) fn judge(
    name: &str,
    subject: &str,
    config: &Config,
    plan: Plan,
    value: f64,
    sample: Vec<Value>,
) -> CheckResult {
    let low = plan.low.filter(|_| plan.measure.is_some());
    let high = if plan.measure.is_some() { plan.high } else { Some(0.0) };
    let outside = low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high);
    let unmet = match config.severity {
        Severity::Error => CheckStatus::Fail,
        Severity::Warn => CheckStatus::Warn,
    };
    let status = match (&config.error_if, &config.warn_if) {
        (Some(error), _) if error.holds(value) => unmet,
        (_, Some(warn)) if warn.holds(value) => CheckStatus::Warn,
        (None, None) if outside => unmet,
        _ => CheckStatus::Pass,
    };
    let bounds = match (&config.error_if, &config.warn_if) {
        (Some(error), Some(warn)) => format!("not {error}, warn {warn}"),
        (Some(error), None) => format!("not {error}"),
        (None, Some(warn)) => format!("warn {warn}"),
        (None, None) => match (low, high) {
            (Some(low), Some(high)) if low == high => format!("= {low}"),
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) => format!(">= {low}"),
            (None, Some(0.0)) if plan.measure.is_none() => "= 0".to_owned(),
            (None, Some(high)) => format!("<= {high}"),
            (None, None) => "any".to_owned(),
        },
    };
    let sample = if status == CheckStatus::Pass { Vec::new() } else { sample };
    CheckResult {
        name: name.to_owned(),
        subject: subject.to_owned(),
        severity: config.severity,
        status,
        value,
        bounds,
        sample,
        sql: Some(plan.display_sql()),
    }
}
