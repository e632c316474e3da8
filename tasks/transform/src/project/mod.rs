//! A project: its nodes in order, and how each is compiled.

mod files;
mod link;
mod properties;
mod seed;
mod select;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{Problem, Severity};

pub(crate) use seed::Seed;

use crate::config::{Config, did_you_mean};
use crate::jinja::{MacroFile, Scope, Target};
use crate::testing::GenericTest;
use crate::{Error, RunArgs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Seed,
    Model,
    Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDoc {
    pub name: String,
    pub description: String,
}

/// A seed, a model or a test.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: String,
    pub kind: NodeKind,
    /// Ids of the seeds and models it reads.
    pub depends_on: Vec<String>,
    /// `source.table` of the sources it reads.
    pub sources: Vec<String>,
    pub tags: Vec<String>,
    /// Relative to the project.
    pub path: String,
    pub description: String,
    pub columns: Vec<ColumnDoc>,
    /// Of a test.
    pub severity: Option<Severity>,
    /// The model or seed that a test judges; `None` for tests on sources and over several models.
    pub attached_to: Option<String>,
}

pub(crate) enum Body {
    Seed(Seed),
    Model { text: String, config: Config },
    Singular { text: String, config: Config },
    Generic(GenericTest),
}

pub(crate) struct Entry {
    pub(crate) node: Node,
    pub(crate) body: Body,
}

/// A checked project, bound to the schema that its relations are built in.
pub struct Project {
    pub(crate) name: String,
    pub(crate) schema: String,
    nodes: Vec<Node>,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) refs: Arc<BTreeMap<String, Target>>,
    pub(crate) sources: Arc<BTreeMap<(String, String), Target>>,
    macros: Arc<Vec<MacroFile>>,
    vars: BTreeMap<String, serde_json::Value>,
    digest: String,
}

impl Project {
    /// Reads and checks the project in `dir`; models and seeds will live in `schema`.
    ///
    /// # Errors
    /// All problems of all files at once.
    pub fn load(dir: &Path, schema: &str) -> Result<Self, Vec<Problem>> {
        let (files, problems) = files::read(dir)?;
        link::link(&files, schema, problems)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seeds, models and tests; each after what it depends on.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Changes with any file of the project.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The nodes that dbt's selector words choose, in order: `name`, `tag:x`, `path:models/core`, `+x`, `x+`, `+x+`, several
    /// separated by blanks (union) or commas (intersection). A model brings its tests.
    ///
    /// # Errors
    /// [`Error::UnknownNode`] when a word chooses nothing.
    pub fn select(&self, selector: &str) -> Result<Vec<&Node>, Error> {
        select::select(&self.nodes, selector)
    }

    /// The SQL that running the node would send, with the given window as its hours.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::Compile`].
    pub fn compile(&self, id: &str, args: &RunArgs) -> Result<String, Error> {
        let entry = self.entry(id)?;
        let mut scope = self.scope(args);
        scope.hours = args.window_hours();
        scope.incremental = !args.full_refresh;
        match &entry.body {
            Body::Seed(seed) => Ok(seed.create_sql(&self.target(id).sql())),
            Body::Model { text, config } => {
                scope.this = Some(self.target(id).clone());
                scope.narrow = config.is_microbatch() && scope.hours.is_some();
                Ok(self.render(&entry.node.path, text, &scope)?.0)
            }
            Body::Singular { text, .. } => {
                scope.narrow = scope.hours.is_some();
                Ok(self.render(&entry.node.path, text, &scope)?.0)
            }
            Body::Generic(test) => {
                scope.narrow = scope.hours.is_some();
                Ok(test.plan(self, &scope, args)?.display_sql())
            }
        }
    }

    pub(crate) fn entry(&self, id: &str) -> Result<&Entry, Error> {
        self.entries.get(id).ok_or_else(|| Error::UnknownNode {
            id: id.to_owned(),
            hint: did_you_mean(id, self.entries.keys().map(String::as_str)),
        })
    }

    /// The relation of a seed or model.
    pub(crate) fn target(&self, id: &str) -> &Target {
        self.refs.get(id).expect("every seed and model has a target")
    }

    pub(crate) fn scope(&self, args: &RunArgs) -> Scope {
        let mut vars = self.vars.clone();
        vars.extend(args.vars.clone());
        Scope {
            execute: true,
            this: None,
            schema: self.schema.clone(),
            refs: Arc::clone(&self.refs),
            sources: Arc::clone(&self.sources),
            macros: Arc::clone(&self.macros),
            vars,
            incremental: false,
            full_refresh: args.full_refresh,
            hours: None,
            narrow: false,
            dialect: args.dialect,
        }
    }

    pub(crate) fn render(
        &self,
        path: &str,
        text: &str,
        scope: &Scope,
    ) -> Result<(String, crate::jinja::Captured), Error> {
        scope
            .render(path, text)
            .map_err(|error| Error::Compile(Box::new(link::jinja_problem(path, text, &error))))
    }
}
