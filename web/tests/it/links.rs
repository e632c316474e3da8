//! Every link on every page answers.

use crate::world::seeded;
use axum::http::StatusCode;
use std::collections::{BTreeSet, VecDeque};
use store::auth::Role;

#[tokio::test]
async fn every_link_on_every_page_answers() {
    let world = seeded(Some(Role::Viewer)).await;
    crate::seed::Seed::begin(world.store.clone(), crate::world::now()).await.gate(crate::world::now()).await;
    let cookie = world.sign_in().await;
    let mut seen = BTreeSet::from(["/".to_string()]);
    let mut forms = 0;
    let mut waiting: VecDeque<String> = seen.iter().cloned().collect();
    while let Some(path) = waiting.pop_front() {
        let answer = world.get_as(&path, &cookie).await;
        assert!(
            answer.status == StatusCode::OK || answer.status.is_redirection(),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
        if !answer
            .headers
            .get("content-type")
            .is_some_and(|kind| kind.to_str().unwrap_or_default().starts_with("text/html"))
        {
            continue;
        }
        for link in links(&answer.text, &path) {
            // Streams do not end; what they send is tested with the logs.
            // The forms of one task are those of all.
            let is_form = link.contains("/clear?task=") || link.contains("/mark?task=");
            forms += usize::from(is_form);
            let is_left_out = link.contains("/log/stream") || (is_form && forms > 6);
            if !is_left_out && seen.insert(link.clone()) {
                waiting.push_back(link);
            }
        }
    }
    assert!(seen.len() > 80, "only {} pages were reached", seen.len());
}

fn links(html: &str, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in [" href=\"", " src=\""] {
        for part in html.split(attribute).skip(1) {
            let raw = part.split('"').next().unwrap_or_default();
            let link = raw.replace("&amp;", "&").replace("&#38;", "&").replace("&#39;", "'");
            let link = link.split('#').next().unwrap_or_default();
            if link.starts_with('/') {
                found.push(link.to_string());
            } else if link.starts_with('?') {
                found.push(format!("{}{link}", page.split('?').next().unwrap_or_default()));
            } else {
                assert!(link.is_empty(), "a link to elsewhere on {page}: {link}");
            }
        }
    }
    found
}
