//! A Cloud Storage of one process: what object stores ask of the XML API, with generations and preconditions, and the reads of the
//! JSON API that a BigQuery emulator does. Objects lie in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::http::{Request, Response, Server, decode};

pub struct FakeGcs {
    /// `http://127.0.0.1:port`
    pub url: String,
    state: Arc<Mutex<State>>,
    _server: Server,
}

#[derive(Default)]
struct State {
    /// `(body, generation)` by `bucket/key`.
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    uploads: HashMap<String, BTreeMap<u32, Vec<u8>>>,
    generation: u64,
}

impl FakeGcs {
    pub async fn start() -> std::io::Result<FakeGcs> {
        let state = Arc::new(Mutex::new(State { generation: 1000, ..State::default() }));
        let shared = Arc::clone(&state);
        let answer =
            move |request: &Request| shared.lock().unwrap_or_else(PoisonError::into_inner).answer(request);
        let server = Server::start(Arc::new(answer)).await?;
        Ok(FakeGcs { url: server.url.clone(), state, _server: server })
    }

    pub fn put(&self, path: &str, body: Vec<u8>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.generation += 1;
        let generation = state.generation;
        state.objects.insert(path.to_owned(), (body, generation));
    }
}

/// `bucket/key`; the JSON API calls the object `/storage/v1/b/<bucket>/o/<key>`.
fn key(request: &Request) -> String {
    let path = &request.path;
    match path.strip_prefix("/storage/v1/b/").and_then(|rest| rest.split_once("/o/")) {
        Some((bucket, key)) => format!("{bucket}/{}", decode(key)),
        None => decode(path.trim_start_matches('/')),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn xml(body: String) -> Response {
    Response::text(200, "application/xml", body)
}

fn described(generation: u64) -> Vec<(&'static str, String)> {
    vec![
        ("ETag", format!("\"{generation:x}\"")),
        ("x-goog-generation", generation.to_string()),
        ("Last-Modified", chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
    ]
}

impl State {
    fn answer(&mut self, request: &Request) -> Response {
        let asks = |name: &str| request.query.contains_key(name);
        match request.method.as_str() {
            "PUT" if asks("partNumber") => self.part(request),
            "PUT" => self.write(request),
            "POST" if asks("uploads") => self.begin(),
            "POST" => self.complete(request),
            "DELETE" => match self.objects.remove(&key(request)) {
                Some(_) => Response::new(204),
                None => Response::new(404),
            },
            _ if request.query.get("list-type").is_some_and(|kind| kind == "2") => self.list(request),
            _ => self.read(request),
        }
    }

    fn put(&mut self, request: &Request, body: Vec<u8>) -> Result<u64, Response> {
        let known = self.objects.get(&key(request)).map_or(0, |(_, generation)| *generation);
        let wanted = request.headers.get("x-goog-if-generation-match");
        if wanted.is_some_and(|wanted| *wanted != known.to_string()) {
            let mut refused = Response::new(412);
            refused.body = b"<Error><Code>PreconditionFailed</Code></Error>".to_vec();
            return Err(refused);
        }
        self.generation += 1;
        self.objects.insert(key(request), (body, self.generation));
        Ok(self.generation)
    }

    fn write(&mut self, request: &Request) -> Response {
        let source = request.headers.get("x-goog-copy-source");
        let body = match source {
            Some(source) => match self.objects.get(decode(source).trim_start_matches('/')) {
                Some((body, _)) => body.clone(),
                None => return Response::new(404),
            },
            None => request.body.clone(),
        };
        match self.put(request, body) {
            Ok(generation) => {
                let mut done = Response::new(200);
                done.headers = described(generation);
                if source.is_some() {
                    done.body = b"<CopyObjectResult/>".to_vec();
                }
                done
            }
            Err(refused) => refused,
        }
    }

    fn begin(&mut self) -> Response {
        self.generation += 1;
        let id = format!("upload{}", self.generation);
        self.uploads.insert(id.clone(), BTreeMap::new());
        xml(format!(
            "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    fn part(&mut self, request: &Request) -> Response {
        let number = request.query.get("partNumber").and_then(|number| number.parse().ok());
        let upload = request.query.get("uploadId").and_then(|id| self.uploads.get_mut(id));
        let (Some(number), Some(upload)) = (number, upload) else { return Response::new(404) };
        upload.insert(number, request.body.clone());
        let mut done = Response::new(200);
        done.headers.push(("ETag", format!("\"part{number}\"")));
        done
    }

    fn complete(&mut self, request: &Request) -> Response {
        let upload = request.query.get("uploadId").and_then(|id| self.uploads.remove(id));
        let Some(upload) = upload else { return Response::new(404) };
        match self.put(request, upload.into_values().flatten().collect()) {
            Ok(generation) => {
                let mut done = xml(format!(
                    "<CompleteMultipartUploadResult><Location>x</Location><Bucket>b</Bucket><Key>k</Key><ETag>&quot;{generation:x}&quot;</ETag></CompleteMultipartUploadResult>"
                ));
                done.headers.extend(described(generation));
                done
            }
            Err(refused) => refused,
        }
    }

    fn read(&self, request: &Request) -> Response {
        let Some((body, generation)) = self.objects.get(&key(request)) else {
            return Response::new(404);
        };
        let mut found = Response::new(200);
        found.headers = described(*generation);
        found.body.clone_from(body);
        let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
        if let Some((from, to)) = range.and_then(|range| range.split_once('-')) {
            let last = body.len().saturating_sub(1);
            let to = to.parse().unwrap_or(last).min(last);
            let from: usize = from.parse().unwrap_or_default();
            if from > to || body.is_empty() {
                return Response::new(416);
            }
            found.status = 206;
            found.headers.push(("Content-Range", format!("bytes {from}-{to}/{}", body.len())));
            found.body = body[from..=to].to_vec();
        }
        found
    }

    fn list(&self, request: &Request) -> Response {
        let bucket = format!("{}/", key(request).trim_matches('/'));
        let ask = |name: &str| request.query.get(name).map(String::as_str).unwrap_or_default();
        let (prefix, delimiter) = (ask("prefix"), ask("delimiter"));
        let after = ask("start-after").max(ask("continuation-token"));
        let most = ask("max-keys").parse().unwrap_or(1000);
        let (mut items, mut folders) = (Vec::new(), Vec::<String>::new());
        for (path, (body, generation)) in &self.objects {
            let Some(key) = path.strip_prefix(&bucket) else { continue };
            let Some(rest) = key.strip_prefix(prefix).filter(|_| key > after) else { continue };
            match (!delimiter.is_empty()).then(|| rest.split_once(delimiter)).flatten() {
                Some((folder, _)) => {
                    let folder = format!("{prefix}{folder}{delimiter}");
                    if folders.last() != Some(&folder) {
                        folders.push(folder);
                    }
                }
                None => items.push((key, body.len(), generation)),
            }
        }
        let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let mut body = "<ListBucketResult>".to_owned();
        if items.len() > most {
            body.push_str(&format!(
                "<NextContinuationToken>{}</NextContinuationToken>",
                escape(items[most - 1].0)
            ));
        }
        for (key, size, generation) in items.into_iter().take(most) {
            body.push_str(&format!(
                "<Contents><Key>{}</Key><Size>{size}</Size><LastModified>{now}</LastModified><ETag>&quot;{generation:x}&quot;</ETag></Contents>",
                escape(key)
            ));
        }
        for folder in folders {
            body.push_str(&format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(&folder)));
        }
        xml(body + "</ListBucketResult>")
    }
}
