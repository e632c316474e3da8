//! Which tasks a request of a person is about: those named, what comes before or after them, and the setups that they need.

use crate::{Error, Result};
use model::Dag;
use model::dag::Role;

/// Positions in a dag, as flags.
pub(crate) type Chosen = Vec<bool>;

/// The tasks and groups named; all tasks if there are no names. A name that the dag lacks is refused.
pub(crate) fn named(dag: &Dag, names: Option<&[String]>) -> Result<Chosen> {
    let Some(names) = names else { return Ok(vec![true; dag.tasks.len()]) };
    let mut chosen = vec![false; dag.tasks.len()];
    for name in names {
        let mut is_known = false;
        for (position, task) in dag.tasks.iter().enumerate() {
            if task.id == *name || dag.is_in_group(position, name) {
                chosen[position] = true;
                is_known = true;
            }
        }
        if !is_known {
            let near = model::suggest::nearest(name, dag.tasks.iter().map(|task| task.id.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            let message = format!("dag '{}' has no task or group '{name}' in this version{hint}", dag.id);
            return Err(Error::Refused { message });
        }
    }
    Ok(chosen)
}

/// With all that comes after. What a task needs stands before it.
pub(crate) fn add_downstream(dag: &Dag, chosen: &mut Chosen) {
    for position in 0..dag.tasks.len() {
        chosen[position] = chosen[position] || dag.tasks[position].needs.iter().any(|need| chosen[*need]);
    }
}

/// With all that comes before.
pub(crate) fn add_upstream(dag: &Dag, chosen: &mut Chosen) {
    for position in (0..dag.tasks.len()).rev() {
        if chosen[position] {
            for need in &dag.tasks[position].needs {
                chosen[*need] = true;
            }
        }
    }
}

/// Setups whose scope a chosen task is in, and their teardowns: what needs a setup does not run without it. The scope of a setup is what
/// lies between it and its teardowns, or all after it if it has none.
pub(crate) fn with_setups(dag: &Dag, chosen: &Chosen) -> Chosen {
    let mut result = chosen.clone();
    for (setup, _) in dag.tasks.iter().enumerate().filter(|(_, task)| task.role == Role::Setup) {
        let mut scope = vec![false; dag.tasks.len()];
        scope[setup] = true;
        add_downstream(dag, &mut scope);
        let is_teardown =
            |task: &usize| dag.tasks[*task].role == Role::Teardown && dag.tasks[*task].needs.contains(&setup);
        let teardowns: Vec<usize> = (0..dag.tasks.len()).filter(is_teardown).collect();
        if !teardowns.is_empty() {
            let mut before = vec![false; dag.tasks.len()];
            for teardown in &teardowns {
                before[*teardown] = true;
            }
            add_upstream(dag, &mut before);
            scope.iter_mut().zip(before).for_each(|(scope, before)| *scope &= before);
        }
        let is_needed = (0..dag.tasks.len()).any(|task| task != setup && scope[task] && chosen[task]);
        if is_needed {
            result[setup] = true;
            for teardown in teardowns {
                result[teardown] = true;
            }
        }
    }
    result
}

/// The positions that are set, as columns have them.
pub(crate) fn positions(chosen: &Chosen) -> Vec<i32> {
    (0..).zip(chosen).filter_map(|(position, chosen)| chosen.then_some(position)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::dag::TaskDef;

    fn task(id: &str, needs: &[usize], role: Role) -> TaskDef {
        TaskDef { id: id.to_owned(), needs: needs.to_vec(), role, ..TaskDef::default() }
    }

    #[test]
    fn a_setup_is_cleared_with_what_lies_between_it_and_its_teardown_and_not_with_what_comes_after() {
        let tasks = vec![
            task("setup", &[], Role::Setup),
            task("work", &[0], Role::Work),
            task("teardown", &[0, 1], Role::Teardown),
            task("after", &[2], Role::Work),
        ];
        let dag = Dag { tasks, ..Dag::default() };
        assert_eq!(positions(&with_setups(&dag, &vec![false, true, false, false])), [0, 1, 2]);
        assert_eq!(positions(&with_setups(&dag, &vec![false, false, false, true])), [3]);
        assert_eq!(positions(&with_setups(&dag, &vec![false; 4])), [] as [i32; 0]);
    }

    #[test]
    fn names_of_groups_mean_all_their_tasks_at_any_depth() {
        let mut inner = task("a.b.c", &[], Role::Work);
        inner.group = Some("a.b".to_owned());
        let dag = Dag { tasks: vec![inner, task("ab", &[0], Role::Work)], ..Dag::default() };
        assert_eq!(named(&dag, Some(&["a".to_owned()])).unwrap(), [true, false]);
        let refused = named(&dag, Some(&["abb".to_owned()])).unwrap_err().to_string();
        assert!(refused.contains("did you mean 'ab'?"), "{refused}");
    }
}
