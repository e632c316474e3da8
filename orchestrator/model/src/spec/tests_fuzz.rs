//! Whole files, mutated: no panic, no endless work, nothing refused without a word.

use super::tests::{FULL, registry};
use super::*;
use crate::schedule::upcoming;
use crate::testing::{self, utc};
use testkit::fuzz::{Fuzz, files};

#[test]
fn fuzz_dag_files() {
    let (registry, dir) = (registry(), Path::new("/dags"));
    let corpus = [vec![FULL.as_bytes().to_vec(); 4], files("dags", ".yaml")].concat();
    let mut accepted = 0;
    Fuzz::new("dag files", corpus, 250).run(|bytes| {
        let reading = read_with_kinds("a.yaml", bytes, dir, &registry);
        match &reading.dag {
            Ok(dag) => {
                accepted += 1;
                upcoming(dag, utc("2026-03-29T00:30:00Z"), 3);
                let again = read_with_kinds("a.yaml", bytes, dir, &registry);
                assert_eq!(again.dag.as_ref().map(dag_hash), Ok(dag_hash(dag)), "the same file, read twice");
            }
            Err(problems) => assert!(!problems.is_empty(), "refused without a word"),
        }
    });
    assert!(accepted > 0, "inputs that are all refused early search nothing");
}

#[test]
fn fuzz_custom_kinds_and_test_files() {
    let registry = registry();
    let corpus = [files("dags/kinds", ".yaml"), files("dags", ".test.yaml")].concat();
    let dag = testing::dag(vec![testing::task("a", &[])]);
    let speaks = |problems: Vec<Problem>| assert!(!problems.is_empty(), "refused without a word");
    Fuzz::new("custom kinds and test files", corpus, 400).run(|bytes| {
        let _ = read_kind("kinds/a.yaml", bytes, &registry).map_err(speaks);
        let _ = tested_dag("a.test.yaml", bytes).map_err(speaks);
        let _ = read_test("a.test.yaml", bytes, &dag).map_err(speaks);
    });
}
