//! Airflow's thirteen trigger rules, and what each says about the states of what a task needs.

use crate::state::TaskState;
use serde::{Deserialize, Serialize};

/// When a task may start, judged by the states of what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    #[default]
    AllSuccess,
    AllFailed,
    AllDone,
    AllDoneMinOneSuccess,
    AllDoneSetupSuccess,
    OneSuccess,
    OneFailed,
    OneDone,
    NoneFailed,
    NoneFailedMinOneSuccess,
    NoneSkipped,
    AllSkipped,
    Always,
}

/// The instances that a task needs, counted by how they stand. What is in none of the counts is not done yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upstream {
    pub total: u32,
    pub success: u32,
    pub failed: u32,
    pub upstream_failed: u32,
    pub skipped: u32,
    /// Of these, how many are setups, and how those stand.
    pub setups: u32,
    pub setups_success: u32,
    pub setups_skipped: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It cannot be known yet.
    Wait,
    Start,
    /// The rule can no longer be met: the task ends in this state without running.
    Settle(TaskState),
}

impl Upstream {
    pub fn add(&mut self, other: Upstream) {
        self.total += other.total;
        self.success += other.success;
        self.failed += other.failed;
        self.upstream_failed += other.upstream_failed;
        self.skipped += other.skipped;
        self.setups += other.setups;
        self.setups_success += other.setups_success;
        self.setups_skipped += other.setups_skipped;
    }

    fn failures(&self) -> u32 {
        self.failed + self.upstream_failed
    }

    fn is_done(&self) -> bool {
        self.success + self.failures() + self.skipped >= self.total
    }
}

impl TriggerRule {
    pub const ALL: [TriggerRule; 13] = [
        TriggerRule::AllSuccess,
        TriggerRule::AllFailed,
        TriggerRule::AllDone,
        TriggerRule::AllDoneMinOneSuccess,
        TriggerRule::AllDoneSetupSuccess,
        TriggerRule::OneSuccess,
        TriggerRule::OneFailed,
        TriggerRule::OneDone,
        TriggerRule::NoneFailed,
        TriggerRule::NoneFailedMinOneSuccess,
        TriggerRule::NoneSkipped,
        TriggerRule::AllSkipped,
        TriggerRule::Always,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            TriggerRule::AllSuccess => "all_success",
            TriggerRule::AllFailed => "all_failed",
            TriggerRule::AllDone => "all_done",
            TriggerRule::AllDoneMinOneSuccess => "all_done_min_one_success",
            TriggerRule::AllDoneSetupSuccess => "all_done_setup_success",
            TriggerRule::OneSuccess => "one_success",
            TriggerRule::OneFailed => "one_failed",
            TriggerRule::OneDone => "one_done",
            TriggerRule::NoneFailed => "none_failed",
            TriggerRule::NoneFailedMinOneSuccess => "none_failed_min_one_success",
            TriggerRule::NoneSkipped => "none_skipped",
            TriggerRule::AllSkipped => "all_skipped",
            TriggerRule::Always => "always",
        }
    }

    /// Whether a task with this rule may run after one that failed, and so answers for that failure.
    pub fn tolerates_failure(self) -> bool {
        use TriggerRule::*;
        !matches!(self, AllSuccess | NoneFailed | NoneFailedMinOneSuccess | AllSkipped)
    }

    /// What the rule says. The one_* rules decide early; once everything needed is done, no rule waits.
    pub fn judge(self, up: &Upstream) -> Verdict {
        use TriggerRule::*;
        if up.total == 0 || self == Always {
            return Verdict::Start;
        }
        let done = up.is_done();
        let skip = Verdict::Settle(TaskState::Skipped);
        let fail = Verdict::Settle(TaskState::UpstreamFailed);
        // In each list the first case that holds decides.
        let cases: &[(bool, Verdict)] = match self {
            AllSuccess => &[(up.failures() > 0, fail), (up.skipped > 0, skip), (done, Verdict::Start)],
            AllFailed => &[(up.success + up.skipped > 0, skip), (done, Verdict::Start)],
            AllDone => &[(done, Verdict::Start)],
            // Without setups the same as all_done. One setup that ran is enough: there is something to tear down.
            AllDoneSetupSuccess => &[
                (done && up.setups > 0 && up.setups_skipped == up.setups, skip),
                (done && up.setups > 0 && up.setups_success == 0, fail),
                (done, Verdict::Start),
            ],
            AllDoneMinOneSuccess => {
                &[(up.skipped > 0, skip), (done && up.success == 0, fail), (done, Verdict::Start)]
            }
            OneSuccess => {
                &[(up.success > 0, Verdict::Start), (done && up.skipped == up.total, skip), (done, fail)]
            }
            OneFailed => &[(up.failures() > 0, Verdict::Start), (done, skip)],
            OneDone => &[(up.success + up.failed > 0, Verdict::Start), (done, skip)],
            NoneFailed => &[(up.failures() > 0, fail), (done, Verdict::Start)],
            NoneFailedMinOneSuccess => {
                &[(up.failures() > 0, fail), (done && up.success == 0, skip), (done, Verdict::Start)]
            }
            NoneSkipped => &[(up.skipped > 0, skip), (done, Verdict::Start)],
            AllSkipped => &[(up.success + up.failures() > 0, skip), (done, Verdict::Start)],
            Always => &[],
        };
        cases.iter().find(|(holds, _)| *holds).map_or(Verdict::Wait, |(_, verdict)| *verdict)
    }
}

impl std::fmt::Display for TriggerRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// s = success, f = failed, u = upstream_failed, k = skipped, . = not done.
    fn upstream(states: &str) -> Upstream {
        let count = |wanted: char| states.chars().filter(|state| *state == wanted).count() as u32;
        Upstream {
            total: states.len() as u32,
            success: count('s'),
            failed: count('f'),
            upstream_failed: count('u'),
            skipped: count('k'),
            ..Upstream::default()
        }
    }

    #[test]
    fn a_teardown_runs_if_one_of_its_setups_did() {
        let judge = |states: &str, success, skipped| {
            let setups =
                Upstream { setups: 2, setups_success: success, setups_skipped: skipped, ..upstream(states) };
            TriggerRule::AllDoneSetupSuccess.judge(&setups)
        };
        assert_eq!(judge("sf.", 1, 0), Verdict::Wait);
        assert_eq!(judge("sff", 1, 0), Verdict::Start);
        assert_eq!(judge("ffu", 0, 0), Verdict::Settle(TaskState::UpstreamFailed));
        assert_eq!(judge("kks", 0, 2), Verdict::Settle(TaskState::Skipped));
    }

    #[test]
    fn rules_judge_as_airflow_does() {
        use TaskState::{Skipped, UpstreamFailed};
        use TriggerRule::*;
        use Verdict::*;
        let table = [
            (AllSuccess, "ss", Start),
            (AllSuccess, "s.", Wait),
            (AllSuccess, "f.", Settle(UpstreamFailed)),
            (AllSuccess, "u.", Settle(UpstreamFailed)),
            (AllSuccess, "k.", Settle(Skipped)),
            (AllSuccess, "kf", Settle(UpstreamFailed)),
            (AllFailed, "fu", Start),
            (AllFailed, "f.", Wait),
            (AllFailed, "s.", Settle(Skipped)),
            (AllFailed, "k.", Settle(Skipped)),
            (AllDone, "sfuk", Start),
            (AllDone, "sfu.", Wait),
            (AllDoneSetupSuccess, "sf", Start),
            (AllDoneMinOneSuccess, "sf", Start),
            (AllDoneMinOneSuccess, "s.", Wait),
            (AllDoneMinOneSuccess, "ff", Settle(UpstreamFailed)),
            (AllDoneMinOneSuccess, "sk", Settle(Skipped)),
            (OneSuccess, "s..", Start),
            (OneSuccess, "f.", Wait),
            (OneSuccess, "kk", Settle(Skipped)),
            (OneSuccess, "fk", Settle(UpstreamFailed)),
            (OneFailed, "f.", Start),
            (OneFailed, "u.", Start),
            (OneFailed, "s.", Wait),
            (OneFailed, "sk", Settle(Skipped)),
            (OneDone, "s.", Start),
            (OneDone, "f.", Start),
            (OneDone, "u.", Wait),
            (OneDone, "uk", Settle(Skipped)),
            (NoneFailed, "sk", Start),
            (NoneFailed, "kk", Start),
            (NoneFailed, "s.", Wait),
            (NoneFailed, "f.", Settle(UpstreamFailed)),
            (NoneFailedMinOneSuccess, "sk", Start),
            (NoneFailedMinOneSuccess, "kk", Settle(Skipped)),
            (NoneFailedMinOneSuccess, "u.", Settle(UpstreamFailed)),
            (NoneSkipped, "sf", Start),
            (NoneSkipped, "k.", Settle(Skipped)),
            (AllSkipped, "kk", Start),
            (AllSkipped, "k.", Wait),
            (AllSkipped, "s.", Settle(Skipped)),
            (AllSkipped, "f.", Settle(Skipped)),
            (Always, "..", Start),
        ];
        for (rule, states, verdict) in table {
            assert_eq!(rule.judge(&upstream(states)), verdict, "{rule} over {states}");
        }
    }

    #[test]
    fn no_rule_waits_once_all_is_done_and_none_blocks_a_root() {
        for rule in TriggerRule::ALL {
            assert_eq!(rule.judge(&Upstream::default()), Verdict::Start, "{rule} without needs");
            for states in ["s", "f", "u", "k", "sf", "su", "sk", "fu", "fk", "uk", "sfuk"] {
                assert_ne!(rule.judge(&upstream(states)), Verdict::Wait, "{rule} over {states}");
            }
        }
    }

    #[test]
    fn names_are_those_of_yaml() {
        for rule in TriggerRule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
        }
    }
}
