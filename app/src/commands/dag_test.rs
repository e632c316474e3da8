//! `streamify dag test`: plays the cases of test files, without a platform, and tells what was not as expected.

use super::dag;
use crate::config::Config;
use crate::{offline, output};
use anyhow::{Context, Result};
use model::simulate::{Case, Event, Miss, judge, simulate, span};
use model::{Dag, Problem, Registry};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Serialize)]
struct Tested {
    file: String,
    dag_id: String,
    case: String,
    line: usize,
    passed: bool,
    /// The state in which the run ended.
    run: String,
    misses: Vec<Miss>,
    /// What happened, if the case did not pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event>,
}

pub fn run(config: &Config, paths: Vec<PathBuf>) -> Result<ExitCode> {
    let root = config.dags_dir();
    let registry = offline::registry(&root)?;
    let paths = if paths.is_empty() { vec![root.clone()] } else { paths };
    let (mut tested, mut problems) = (Vec::new(), Vec::new());
    for path in &paths {
        let files = if path.is_dir() {
            engine::test_files(path).with_context(|| path.display().to_string())?
        } else {
            vec![path.clone()]
        };
        for file in &files {
            match cases(file, &root, &registry)? {
                Ok((dag, cases)) => tested.extend(cases.iter().map(|case| play(file, &dag, case, &registry))),
                Err(wrong) => problems.extend(wrong),
            }
        }
    }
    let failed = tested.iter().filter(|case| !case.passed).count();
    let fine = failed == 0 && problems.is_empty();
    if config.json {
        output::json(&serde_json::json!({ "passed": fine, "cases": tested, "problems": problems }))?;
    } else {
        tested.iter().for_each(tell);
        problems.iter().for_each(|problem| println!("{problem}"));
        let passed = tested.len() - failed;
        println!("{passed} passed, {failed} failed, {} problems in files", problems.len());
    }
    Ok(output::status(fine))
}

type Cases = (Dag, Vec<Case>);

/// The cases of a test file and the dag that they are about, or what is wrong with either.
fn cases(file: &Path, root: &Path, registry: &Registry) -> Result<Result<Cases, Vec<Problem>>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let name = file.display().to_string();
    let named = match model::spec::tested_dag(&name, &bytes) {
        Ok(named) => named,
        Err(problems) => return Ok(Err(problems)),
    };
    let found = match find(file, named.as_deref(), root, registry)? {
        Ok(dag) => dag,
        Err(problems) => return Ok(Err(problems)),
    };
    Ok(model::spec::read_test(&name, &bytes, &found).map(|cases| (found, cases)))
}

/// The dag by its file (beside the test) or its id; without either the file that is named as the test is.
fn find(
    test: &Path,
    named: Option<&str>,
    root: &Path,
    registry: &Registry,
) -> Result<Result<Dag, Vec<Problem>>> {
    let folder = test.parent().unwrap_or(Path::new("."));
    let is_file = |name: &str| name.ends_with(".yaml") || name.ends_with(".yml");
    let file = match named {
        Some(name) if is_file(name) => Some(folder.join(name)),
        Some(id) => return by_id(test, id, root, registry),
        None => {
            let name = test.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let beside = folder.join(name.replacen(".test.", ".", 1));
            (beside != test).then_some(beside)
        }
    };
    match file.filter(|file| file.is_file()) {
        Some(file) => dag::read(&file, root, registry),
        None => Ok(Err(vec![unknown(test, named.unwrap_or("of the same name"), root)])),
    }
}

fn by_id(test: &Path, id: &str, root: &Path, registry: &Registry) -> Result<Result<Dag, Vec<Problem>>> {
    let folder = test.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut broken = Vec::new();
    for folder in [folder, root] {
        for file in engine::dag_files(folder).with_context(|| folder.display().to_string())? {
            match dag::read(&file, root, registry)? {
                Ok(dag) if dag.id == id => return Ok(Ok(dag)),
                Err(problems) if file.file_stem().is_some_and(|stem| stem == id) => broken = problems,
                _ => {}
            }
        }
    }
    Ok(Err(if broken.is_empty() { vec![unknown(test, id, root)] } else { broken }))
}

fn unknown(test: &Path, name: &str, root: &Path) -> Problem {
    Problem {
        file: test.display().to_string(),
        line: 1,
        column: 1,
        message: format!("there is no dag '{name}' beside this test or in {}", root.display()),
        hint: Some("write 'dag: <id>' or 'dag: <file>.yaml'; --dags names the dags folder".to_owned()),
    }
}

fn play(file: &Path, dag: &Dag, case: &Case, registry: &Registry) -> Tested {
    let story = simulate(dag, case, registry);
    let misses = judge(dag, case, &story);
    let passed = misses.is_empty();
    Tested {
        file: file.display().to_string(),
        dag_id: dag.id.clone(),
        case: case.name.clone(),
        line: case.place.line,
        passed,
        run: story.run.to_string(),
        misses,
        events: if passed { Vec::new() } else { story.events },
    }
}

fn tell(case: &Tested) {
    let name = if case.case.is_empty() { format!("case in line {}", case.line) } else { case.case.clone() };
    let mark = if case.passed { "ok  " } else { "FAIL" };
    println!("{mark}  {}: {name}", case.file);
    for miss in &case.misses {
        println!("      {}:{}:{}: {}", case.file, miss.line, miss.column, miss.message);
    }
    let Some(began) = case.events.first().map(|event| event.at) else { return };
    println!("      what happened:");
    let width = case.events.iter().map(|event| event.what.chars().count()).max().unwrap_or(0);
    for event in &case.events {
        println!("      {:>10}  {:width$}  {}", span(event.at - began), event.what, event.text);
    }
}
