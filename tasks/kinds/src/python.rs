//! `python`: a script or a few lines of Python, in a virtual environment of its own.

use crate::child;
use crate::env::Env;
use crate::program;
use crate::text::Text;
use crate::venv::{self, Requirements};
use crate::with;
use async_trait::async_trait;
use model::task::WithProblem;
use model::{Outcome, Task, TaskContext, TaskError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PYTHON: &str = "python3";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The program text.
    #[serde(default)]
    code: Option<String>,
    /// Or a file with it, from the dags folder.
    #[serde(default)]
    script: Option<PathBuf>,
    /// Arguments: `sys.argv[1:]`. Put what comes from outside here, not into the text.
    #[serde(default)]
    args: Vec<Text>,
    /// Packages to install, as in a requirements file: `[pandas==2.3.3]`; or the path of such a file, from the dags folder.
    #[serde(default)]
    requirements: Packages,
    /// The interpreter: `python3` if not said.
    #[serde(default)]
    python: Option<String>,
    /// The folder to run in, from the dags folder; that folder itself if not said.
    #[serde(default)]
    cwd: Option<PathBuf>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a list of packages or the path of a requirements file")]
enum Packages {
    Lines(Vec<String>),
    File(PathBuf),
}

impl Default for Packages {
    fn default() -> Self {
        Packages::Lines(Vec::new())
    }
}

pub struct Python {
    env: Arc<Env>,
}

impl Python {
    pub fn new(env: Arc<Env>) -> Self {
        Python { env }
    }
}

#[async_trait]
impl Task for Python {
    fn kind(&self) -> &'static str {
        "python"
    }

    fn summary(&self) -> &'static str {
        "Run Python in a virtual environment of its own; exit status 0 is success, 99 is skipped, all else is retried"
    }

    fn with_schema(&self) -> Value {
        with::schema::<With>()
    }

    fn check(&self, given: &Value, _dag_dir: &Path) -> Vec<WithProblem> {
        let mut problems = with::problems::<With>(given);
        if given.get("code").is_some() == given.get("script").is_some() {
            problems.push(with::problem("", "give either `code` or `script`", None));
        }
        for key in ["script", "requirements"] {
            let file = given.get(key).filter(|value| !with::has_template(value)).and_then(Value::as_str);
            if let Some(file) = file.filter(|file| !self.env.dags_dir.join(file).is_file()) {
                let hint = format!("paths start at {}", self.env.dags_dir.display());
                problems.push(with::problem(key, format!("there is no file {file}"), Some(hint)));
            }
        }
        problems
    }

    async fn run(&self, ctx: TaskContext) -> Result<Outcome, TaskError> {
        let with: With = with::read(&ctx.with)?;
        let dags_dir = &self.env.dags_dir;
        let requirements = match with.requirements {
            Packages::Lines(lines) => Requirements::Lines(lines),
            Packages::File(path) => Requirements::File(dags_dir.join(path)),
        };
        let python = with.python.as_deref().unwrap_or(PYTHON);
        let venv = venv::folder(&ctx, &self.env, python, &requirements).await?;
        // Lives until the program has ended.
        let text = with.code.as_deref().map(text_file).transpose()?;
        let (file, name) = match (&text, with.script) {
            (Some(text), None) => (text.path().to_path_buf(), "python".to_string()),
            (None, Some(script)) => (dags_dir.join(&script), script.display().to_string()),
            _ => return Err(TaskError::Fail("with: give either `code` or `script`".to_string())),
        };
        let bin = venv.join("bin");
        let mut command = child::command(&bin.join("python"));
        command
            .arg(file)
            .args(with.args)
            .current_dir(dags_dir.join(with.cwd.unwrap_or_default()))
            .env_remove("PYTHONPATH")
            .env("VIRTUAL_ENV", &venv)
            .env("PYTHONUNBUFFERED", "1");
        program::run(command, &ctx, &self.env, &name, Some(&bin)).await
    }
}

fn text_file(code: &str) -> Result<tempfile::NamedTempFile, TaskError> {
    let written =
        tempfile::Builder::new().prefix("streamify-task-").suffix(".py").tempfile().and_then(|mut file| {
            file.write_all(code.as_bytes())?;
            Ok(file)
        });
    written.map_err(|error| TaskError::Retry(format!("no temporary file for the code: {error}")))
}
