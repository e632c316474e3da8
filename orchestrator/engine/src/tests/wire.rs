//! What happens while the store cannot be reached: a proxy cuts the wire, and lets go of it again.

use super::world::{World, dag, task};
use model::RunState;
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on while it is whole.
pub struct Wire {
    state: watch::Sender<State>,
    /// Answers that still pass while it is deaf; -1 once one has vanished.
    passing: Arc<watch::Sender<i64>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Whole,
    /// Requests go through, answers vanish.
    Deaf,
    Cut,
}

impl Wire {
    /// The URL leads through the wire.
    pub async fn before(url: &str) -> (Arc<Wire>, String) {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (login, rest) = rest.split_once('@').map_or(("", rest), |(login, rest)| (login, rest));
        let (target, path) = rest.split_once('/').expect("a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = if login.is_empty() { String::new() } else { "@".to_owned() };
        let through = format!("{scheme}://{login}{at}{}/{path}", listener.local_addr().unwrap());
        let wire =
            Arc::new(Wire { state: watch::channel(State::Whole).0, passing: Arc::new(watch::channel(0).0) });
        let (state, passing) = (wire.state.subscribe(), wire.passing.clone());
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, target.clone(), state.clone(), passing.clone()));
            }
        });
        (wire, through)
    }

    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }

    /// So many answers still pass, later ones vanish.
    pub fn swallow_answers_after(&self, passing: i64) {
        self.passing.send_replace(passing);
        self.state.send_replace(State::Deaf);
    }

    /// Until an answer has vanished.
    pub async fn swallowed(&self) {
        let _ = self.passing.subscribe().wait_for(|passing| *passing < 0).await;
    }
}

async fn pass(
    near: TcpStream,
    target: String,
    mut state: watch::Receiver<State>,
    passing: Arc<watch::Sender<i64>>,
) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(&target).await else { return };
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    let look = state.clone();
    let answers = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = far_read.read(&mut buffer).await.unwrap_or(0);
            if length == 0 {
                return;
            }
            let is_deaf = *look.borrow() == State::Deaf;
            if is_deaf {
                passing.send_modify(|passing| *passing = (*passing - 1).max(-1));
            }
            if is_deaf && *passing.borrow() < 0 {
                continue;
            }
            if near_write.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
        () = answers => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

#[tokio::test]
async fn an_end_and_its_log_are_kept_until_the_store_is_back() {
    let (world, wire) = World::behind_a_wire().await;
    let mut node = world.node("a").await;
    let tasks = vec![
        task("long", &[], json!({ "do": "stubborn" })),
        task("after", &[0], json!({ "log": ["a line"] })),
    ];
    let run = world.trigger(&dag("d", tasks), "r1").await;
    node.turn().await;
    world.fake.until("start", "long", 1).await;
    wire.cut();
    world.fake.open("long");
    world.fake.until("end", "long", 1).await;
    node.repeats_a_report().await;
    wire.mend();
    // Nobody turns a loop: the end is reported by itself, and brings its successor.
    let after = world.fake.until("end", "after", 1).await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    assert_eq!((world.fake.count("start", "long"), world.fake.count("start", "after")), (1, 1));
    assert_eq!(world.log(after.attempt_id).await, ["a line"]);
    world.assert_sound().await;
}
