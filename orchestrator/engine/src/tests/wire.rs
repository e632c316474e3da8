//! What happens while the store cannot be reached: a proxy cuts the wire, and lets go of it again.

use super::world::{World, dag, task};
use model::RunState;
use serde_json::json;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on while it is whole.
pub struct Wire {
    whole: watch::Sender<bool>,
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
        let (whole, state) = watch::channel(true);
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, target.clone(), state.clone()));
            }
        });
        (Arc::new(Wire { whole }), through)
    }

    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(mut near: TcpStream, target: String, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(&target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
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
