//! A Postgres, a clock that stands still, and nodes whose loops turn when the test says so.

use super::fake::{Event, Fake, registry};
use super::outbound::Outside;
use super::wire::Wire;
use crate::bell::Bells;
use crate::config::EngineConfig;
use crate::deadlines::Deadlines;
use crate::driver::Driver;
use crate::lease::Lease;
use crate::logship::{LogShip, Shipping};
use crate::mask::Mask;
use crate::node::Node;
use crate::notifier::Notifier;
use crate::planner::Planner;
use crate::reaper::Reaper;
use crate::rounds::{Again, Frame, Round, supervise};
use crate::stats::Stats;
use crate::store_clock::{Reference, StoreClock};
use crate::sweep::Sweep;
use crate::worker::{Core, Worker};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use model::dag::{Catchup, Dag, Restart, Service, TaskDef};
use model::retry::RetryPolicy;
use model::{Clock, FixedClock, RunState};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;
use store::Store;
use store::runs::{NewRun, Run, RunType};
use store::views::health::Invariants;
use testkit::Database;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub const TTL: Duration = Duration::from_secs(30);

/// The store's clock is that of the test.
pub struct SameClock(pub Arc<FixedClock>);

#[async_trait]
impl Reference for SameClock {
    async fn now(&self) -> store::Result<DateTime<Utc>> {
        Ok(self.0.now())
    }
}

/// The same after somebody has set it.
struct SetAhead(Arc<FixedClock>, Arc<AtomicI64>);

#[async_trait]
impl Reference for SetAhead {
    async fn now(&self) -> store::Result<DateTime<Utc>> {
        Ok(self.0.now() + TimeDelta::seconds(self.1.load(Relaxed)))
    }
}

/// A clock that is wrong by so much.
struct Skewed(Arc<FixedClock>, TimeDelta);

impl Clock for Skewed {
    fn now(&self) -> DateTime<Utc> {
        self.0.now() + self.1
    }
}

pub struct World {
    pub store: Store,
    pub clock: Arc<FixedClock>,
    pub fake: Arc<Fake>,
    pub outside: Arc<Outside>,
    /// Seconds by which the store's clock was set.
    set_ahead: Arc<AtomicI64>,
    database: Database,
}

impl World {
    pub async fn new() -> World {
        let database = Database::fresh().await;
        let url = database.url().to_owned();
        World::at(&url, database).await
    }

    pub async fn behind_a_wire() -> (World, Arc<Wire>) {
        let database = Database::fresh().await;
        let (wire, url) = Wire::before(database.url()).await;
        (World::at(&url, database).await, wire)
    }

    async fn at(url: &str, database: Database) -> World {
        let store = Store::connect(url, 10).await.expect("the test database");
        store.migrate().await.expect("migrations");
        let clock = Arc::new(FixedClock::at(utc("2026-11-22T10:00:00Z")));
        World {
            store,
            clock,
            fake: Arc::default(),
            outside: Arc::default(),
            set_ahead: Arc::default(),
            database,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Somebody sets the store's clock.
    pub fn set_store_clock(&self, seconds: i64) {
        self.set_ahead.fetch_add(seconds, Relaxed);
    }

    pub fn config(&self, name: &str) -> EngineConfig {
        let vars = [("base".to_owned(), json!("http://127.0.0.1:9"))].into();
        let secrets = [("token".to_owned(), "s3cret".to_owned())].into();
        EngineConfig { lease_ttl: TTL, vars, secrets, ..EngineConfig::new(name, "/nonexistent") }
    }

    /// A registered node.
    pub async fn node(&self, name: &str) -> TestNode {
        self.node_with(self.config(name)).await
    }

    pub async fn node_with(&self, config: EngineConfig) -> TestNode {
        self.node_on(config, self.store.clone(), TimeDelta::zero()).await
    }

    /// A node whose calls wait for each other: it has one connection to the store.
    pub async fn node_on_one_connection(&self, name: &str) -> (TestNode, Store) {
        let store = Store::connect(self.database.url(), 1).await.expect("the test database");
        (self.node_on(self.config(name), store.clone(), TimeDelta::zero()).await, store)
    }

    /// A node on a machine whose clock is wrong.
    pub async fn node_with_skew(&self, name: &str, skew: TimeDelta) -> TestNode {
        self.node_on(self.config(name), self.store.clone(), skew).await
    }

    async fn node_on(&self, config: EngineConfig, store: Store, skew: TimeDelta) -> TestNode {
        let (bells, stats) = (Bells::default(), Arc::new(Stats::default()));
        let local = Arc::new(Skewed(self.clock.clone(), skew));
        let reference = Arc::new(SetAhead(self.clock.clone(), self.set_ahead.clone()));
        let clock = StoreClock::start(local, reference).await.expect("a clock");
        let ship =
            LogShip::new(clock.clone(), stats.clone(), Mask::of(&config.secrets), bells.logship.clone());
        let node = Arc::new(Node::new(config.fence_after()));
        let core = Core::new(
            Arc::new(store),
            registry(&self.fake),
            clock,
            self.outside.clone(),
            Arc::new(config),
            node,
            stats,
            bells,
            ship,
        );
        let mut node = TestNode::around(Arc::new(core));
        node.lease.tick().await.expect("the registration");
        node
    }

    /// Registers the dag and starts a run of it by hand.
    pub async fn trigger(&self, dag: &Dag, run_id: &str) -> Run {
        self.trigger_at(dag, run_id, self.now()).await
    }

    /// The same at an instant, which is also its logical date.
    pub async fn trigger_at(&self, dag: &Dag, run_id: &str, now: DateTime<Utc>) -> Run {
        let file = format!("{}.yaml", dag.id);
        let registered = self.store.register_dag(&file, dag, "source", now).await.expect("a dag");
        let run = NewRun {
            dag_id: dag.id.clone(),
            run_id: run_id.to_owned(),
            version_id: registered.version_id,
            run_type: RunType::Manual,
            window: None,
            logical_date: Some(now),
            run_after: now,
            params: json!({}),
            requested_by: "test".to_owned(),
            note: None,
        };
        self.store.trigger(run, now).await.expect("a run")
    }

    pub async fn state(&self, run: &Run) -> RunState {
        let run = self.store.run(&run.dag_id, &run.run_id).await.expect("a run").expect("it exists");
        run.state
    }

    /// What must hold whatever has happened.
    pub async fn assert_sound(&self) {
        let found = self.store.invariants().await.expect("invariants");
        assert_eq!(found, Invariants::default());
    }

    pub async fn log(&self, attempt_id: i64) -> Vec<String> {
        let lines = self.store.read_logs(attempt_id, -1, 10_000).await.expect("logs");
        lines.into_iter().map(|line| line.line).collect()
    }
}

/// The loops of one node. Logs are shipped in the background, for attempts wait for that.
pub struct TestNode {
    pub core: Arc<Core>,
    pub lease: Lease,
    pub driver: Driver,
    pub worker: Worker,
    pub sweep: Sweep,
    pub reaper: Reaper,
    pub planner: Planner,
    pub deadlines: Deadlines,
    pub notifier: Notifier,
    _shipping: DropGuard,
}

impl TestNode {
    fn around(core: Arc<Core>) -> TestNode {
        let cancel = CancellationToken::new();
        let frame = Frame { clock: core.clock.clone(), stats: core.stats.clone(), cancel: cancel.clone() };
        let shipped = core.clone();
        supervise(&TaskTracker::new(), &core.bells.logship, &frame, move || {
            Shipping::new(shipped.ship.clone(), shipped.store.clone(), shipped.node.clone())
        });
        TestNode {
            lease: Lease::new(core.clone()),
            driver: Driver::new(core.clone()),
            worker: Worker(core.clone()),
            sweep: Sweep(core.clone()),
            reaper: Reaper::new(core.clone()),
            planner: Planner::with_distance(core.clone(), Duration::ZERO),
            deadlines: Deadlines(core.clone()),
            notifier: Notifier::new(core.clone()),
            _shipping: cancel.drop_guard(),
            core,
        }
    }

    /// What the loops would do now.
    pub async fn turn(&mut self) {
        until_later(&mut self.driver).await;
        until_later(&mut self.worker).await;
        until_later(&mut self.sweep).await;
    }

    /// The same after a heartbeat.
    pub async fn lease_and_turn(&mut self) {
        self.lease.tick().await.expect("a heartbeat");
        self.turn().await;
    }

    /// Turns whenever a bell rings, until the run is final.
    pub async fn until_final(&mut self, world: &World, run: &Run) -> RunState {
        loop {
            self.lease_and_turn().await;
            let state = world.state(run).await;
            if state.is_final() {
                return state;
            }
            self.rung(world).await;
        }
    }

    /// Turns until something has happened; the clock goes on by `step` seconds at each ring.
    pub async fn until(&mut self, world: &World, (what, task, n): (&str, &str, usize), step: i64) -> Event {
        loop {
            self.lease_and_turn().await;
            tokio::select! {
                biased;
                event = world.fake.until(what, task, n) => return event,
                () = self.rung(world) => world.advance(step),
            }
        }
    }

    /// Waits until this node has nothing more to do with the attempt.
    pub async fn forgotten(&self, attempt_id: i64) {
        let gone = async {
            while self.core.find_live(attempt_id).is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the attempt ends");
    }

    /// Waits until the store could not take the end of an attempt.
    pub async fn repeats_a_report(&self) {
        let repeated = async {
            while self.core.stats.snapshot().reports_repeated == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), repeated).await.expect("a failed report");
    }

    /// Waits for what would wake the driver or the worker.
    pub async fn rung(&self, world: &World) {
        let rung = async {
            tokio::select! {
                () = self.core.bells.driver.rung() => {}
                () = self.core.bells.worker.rung() => {}
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), rung).await.is_err() {
            panic!("no bell rang; there was {:?}", world.fake.story());
        }
    }
}

pub async fn until_later<R: Round>(round: &mut R) -> Again {
    for _ in 0..100 {
        match round.tick().await.unwrap_or_else(|error| panic!("{}: {error}", R::NAME)) {
            Again::Now => {}
            again => return again,
        }
    }
    panic!("{} does not come to an end", R::NAME)
}

pub fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn task(id: &str, needs: &[usize], with: Value) -> TaskDef {
    TaskDef {
        id: id.to_owned(),
        uses: "fake".to_owned(),
        with,
        needs: needs.to_vec(),
        retries: RetryPolicy { limit: 0, delay: Duration::ZERO, backoff: 1.0, max_delay: Duration::ZERO },
        ..TaskDef::default()
    }
}

pub fn retried(task: TaskDef, limit: u32, delay: Duration) -> TaskDef {
    TaskDef { retries: RetryPolicy { limit, delay, backoff: 1.0, max_delay: delay }, ..task }
}

pub fn service(id: &str, restart: Restart, budget: u32) -> TaskDef {
    let service = Service { restart, budget, stop_grace: Duration::from_secs(5), ..Service::default() };
    TaskDef { uses: "fake.service".into(), service: Some(service), ..task(id, &[], json!({ "do": "serve" })) }
}

pub fn dag(id: &str, tasks: Vec<TaskDef>) -> Dag {
    Dag {
        id: id.to_owned(),
        catchup: Catchup::None,
        max_active_runs: 16,
        max_active_tasks: 1_000,
        tasks,
        ..Dag::default()
    }
}
