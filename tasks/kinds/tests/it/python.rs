//! `python` with the real interpreter, venv and pip; packages come from the test itself, not from the net.

use crate::support::Bench;
use model::{Outcome, TaskError};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A wheel with one module, as pip installs it.
fn wheel(folder: &Path, version: &str) -> PathBuf {
    let path = folder.join(format!("teal-{version}-py3-none-any.whl"));
    let script = "import sys, zipfile
path, version = sys.argv[1:]
info = f'teal-{version}.dist-info'
with zipfile.ZipFile(path, 'w') as wheel:
    wheel.writestr('teal.py', f'version = {version!r}')
    wheel.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: teal\\nVersion: {version}\\n')
    wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(f'{info}/RECORD', f'teal.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n')
";
    let made = std::process::Command::new("python3").args(["-c", script]).arg(&path).arg(version).status();
    assert!(made.unwrap().success());
    path
}

fn venvs(bench: &Bench) -> usize {
    let folders = std::fs::read_dir(bench.folder.path().join("venvs")).unwrap().flatten();
    folders.filter(|entry| entry.path().is_dir()).count()
}

fn outputs(outcome: Result<Outcome, TaskError>) -> Value {
    match outcome {
        Ok(Outcome::Done { outputs }) => outputs,
        other => panic!("{other:?}"),
    }
}

const TELL: &str = "import json, os, sys
print('hello', *sys.argv[1:])
json.dump({'prefix': sys.prefix, 'task': os.environ['STREAMIFY_TASK_ID']}, open(os.environ['STREAMIFY_OUTPUTS'], 'w'))
";

#[tokio::test]
async fn code_runs_in_its_own_environment_with_arguments_and_outputs() {
    let bench = Bench::new();
    let told = outputs(bench.run("python", json!({"code": TELL, "args": ["a b", "{}"]})).await);
    assert_eq!(told["task"], "t");
    let prefix = told["prefix"].as_str().unwrap();
    assert!(Path::new(prefix).starts_with(bench.folder.path().join("venvs")), "{prefix}");
    assert!(bench.told.text().iter().any(|line| line == "hello a b {}"), "{:?}", bench.told.text());
    outputs(bench.run("python", json!({"code": TELL})).await);
    assert_eq!(venvs(&bench), 1, "the environment is kept");
}

#[tokio::test]
async fn a_script_is_read_from_the_dags_folder_and_its_exit_status_decides() {
    let bench = Bench::new();
    let script = "import sys; print('about to end', file=sys.stderr); sys.exit(int(sys.argv[1]))";
    std::fs::write(bench.folder.path().join("end.py"), script).unwrap();
    let end = async |status: &str| bench.run("python", json!({"script": "end.py", "args": [status]})).await;
    assert!(matches!(end("0").await, Ok(Outcome::Done { .. })));
    assert!(matches!(end("99").await, Ok(Outcome::Skipped { .. })));
    let message = "end.py ended with exit status 3: about to end".to_string();
    assert_eq!(end("3").await, Err(TaskError::Retry(message)));
}

#[tokio::test]
async fn each_list_of_requirements_has_an_environment_of_its_own() {
    let bench = Bench::new();
    let code = "import json, os, teal
json.dump({'version': teal.version}, open(os.environ['STREAMIFY_OUTPUTS'], 'w'))";
    let first = wheel(bench.folder.path(), "1.0");
    let told = outputs(bench.run("python", json!({"code": code, "requirements": [first]})).await);
    assert_eq!(told, json!({"version": "1.0"}));
    let second = wheel(bench.folder.path(), "2.0");
    std::fs::write(bench.folder.path().join("requirements.txt"), second.to_str().unwrap()).unwrap();
    let told = outputs(bench.run("python", json!({"code": code, "requirements": "requirements.txt"})).await);
    assert_eq!(told, json!({"version": "2.0"}));
    assert_eq!(venvs(&bench), 2);
}

#[tokio::test]
async fn an_environment_that_was_not_finished_is_made_anew() {
    let bench = Bench::new();
    outputs(bench.run("python", json!({"code": "print(1)"})).await);
    let venv = std::fs::read_dir(bench.folder.path().join("venvs")).unwrap().flatten();
    let venv = venv.map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
    std::fs::remove_file(venv.join("complete")).unwrap();
    std::fs::remove_dir_all(venv.join("bin")).unwrap();
    outputs(bench.run("python", json!({"code": "print(2)"})).await);
    assert!(bench.told.text().contains(&"2".to_string()));
}

#[tokio::test]
async fn two_attempts_at_once_make_one_environment() {
    let bench = Bench::new();
    let run = || bench.run("python", json!({"code": "print('ran')"}));
    let (one, two) = tokio::join!(run(), run());
    outputs(one);
    outputs(two);
    let making = bench.told.text().into_iter().filter(|line| line.starts_with("making a virtual"));
    assert_eq!((making.count(), venvs(&bench)), (1, 1));
}

#[tokio::test]
async fn a_package_that_is_not_there_is_named() {
    let bench = Bench::new();
    let with = json!({"code": "", "requirements": ["--no-index", "no-such-package==1"]});
    let Err(TaskError::Retry(message)) = bench.run("python", with).await else { panic!("pip fails") };
    assert!(message.starts_with("pip install ended with exit status 1"), "{message}");
    assert!(bench.told.text().iter().any(|line| line.contains("no-such-package")));
}

#[test]
fn files_that_are_not_there_are_found_when_the_file_is_loaded() {
    let bench = Bench::new();
    let problems = |with: Value| bench.problems("python", with);
    assert_eq!(problems(json!({"code": "1", "script": "a.py"}))[0], ": give either `code` or `script`");
    assert_eq!(problems(json!({"script": "a.py"})), ["script: there is no file a.py"]);
    let wrong = problems(json!({"code": "1", "requirements": 3}));
    assert!(wrong[0].starts_with("requirements: expected"), "{wrong:?}");
}
