//! Files become versions.

use super::world::{World, until_later};
use crate::config::EngineConfig;
use crate::dagbag::DagBag;
use crate::rounds::Round;
use std::path::Path;

const GOOD: &str = "dag: one\ntasks:\n  t: { uses: fake }\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.0.path().join(file)).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

async fn bag(world: &World, folder: &Folder) -> (DagBag, super::world::TestNode) {
    let config = EngineConfig { dags_dir: folder.path().to_owned(), ..world.config("a") };
    let node = world.node_with(config).await;
    (DagBag::new(node.core.clone()), node)
}

async fn problems(world: &World) -> Vec<String> {
    let (rows, _) = world.store.list_problems(100, 0).await.unwrap();
    rows.into_iter().map(|row| row.problem.to_string()).collect()
}

async fn versions(world: &World, dag: &str) -> usize {
    world.store.dag_versions(dag, 100).await.unwrap().len()
}

#[tokio::test]
async fn a_changed_file_is_a_new_version_and_an_unchanged_one_is_not() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, _node) = bag(&world, &folder).await;
    folder.write("team/one.yaml", GOOD);
    for _ in 0..3 {
        until_later(&mut bag).await;
    }
    assert_eq!(versions(&world, "one").await, 1);
    folder.write("team/one.yaml", &GOOD.replace("t:", "u:"));
    until_later(&mut bag).await;
    assert_eq!(versions(&world, "one").await, 2);
    let (_, dag) = world.store.current_dag("one").await.unwrap().unwrap();
    assert_eq!(dag.tasks[0].id, "u");
}

#[tokio::test]
async fn a_broken_edit_is_reported_and_keeps_the_last_good_version() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, _node) = bag(&world, &folder).await;
    folder.write("one.yaml", GOOD);
    until_later(&mut bag).await;
    folder.write("one.yaml", "dag: one\ntasks:\n  t: { uses: teleport }\n");
    until_later(&mut bag).await;
    let found = problems(&world).await;
    assert!(
        found.len() == 1 && found[0].starts_with("one.yaml:3:") && found[0].contains("teleport"),
        "{found:?}"
    );
    assert!(world.store.current_dag("one").await.unwrap().is_some());
    folder.write("one.yaml", GOOD);
    until_later(&mut bag).await;
    assert!(problems(&world).await.is_empty());
    assert_eq!(versions(&world, "one").await, 1, "the same text is the same version");
}

#[tokio::test]
async fn a_removed_file_takes_its_dag_off_the_schedule() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, node) = bag(&world, &folder).await;
    folder.write("one.yaml", GOOD);
    folder.write("two.yaml", &GOOD.replace("one", "two"));
    until_later(&mut bag).await;
    folder.remove("one.yaml");
    until_later(&mut bag).await;
    assert!(world.store.current_dag("one").await.unwrap().is_none());
    assert!(world.store.current_dag("two").await.unwrap().is_some());
    // Also when it went away while nobody looked.
    folder.remove("two.yaml");
    until_later(&mut DagBag::new(node.core.clone())).await;
    assert!(world.store.current_dag("two").await.unwrap().is_none());
}

#[tokio::test]
async fn a_dag_id_belongs_to_one_file_until_that_file_lets_go_of_it() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, _node) = bag(&world, &folder).await;
    folder.write("one.yaml", GOOD);
    until_later(&mut bag).await;
    folder.write("other.yaml", GOOD);
    until_later(&mut bag).await;
    let found = problems(&world).await;
    assert!(
        found.len() == 1 && found[0].starts_with("other.yaml") && found[0].contains("one.yaml"),
        "{found:?}"
    );
    folder.write("one.yaml", &GOOD.replace("dag: one", "dag: renamed"));
    until_later(&mut bag).await;
    assert!(problems(&world).await.is_empty());
    assert!(world.store.current_dag("one").await.unwrap().is_some());
    assert!(world.store.current_dag("renamed").await.unwrap().is_some());
}

#[tokio::test]
async fn an_id_that_changed_while_nobody_looked_leaves_no_dag_behind() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, node) = bag(&world, &folder).await;
    folder.write("one.yaml", GOOD);
    folder.write("two.yaml", &GOOD.replace("one", "two"));
    until_later(&mut bag).await;
    // After a restart: one is renamed, two is broken and keeps its last good version.
    folder.write("one.yaml", &GOOD.replace("one", "renamed"));
    folder.write("two.yaml", "dag: two\ntasks: 7\n");
    until_later(&mut DagBag::new(node.core.clone())).await;
    assert!(world.store.current_dag("one").await.unwrap().is_none());
    assert!(world.store.current_dag("renamed").await.unwrap().is_some());
    assert!(world.store.current_dag("two").await.unwrap().is_some());
    assert_eq!(versions(&world, "one").await, 1, "its history stays");
}

const KIND: &str = "kind: greet\ninputs:\n  name: { type: string, required: true }\nuses: fake\nwith: { log: [\"hello {{ inputs.name }}\"] }\n";

async fn log_of(world: &World, dag: &str) -> String {
    let (_, dag) = world.store.current_dag(dag).await.unwrap().expect("it is present");
    dag.tasks[0].with["log"][0].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_changed_kind_is_a_new_version_of_the_dags_that_use_it_and_of_no_other() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, _node) = bag(&world, &folder).await;
    folder.write("one.yaml", GOOD);
    folder.write("team/polite.yaml", "dag: polite\ntasks:\n  t: { uses: greet, with: { name: ada } }\n");
    until_later(&mut bag).await;
    assert!(world.store.current_dag("polite").await.unwrap().is_none(), "there is no such kind");
    let found = problems(&world).await;
    assert!(found.len() == 1 && found[0].starts_with("team/polite.yaml:3:"), "{found:?}");
    folder.write("kinds/greet.yaml", KIND);
    until_later(&mut bag).await;
    assert_eq!(log_of(&world, "polite").await, "hello ada");
    assert!(problems(&world).await.is_empty());
    folder.write("kinds/greet.yaml", &KIND.replace("hello", "good evening"));
    until_later(&mut bag).await;
    assert_eq!(log_of(&world, "polite").await, "good evening ada");
    assert_eq!((versions(&world, "polite").await, versions(&world, "one").await), (2, 1));
}

#[tokio::test]
async fn a_broken_or_removed_kind_is_reported_and_keeps_the_last_good_version() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, node) = bag(&world, &folder).await;
    folder.write("kinds/greet.yaml", KIND);
    folder.write("polite.yaml", "dag: polite\ntasks:\n  t: { uses: greet, with: { name: ada } }\n");
    until_later(&mut bag).await;
    folder.write("kinds/greet.yaml", &KIND.replace("uses: fake", "uses: teleport"));
    until_later(&mut bag).await;
    let found = problems(&world).await;
    assert!(found.iter().any(|problem| problem.starts_with("kinds/greet.yaml:")), "{found:?}");
    assert_eq!(log_of(&world, "polite").await, "hello ada");
    folder.write("kinds/greet.yaml", KIND);
    until_later(&mut bag).await;
    assert!(problems(&world).await.is_empty());
    folder.remove("kinds/greet.yaml");
    until_later(&mut bag).await;
    let found = problems(&world).await;
    assert!(found.len() == 1 && found[0].starts_with("polite.yaml:3:"), "{found:?}");
    // Also after a restart.
    folder.write("kinds/greet.yaml", KIND);
    until_later(&mut DagBag::new(node.core.clone())).await;
    assert!(problems(&world).await.is_empty());
    assert_eq!(versions(&world, "polite").await, 1);
}

#[tokio::test]
async fn bytes_that_are_no_text_and_files_that_are_too_large_are_problems_of_their_file() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, _node) = bag(&world, &folder).await;
    std::fs::write(folder.path().join("latin.yaml"), b"dag: caf\xe9\n").unwrap();
    folder.write("large.yaml", &"# filler\n".repeat(2_000_000));
    folder.write("good.yaml", GOOD);
    until_later(&mut bag).await;
    let found = problems(&world).await;
    assert!(found.iter().any(|problem| problem.starts_with("latin.yaml")), "{found:?}");
    assert!(found.iter().any(|problem| problem.starts_with("large.yaml: the file is larger")), "{found:?}");
    assert!(world.store.current_dag("one").await.unwrap().is_some());
}

#[tokio::test]
async fn a_missing_folder_is_an_error_that_forgets_nothing() {
    let (world, folder) = (World::new().await, Folder::new());
    let (mut bag, _node) = bag(&world, &folder).await;
    folder.write("one.yaml", GOOD);
    until_later(&mut bag).await;
    std::fs::rename(folder.path(), folder.path().with_extension("away")).unwrap();
    let error = bag.tick().await.unwrap_err().to_string();
    assert!(error.contains("dags folder") && error.contains("create it"), "{error}");
    assert!(world.store.current_dag("one").await.unwrap().is_some());
    std::fs::rename(folder.path().with_extension("away"), folder.path()).unwrap();
    until_later(&mut bag).await;
    assert_eq!(versions(&world, "one").await, 1);
}
