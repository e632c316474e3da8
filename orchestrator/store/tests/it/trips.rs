//! How often a hop from task to task asks Postgres: counted on the wire.

use crate::support::{at, dag, now, task, world};
use model::{Ending, RunState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes all on to the server of `url` and counts what must be answered: each Sync, and each simple query. Returns a URL to itself.
async fn counting(url: &str) -> (String, Arc<AtomicUsize>) {
    let (head, tail) = url.rsplit_once('@').expect("a URL with a user");
    let (server, database) = tail.split_once('/').expect("a URL with a database");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let own = listener.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let (server, count) = (server.to_owned(), asked.clone());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.expect("the server answers");
            tokio::spawn(pass(client, server, count.clone()));
        }
    });
    (format!("{head}@{own}/{database}?sslmode=disable"), asked)
}

async fn pass(client: TcpStream, server: TcpStream, asked: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let (mut seen, mut chunk, mut started) = (Vec::new(), vec![0u8; 1 << 16], false);
    while let Ok(count @ 1..) = from_client.read(&mut chunk).await {
        seen.extend_from_slice(&chunk[..count]);
        // The first message has no type.
        loop {
            let head = usize::from(started);
            let Some(length) = seen.get(head..head + 4) else { break };
            let whole = head + u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            if seen.len() < whole {
                break;
            }
            if started && matches!(seen[0], b'S' | b'Q') {
                asked.fetch_add(1, Ordering::SeqCst);
            }
            seen.drain(..whole);
            started = true;
        }
        if to_server.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_hop_is_one_round_trip_and_one_commit() {
    let world = world().await;
    let (url, asked) = counting(world.database.url()).await;
    let store = Store::connect(&url, 1).await.expect("postgres answers");
    let tasks =
        (0..12usize).map(|at| task(&format!("t{at}"), &at.checked_sub(1).into_iter().collect::<Vec<_>>()));
    let run = world.trigger(&dag("d", tasks.collect()), "r1").await;
    let claim = world.slots(1);
    let mut promoted = store.promote(now(), 1, Some(&claim)).await.expect("postgres answers");
    let mut attempt = promoted.remove(0).1.claimed.remove(0);
    let mut trips = Vec::new();
    for second in 1.. {
        let before = asked.load(Ordering::SeqCst);
        let (id, lease) = (attempt.attempt_id, attempt.lease);
        let mut advanced = store
            .finish(id, lease, Ending::Done, None, None, at(second), Some(&claim))
            .await
            .expect("postgres answers");
        trips.push(asked.load(Ordering::SeqCst) - before);
        if advanced.finished == Some(RunState::Success) {
            break;
        }
        attempt = advanced.claimed.remove(0);
    }
    // The first prepares the statement. The pool asks once more when it takes the connection back, for which no hop waits.
    assert_eq!(trips.len(), 12);
    assert_eq!(trips[1..], [1 + 1; 11]);
    assert_eq!(world.run_state(run).await, "success");
    world.assert_invariants().await;
}
