//! A node that leaves while its heartbeats are rung for all the time.

use super::dice::Dice;
use super::machine::{self, Machine};
use super::store::Tables;
use super::world::{Faults, World};
use std::time::Duration;

/// With the wire so slow, for so long, a heartbeat takes longer than a node waits for the end of its loops.
fn leaves(slowness: Duration) -> (Option<String>, Vec<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = World::new(Dice::of(1), Tables::default(), Faults::default());
        world.lock().machines.push(Machine::new(1, true));
        machine::boot(&world, 0);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let (core, leave) = {
            let mut inner = world.lock();
            let until = world.elapsed() + Duration::from_secs(30);
            let machine = &mut inner.machines[0];
            (machine.slow_until, machine.slowness) = (until, slowness);
            (machine.core.clone().expect("it is up"), machine.leave.clone())
        };
        leave.cancel();
        for _ in 0..60_000 {
            core.bells.lease.ring();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(core);
        assert!(!world.lock().machines[0].is_up(), "it has not left in a minute");
        let inner = world.lock();
        let ended = inner.tables.nodes.values().map(|node| node.ended).collect();
        let broken = inner.broken.clone();
        drop(inner);
        machine::end_all(&world);
        (broken, ended)
    })
}

#[test]
fn a_node_that_has_said_goodbye_does_not_register_again() {
    let (broken, ended) = leaves(Duration::ZERO);
    assert_eq!((broken, ended), (None, vec![true]), "one node was there, and it has ended");
}

#[test]
fn a_heartbeat_that_is_under_way_when_a_node_says_goodbye_does_not_take_it_back() {
    let (broken, _) = leaves(Duration::from_secs(12));
    assert_eq!(broken, None);
}
