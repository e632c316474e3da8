//! `streamify approval`: questions of tasks, answered by people.

use super::request::{self, dash};
use crate::cli::{Answer, ApprovalCommand};
use crate::config::Config;
use crate::{node, output};
use anyhow::Result;
use std::process::ExitCode;
use store::Store;
use store::approvals::ApprovalName;
use store::views::approvals::ApprovalFilter;

pub async fn run(config: Config, command: ApprovalCommand) -> Result<ExitCode> {
    let store = node::connect(&config).await?;
    match command {
        ApprovalCommand::List { all, limit } => list(&config, &store, all, limit).await?,
        ApprovalCommand::Approve(answer) => decide(&store, &answer, true).await?,
        ApprovalCommand::Reject(answer) => decide(&store, &answer, false).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(config: &Config, store: &Store, all: bool, limit: i64) -> Result<()> {
    let filter = ApprovalFilter { open: !all, limit, ..ApprovalFilter::default() };
    let (rows, total) = store.list_approvals(&filter).await?;
    if config.json {
        return output::json(&rows);
    }
    let shown = rows.len() as i64;
    let rows = rows.into_iter().map(|row| {
        let task =
            if row.map_index < 0 { row.task_id } else { format!("{}[{}]", row.task_id, row.map_index) };
        let answer =
            row.decision.map(|decision| format!("{decision} by {}", row.decided_by.unwrap_or_default()));
        let asked = row.asked_at.format("%F %T").to_string();
        vec![row.dag_id, row.run_id, task, row.prompt, asked, answer.unwrap_or_else(dash)]
    });
    println!("{}", output::table(&["dag", "run", "task", "question", "asked (UTC)", "answer"], rows));
    if shown < total {
        println!("{shown} of {total}; --limit shows more");
    }
    Ok(())
}

async fn decide(store: &Store, answer: &Answer, approved: bool) -> Result<()> {
    let name = ApprovalName {
        dag_id: &answer.dag,
        run_id: &answer.run_id,
        task_id: &answer.task,
        map_index: answer.map_index,
    };
    let now = store.clock().await?;
    store.decide_approval(name, approved, &request::who(), &answer.comment, now).await?;
    let word = if approved { "approved" } else { "rejected" };
    println!("{}/{}/{} is {word}", answer.dag, answer.run_id, answer.task);
    Ok(())
}
