//! `streamify models`: what a project holds, and the SQL that it would run.

use crate::cli::ModelsCommand;
use crate::config::Config;
use crate::output;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::ExitCode;
use transform::{Project, RunArgs};

const SCHEMA: &str = "prod";

pub async fn run(config: Config, command: ModelsCommand) -> Result<ExitCode> {
    match command {
        ModelsCommand::List { project } => list(&config, &load(&config, &project)?),
        ModelsCommand::Compile { project, model } => {
            println!("{}", load(&config, &project)?.compile(&model, &RunArgs::default())?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A folder as it stands, or one of the dags folder.
fn load(config: &Config, project: &Path) -> Result<Project> {
    let inside = config.dags_dir().join(project);
    let folder = if project.is_dir() { project.to_path_buf() } else { inside };
    match Project::load(&folder, SCHEMA) {
        Ok(project) => Ok(project),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("{} problems\n{}", lines.len(), lines.join("\n"));
        }
    }
}

fn list(config: &Config, project: &Project) -> Result<ExitCode> {
    if config.json {
        let nodes: Vec<_> = project
            .nodes()
            .iter()
            .map(|node| {
                serde_json::json!({
                    "id": node.id,
                    "kind": format!("{:?}", node.kind).to_lowercase(),
                    "depends_on": node.depends_on,
                    "tags": node.tags,
                    "path": node.path,
                })
            })
            .collect();
        output::json(&nodes)?;
    } else {
        let rows = project.nodes().iter().map(|node| {
            vec![
                node.id.clone(),
                format!("{:?}", node.kind).to_lowercase(),
                node.depends_on.join(", "),
                node.path.clone(),
            ]
        });
        println!("{}", output::table(&["node", "kind", "reads", "file"], rows));
    }
    Ok(ExitCode::SUCCESS)
}
