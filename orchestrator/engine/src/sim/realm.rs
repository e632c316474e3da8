//! What one simulated node runs: all its spawned work, which can be frozen (SIGSTOP) and killed (`kill -9`) at any await point.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Realm>>> = const { RefCell::new(None) };
}

pub(crate) struct Realm {
    /// Which machine it is of.
    pub machine: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frozen: bool,
    dead: bool,
    /// By number, so that all are woken in the order in which they were spawned.
    tasks: BTreeMap<u64, Waker>,
    spawned: u64,
}

impl Realm {
    pub fn new(machine: usize) -> Arc<Realm> {
        Arc::new(Realm { machine, state: Mutex::default() })
    }

    /// The realm whose work is being polled.
    pub fn current() -> Option<Arc<Realm>> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Work that is spawned by `f` belongs to this realm.
    pub fn enter<T>(self: &Arc<Self>, f: impl FnOnce() -> T) -> T {
        let before = CURRENT.with(|current| current.replace(Some(self.clone())));
        let done = f();
        CURRENT.with(|current| current.replace(before));
        done
    }

    pub fn freeze(&self) {
        self.state().frozen = true;
    }

    pub fn thaw(&self) {
        let mut state = self.state();
        state.frozen = false;
        state.wake_all();
    }

    /// Everything is dropped where it stands.
    pub fn kill(&self) {
        let mut state = self.state();
        state.dead = true;
        state.wake_all();
    }

    pub fn is_frozen(&self) -> bool {
        self.state().frozen
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl State {
    fn wake_all(&self) {
        self.tasks.values().for_each(Waker::wake_by_ref);
    }
}

/// Spawned work of a realm, or of none.
pub(crate) struct Within<F> {
    work: Option<Pin<Box<F>>>,
    realm: Option<(Arc<Realm>, u64)>,
}

pub(crate) fn within<F: Future>(work: F) -> Within<F> {
    let realm = Realm::current().map(|realm| {
        let mut state = realm.state();
        state.spawned += 1;
        let number = state.spawned;
        drop(state);
        (realm, number)
    });
    Within { work: Some(Box::pin(work)), realm }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let Some((realm, number)) = &this.realm else {
            return this.work.as_mut().expect("not polled after its end").as_mut().poll(cx);
        };
        let (dead, frozen) = {
            let mut state = realm.state();
            let known = state.tasks.get(number).is_some_and(|waker| waker.will_wake(cx.waker()));
            if !known {
                state.tasks.insert(*number, cx.waker().clone());
            }
            (state.dead, state.frozen)
        };
        if dead {
            let work = this.work.take();
            realm.enter(|| drop(work));
            return Poll::Pending;
        }
        let Some(work) = this.work.as_mut().filter(|_| !frozen) else { return Poll::Pending };
        realm.enter(|| work.as_mut().poll(cx))
    }
}

impl<F> Drop for Within<F> {
    fn drop(&mut self) {
        if let Some((realm, number)) = &self.realm {
            realm.state().tasks.remove(number);
            let work = self.work.take();
            realm.enter(|| drop(work));
        }
    }
}
