//! Migrations expand first and contract later: nodes of the version before go on working while a new one is rolled out.
//!
//! From 0007 on a migration may add tables, columns that may be empty or have a constant default, functions, and indexes built beside the
//! writers. What takes something away says with `-- contract: <migration>` which migration a binary must know to work after it, and writes it
//! into `schema_contracts`, so that older binaries refuse to start. Not here: whether the SQL is right; its tests say that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Those before were made when no version was out.
const FIRST: u32 = 7;
/// Tables that may be large, or that every node writes to all the time.
const BUSY: &[&str] = &[
    "runs",
    "task_instances",
    "attempts",
    "attempt_history",
    "ticks",
    "logs",
    "checks",
    "audit_log",
    "asset_events",
    "notifications",
    "deadlines",
    "nodes",
];

struct Rule {
    /// Words in this order, others between them.
    words: &'static [&'static str],
    /// None of these in the statement.
    unless: &'static [&'static str],
    why: &'static str,
    remedy: &'static str,
}

/// What older nodes do not survive: only in a contract.
const CONTRACTS: &[Rule] = &[
    Rule {
        words: &["alter table", "drop column"],
        unless: &[],
        why: "nodes of the version before still read this column",
        remedy: "stop using it first, drop it one release later",
    },
    Rule {
        words: &["alter table", "rename"],
        unless: &[],
        why: "nodes of the version before know the old name",
        remedy: "add the new one beside it and write both",
    },
    Rule {
        words: &["drop table"],
        unless: &[],
        why: "nodes of the version before still use this table",
        remedy: "stop using it first, drop it one release later",
    },
    Rule {
        words: &["drop function"],
        unless: &[],
        why: "nodes of the version before still call it",
        remedy: "leave it, make a new one beside it, drop it one release later",
    },
    Rule {
        words: &["alter table", "alter column", "type"],
        unless: &[],
        why: "nodes of the version before bind the old type, and the table is rewritten under a lock",
        remedy: "add a column of the new type beside it",
    },
    Rule {
        words: &["alter table", "set not null"],
        unless: &[],
        why: "nodes of the version before may write nulls",
        remedy: "write it everywhere first, then demand it one release later",
    },
    Rule {
        words: &["alter table", "add column", "not null"],
        unless: &["default", "generated"],
        why: "nodes of the version before do not write this column",
        remedy: "give it a constant default, or let it be null",
    },
    Rule {
        words: &["alter table", "drop default"],
        unless: &[],
        why: "nodes of the version before rely on it",
        remedy: "write the value everywhere first, drop the default one release later",
    },
];

/// What holds up writers, and how to do it without.
const LOCKS: &[Rule] = &[Rule {
    words: &["alter table", "add constraint"],
    unless: &["not valid"],
    why: "all rows are read under a lock, and the version before may write what it forbids",
    remedy: "add it `not valid`, and `validate constraint` in a later migration",
}];

pub fn check(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut numbers: BTreeMap<u32, &Path> = BTreeMap::new();
    let mut of_triggers = BTreeSet::new();
    for file in files
        .iter()
        .filter(|file| file.starts_with("migrations") && file.extension().is_some_and(|end| end == "sql"))
    {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let Some(number) = name.split_once('_').and_then(|(number, _)| number.parse::<u32>().ok()) else {
            problems.push(format!("{}: call it <number>_<what>.sql", file.display()));
            continue;
        };
        if let Some(other) = numbers.insert(number, file) {
            problems.push(format!(
                "{}: {} has this number already; take the next free one",
                file.display(),
                other.display()
            ));
        }
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        of_triggers.extend(trigger_functions(&text));
        if number >= FIRST {
            let found = check_text(number, &text, &of_triggers).into_iter();
            problems.extend(found.map(|(line, what)| format!("{}:{line}: {what}", file.display())));
        }
    }
    problems
}

/// (line, what is wrong and what to do) of one migration.
fn check_text(number: u32, text: &str, of_triggers: &BTreeSet<String>) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let contract = text
        .lines()
        .enumerate()
        .find_map(|(at, line)| Some((at + 1, line.strip_prefix("-- contract:")?.trim())));
    if let Some((line, needs)) = contract {
        match needs.parse::<u32>() {
            Ok(needs) if needs <= number => {
                let row = format!("insert into schema_contracts (migration, needs) values ({number}, {needs})");
                if !text.contains(&row) {
                    problems.push((line, format!("a contract tells old binaries that they are too old: write `{row};`")));
                }
            }
            _ => problems.push((line, format!("`-- contract: <migration>` names the newest migration that a binary must know, at most {number}"))),
        }
    }
    let alone = text.starts_with("-- no-transaction");
    let statements = statements(text);
    for (line, statement) in &statements {
        let judged = |rules: &'static [Rule]| rules.iter().find(|rule| rule.fits(statement));
        if contract.is_none()
            && let Some(rule) = judged(CONTRACTS)
            && !dropped_function(statement).is_some_and(|name| of_triggers.contains(name))
        {
            let way = "or say `-- contract: <migration>` if no supported version needs it any more";
            problems
                .push((*line, format!("{}: {}; {}, {way}", rule.words.join(" .. "), rule.why, rule.remedy)));
        }
        if let Some(rule) = judged(LOCKS) {
            problems.push((*line, format!("{}: {}; {}", rule.words.join(" .. "), rule.why, rule.remedy)));
        }
        problems.extend(index_problem(statement, &statements, alone).map(|what| (*line, what)));
    }
    problems
}

/// Functions that only triggers call: no binary knows them.
fn trigger_functions(text: &str) -> Vec<String> {
    let all = statements(text).into_iter();
    let triggers = all.filter(|(_, statement)| statement.contains("() returns trigger"));
    triggers
        .filter_map(|(_, statement)| Some(statement.split_once("function ")?.1.split_once('(')?.0.to_owned()))
        .collect()
}

fn dropped_function(statement: &str) -> Option<&str> {
    statement.strip_prefix("drop function ")?.split('(').next()
}

/// An index of a table that is there already and busy is built beside the writers, in a file of its own.
fn index_problem(statement: &str, all: &[(usize, String)], alone: bool) -> Option<String> {
    let index = statement.starts_with("create index") || statement.starts_with("create unique index");
    let drops = statement.starts_with("drop index");
    if !index && !drops {
        return None;
    }
    if statement.contains("concurrently") {
        return (!alone || all.len() > 1).then(|| {
            "concurrently: Postgres refuses it inside a transaction; begin the file with `-- no-transaction`, and let it be its only statement".to_owned()
        });
    }
    let table = statement.split(" on ").nth(1)?.split([' ', '(']).next()?;
    let is_new = all.iter().any(|(_, other)| other.starts_with(&format!("create table {table} ")));
    let is_busy = BUSY.contains(&table);
    (index && is_busy && !is_new).then(|| {
        format!("create index on {table}: writers wait until it is built; `create index concurrently if not exists` in a file of its own")
    })
}

impl Rule {
    fn fits(&self, statement: &str) -> bool {
        let mut rest = statement;
        for word in self.words {
            let Some(at) = rest.find(word) else { return false };
            rest = &rest[at + word.len()..];
        }
        self.words.first().is_some_and(|first| statement.starts_with(first))
            && !self.unless.iter().any(|word| statement.contains(word))
    }
}

/// Statements with the line on which each begins; lower case, one space between words, without comments, texts and bodies of functions.
fn statements(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut current, mut begins) = (Vec::new(), String::new(), 0);
    let (mut quoted, mut body) = (false, false);
    for (at, line) in text.lines().enumerate() {
        let mut rest = line;
        while !rest.is_empty() {
            if rest.starts_with("$$") {
                body = !body;
                rest = &rest[2..];
                continue;
            }
            let letter = rest.chars().next().unwrap_or(' ');
            if !body && letter == '\'' {
                quoted = !quoted;
            } else if !body && !quoted && rest.starts_with("--") {
                break;
            } else if !body && !quoted && letter == ';' {
                found.push((begins, std::mem::take(&mut current)));
            } else if !body && !quoted {
                if current.is_empty() && !letter.is_whitespace() {
                    begins = at + 1;
                }
                if !current.is_empty() || !letter.is_whitespace() {
                    current.extend(letter.to_lowercase());
                }
            }
            rest = &rest[letter.len_utf8()..];
        }
        if !current.is_empty() {
            current.push(' ');
        }
    }
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    found
        .into_iter()
        .map(|(line, statement)| (line, words(statement)))
        .filter(|(_, statement)| !statement.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        check_text(12, text, &BTreeSet::from(["guard".to_owned()]))
            .iter()
            .map(|(line, what)| format!("{line}: {what}\n"))
            .collect()
    }

    #[test]
    fn what_only_grows_is_fine() {
        for text in [
            "create table x (id bigint primary key);\ncreate index x_idx on x (id);",
            "alter table runs add column note2 text;\nalter table runs add column n integer not null default 0;",
            "-- no-transaction\ncreate index concurrently if not exists i on runs (note);",
            "create or replace function f() returns void language sql as $$ drop table runs; $$;",
            "drop function guard();",
            "comment on column runs.note is 'drop table; rename';",
            "alter table runs add constraint c check (id > 0) not valid;",
        ] {
            assert_eq!(said(text), "", "{text}");
        }
    }

    #[test]
    fn what_older_nodes_use_is_not_taken_away_without_saying_so() {
        for (text, word) in [
            ("alter table runs\n    drop column note;", "drop column"),
            ("ALTER TABLE runs RENAME COLUMN a TO b;", "rename"),
            ("alter table runs rename to executions;", "rename"),
            ("drop table runs;", "drop table"),
            ("drop function f();", "drop function"),
            ("alter table runs alter column id type integer;", "type"),
            ("alter table runs alter column note set not null;", "set not null"),
            ("alter table runs add column n integer not null;", "constant default"),
        ] {
            let problems = said(&format!("-- A change.\n{text}"));
            assert!(
                problems.starts_with("2: ") && problems.contains(word) && problems.contains("-- contract"),
                "{text}: {problems}"
            );
            let contract = format!(
                "-- contract: 11\n{text}\ninsert into schema_contracts (migration, needs) values (12, 11);"
            );
            assert_eq!(said(&contract), "", "{text}");
        }
    }

    #[test]
    fn a_contract_is_told_to_old_binaries() {
        let problems = said("-- contract: 11\ndrop table x;");
        assert!(
            problems.contains("insert into schema_contracts (migration, needs) values (12, 11);"),
            "{problems}"
        );
        assert!(said("-- contract: 13\n").contains("at most 12"));
        assert!(said("-- contract: soon\n").contains("at most 12"));
    }

    #[test]
    fn writers_are_not_held_up() {
        assert!(said("create index i on runs (note);").contains("concurrently"));
        assert!(said("create unique index i on attempts (id);").contains("concurrently"));
        assert!(said("create index concurrently i on runs (note);").contains("-- no-transaction"));
        assert!(
            said("-- no-transaction\ncreate index concurrently i on runs (a);\nselect 1;")
                .contains("only statement")
        );
        assert!(said("alter table runs add constraint c check (id > 0);").contains("not valid"));
    }
}
