//! Dags as large as they may be.

use super::tests::{fine, read_text};
use std::fmt::Write;

#[test]
fn a_dag_of_a_hundred_thousand_tasks_is_read() {
    const TASKS: usize = 100_000;
    let mut text = "dag: large\ntasks:\n".to_owned();
    for at in 0..TASKS {
        let need = match at {
            0 => String::new(),
            // One long chain, each naming the task before and one far back.
            _ => format!(", needs: [t{}], with: {{ text: '{{{{ tasks.t{}.outputs.x }}}}' }}", at - 1, at - 1),
        };
        writeln!(text, "  t{at}: {{ uses: process{need} }}").unwrap();
    }
    let dag = fine(&text);
    assert_eq!(dag.tasks.len(), TASKS);
    assert!(dag.tasks.iter().enumerate().skip(1).all(|(at, task)| task.needs == [at - 1]));
    text.push_str("  more: { uses: process }\n");
    let problems = read_text(&text).unwrap_err();
    assert!(
        problems[0].message.contains("a dag has 1 to 100000 tasks, this one has 100001"),
        "{}",
        problems[0]
    );
}

#[test]
fn wide_groups_that_need_each_other_are_bounded() {
    let group = |id: &str, needs: &str, tasks: usize| {
        let mut text = format!("  {id}:\n    needs: [{needs}]\n    tasks:\n");
        (0..tasks).for_each(|at| writeln!(text, "      t{at}: {{ uses: process }}").unwrap());
        text
    };
    let dag = fine(&format!("dag: d\ntasks:\n{}{}", group("a", "", 100), group("b", "a", 100)));
    assert!(dag.tasks[100..].iter().all(|task| task.needs.len() == 100));
    let text = format!("dag: d\ntasks:\n{}{}", group("a", "", 3000), group("b", "a", 3000));
    let problems = read_text(&text).unwrap_err();
    assert!(problems[0].message.contains("pairs of tasks"), "{}", problems[0]);
}

#[test]
fn a_file_wrong_everywhere_tells_the_first_problems_and_counts_the_others() {
    let mut text = "dag: d\ntasks:\n".to_owned();
    (0..20_000).for_each(|at| writeln!(text, "  t{at}: {{ uses: process, needs: [x{at}] }}").unwrap());
    let problems = read_text(&text).unwrap_err();
    assert_eq!(problems.len(), 201);
    assert!(problems[200].message.contains("19800 more problems"), "{}", problems[200]);
}

#[test]
fn instances_of_all_tasks_together_are_bounded() {
    let items = vec!["1"; 10_000].join(", ");
    let task = |at: usize| format!("  t{at}: {{ uses: process, for_each: [{items}] }}\n");
    let text = |tasks: usize| format!("dag: d\ntasks:\n{}", (0..tasks).map(task).collect::<String>());
    assert_eq!(fine(&text(10)).tasks.len(), 10);
    let problems = read_text(&text(11)).unwrap_err();
    assert!(problems[0].message.contains("110000 instances of tasks"), "{}", problems[0]);
}
