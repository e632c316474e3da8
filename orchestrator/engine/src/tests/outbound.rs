//! The world outside: takes notices and answers probes as the test says.

use async_trait::async_trait;
use model::notify::Notice;
use model::platform::Outbound;
use model::probe::Ask;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Outside {
    /// Every notice that came, taken or not.
    notices: Mutex<Vec<Notice>>,
    /// What the next notices are answered with; then they are taken.
    refusals: Mutex<VecDeque<String>>,
    /// By what is asked (a URL, an address); what is not in here refuses the connection.
    answers: Mutex<BTreeMap<String, Result<(), String>>>,
    /// Asked this, every second answer is a bad one.
    moody: Mutex<Option<String>>,
    questions: Mutex<Vec<String>>,
    happened: Notify,
}

impl Outside {
    pub fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }

    pub fn refuse_next(&self, why: &str) {
        self.refusals.lock().unwrap().push_back(why.to_owned());
    }

    pub fn answer(&self, question: &str, answer: Result<(), &str>) {
        self.answers.lock().unwrap().insert(question.to_owned(), answer.map_err(str::to_owned));
    }

    /// From now on every second answer is a bad one.
    pub fn alternate(&self, question: &str) {
        *self.moody.lock().unwrap() = Some(question.to_owned());
    }

    /// Waits until this was asked `n` times more.
    pub async fn asked(&self, question: &str, n: usize) {
        let count = || self.questions.lock().unwrap().iter().filter(|asked| *asked == question).count();
        let enough = count() + n;
        let asked = async {
            loop {
                let happened = self.happened.notified();
                tokio::pin!(happened);
                happened.as_mut().enable();
                if count() >= enough {
                    return;
                }
                happened.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("the question is asked");
    }
}

#[async_trait]
impl Outbound for Outside {
    async fn send(&self, notice: &Notice) -> Result<(), String> {
        self.notices.lock().unwrap().push(notice.clone());
        self.happened.notify_waiters();
        self.refusals.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    async fn probe(&self, ask: &Ask, _timeout: Duration) -> Result<(), String> {
        let question = match ask {
            Ask::Http(url) => url.clone(),
            Ask::Tcp(address) => address.clone(),
            other => panic!("{other:?} is no question for the world outside"),
        };
        let answer = self.answers.lock().unwrap().get(&question).cloned();
        let moody = self.moody.lock().unwrap().as_ref() == Some(&question);
        let asked = {
            let mut questions = self.questions.lock().unwrap();
            questions.push(question);
            questions.len()
        };
        if moody && asked.is_multiple_of(2) {
            return Err("not now".to_owned());
        }
        self.happened.notify_waiters();
        answer.unwrap_or_else(|| Err("connection refused".to_owned()))
    }
}
