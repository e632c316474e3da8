//! `notify:`: who is told about what happens to the runs.

use super::fields::{Fields, Reader};
use super::yaml::{Data, Node};
use crate::notify::{Event, Notify, Target};
use crate::template;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) const NOTIFY_KEYS: [&str; 3] = ["on", "http", "email"];
pub(super) const HTTP_KEYS: [&str; 3] = ["url", "headers", "json"];
pub(super) const EMAIL_KEYS: [&str; 2] = ["to", "subject"];
/// Names that templates here know beside those of the run.
pub(super) const EXTRA: [&str; 2] = ["event", "notice"];
const ENTRIES_MAX: usize = 20;
const ADDRESSES_MAX: usize = 50;

pub(super) fn read(reader: &mut Reader, node: &Node) -> Vec<Notify> {
    let entries = match &node.data {
        Data::List(entries) => entries.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if entries.len() > ENTRIES_MAX {
        let message = format!("'notify' has {} entries, at most {ENTRIES_MAX} are allowed", entries.len());
        reader.problem(node.at, message, None);
    }
    entries.iter().take(ENTRIES_MAX).filter_map(|entry| one(reader, entry)).collect()
}

fn one(reader: &mut Reader, node: &Node) -> Option<Notify> {
    let fields = reader.fields(node, "notify", &NOTIFY_KEYS)?;
    let on = events(reader, &fields);
    let to = match reader.one_of(&fields, "'notify'", &["http", "email"])? {
        "http" => http(reader, fields.get("http")?),
        _ => email(reader, fields.get("email")?),
    };
    Some(Notify { on: on?, to: to? })
}

fn events(reader: &mut Reader, fields: &Fields<'_>) -> Option<Vec<Event>> {
    let words = Event::ALL.map(|event| (event.as_str(), event));
    let Some(node) = fields.get("on") else {
        let hint = Some("on: [failure, recovery]; known are failure, success, recovery, deadline".to_owned());
        reader.problem(fields.at, "'notify' does not say what it is 'on'".to_owned(), hint);
        return None;
    };
    let nodes = match &node.data {
        Data::List(nodes) if !nodes.is_empty() => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut events =
        nodes.iter().map(|node| reader.word(node, "on", &words)).collect::<Option<Vec<Event>>>()?;
    events.sort_unstable();
    events.dedup();
    Some(events)
}

fn http(reader: &mut Reader, node: &Node) -> Option<Target> {
    let fields = reader.fields(node, "http", &HTTP_KEYS)?;
    let headers = fields.get("headers").map_or_else(BTreeMap::new, |node| super::tasks::env(reader, node));
    let json = fields.get("json").map_or(Value::Null, Node::to_json);
    let Some(url) = fields.get("url") else {
        let hint = Some("url: \"{{ conn.chat.url }}\"".to_owned());
        reader.problem(fields.at, "'url' is missing in http".to_owned(), hint);
        return None;
    };
    let text = reader.text(url, "url")?;
    if !template::is_template(text) && !text.starts_with("http://") && !text.starts_with("https://") {
        let hint = Some("begin it with http:// or https://".to_owned());
        reader.problem(url.at, format!("'{text}' is no URL"), hint);
    }
    Some(Target::Http { url: text.to_owned(), headers, json })
}

fn email(reader: &mut Reader, node: &Node) -> Option<Target> {
    let fields = reader.fields(node, "email", &EMAIL_KEYS)?;
    let to = fields.get("to").map_or_else(Vec::new, |node| reader.texts(node, "to"));
    if to.is_empty() || to.len() > ADDRESSES_MAX {
        let message = format!("an email goes to 1 to {ADDRESSES_MAX} addresses, this one to {}", to.len());
        reader.problem(fields.key_at("to"), message, Some("to: [team@example.org]".to_owned()));
    }
    for (node, address) in &to {
        let fine = address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if !fine || address.contains(char::is_whitespace) || template::is_template(address) {
            reader.problem(node.at, format!("'{address}' is no address of email"), None);
        }
    }
    let subject = fields.get("subject").and_then(|node| reader.text(node, "subject")).unwrap_or_default();
    let to = to.into_iter().map(|(_, address)| address.to_owned()).collect();
    Some(Target::Email { to, subject: subject.to_owned() })
}
