//! A stand-in for the hub on 127.0.0.1: a few lines of HTTP/1.1, one connection at a time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How a request is answered, if not as it should be.
pub enum Reply {
    /// With this status and nothing else.
    Status(u16),
    /// With the right head, but only so many bytes of the body.
    Cut(usize),
    /// With all of the file, though a part was asked for.
    IgnoreRange,
    /// With a file of one byte more than was listed.
    Longer,
    /// With a file of one byte less than was listed.
    Shorter,
}

/// Serves one model until it is dropped.
pub struct Server {
    state: Arc<Mutex<State>>,
    endpoint: String,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Bodies by path.
    bodies: HashMap<String, Vec<u8>>,
    /// Paths asked for, with the first byte asked for.
    log: Vec<(String, u64)>,
    /// Replies to the next request whose path ends so.
    next: Vec<(String, Reply)>,
    closing: bool,
}

impl Server {
    /// Serves a model's files and the list of them.
    pub fn of(id: &str, commit: &str, files: Vec<(&str, Vec<u8>)>) -> Server {
        let siblings: Vec<_> = files.iter().map(|(name, bytes)| sibling(name, bytes)).collect();
        let listing = serde_json::json!({ "id": id, "sha": commit, "siblings": siblings });
        let server = Server::listing(&listing.to_string());
        let path = |name: &str| format!("/{id}/resolve/{commit}/{name}");
        let bodies = files.into_iter().map(|(name, bytes)| (path(name), bytes));
        server.state.lock().unwrap().bodies.extend(bodies);
        server
    }

    /// Answers every request for a list with `listing`.
    pub fn listing(listing: &str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        state.lock().unwrap().bodies.insert("listing".to_owned(), listing.as_bytes().to_vec());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().closing {
                    return;
                }
                // A client that hangs up early is the client's affair.
                let _ = stream.and_then(|stream| serve(stream, &shared));
            }
        });
        Server { state, endpoint, thread: Some(thread) }
    }

    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Answers the next request for a path that ends so in another way, once.
    pub fn next_reply_for(&self, ending: &str, reply: Reply) {
        self.state.lock().unwrap().next.push((ending.to_owned(), reply));
    }

    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().log.len()
    }

    pub fn requests_for(&self, name: &str) -> usize {
        self.state.lock().unwrap().log.iter().filter(|(path, _)| path.ends_with(&format!("/{name}"))).count()
    }

    /// The first byte that the last request for a file asked for.
    pub fn last_start_of(&self, name: &str) -> u64 {
        let state = self.state.lock().unwrap();
        state.log.iter().rfind(|(path, _)| path.ends_with(&format!("/{name}"))).unwrap().1
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.lock().unwrap().closing = true;
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        let _ = self.thread.take().unwrap().join();
    }
}

/// The hash under which the stand-in lists a file: not the hub's, but as good a name.
pub fn hash(name: &str, bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    (name, bytes).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The first byte that a client sends, which is then hung up on.
pub fn first_byte_of(client: impl FnOnce(String)) -> u8 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        byte[0]
    });
    client(endpoint);
    thread.join().unwrap()
}

fn sibling(name: &str, bytes: &[u8]) -> serde_json::Value {
    let hash = hash(name, bytes);
    match name.ends_with(".safetensors") {
        true => serde_json::json!({
            "rfilename": name, "size": bytes.len(), "blobId": "pointer",
            "lfs": { "sha256": hash, "size": bytes.len(), "pointerSize": 134 },
        }),
        false => serde_json::json!({ "rfilename": name, "size": bytes.len(), "blobId": hash }),
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let head: Vec<String> = BufReader::new(&stream)
        .lines()
        .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
        .collect::<Result<_, _>>()?;
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let range = head
        .iter()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let asked: usize = range.as_deref().and_then(|range| range.strip_suffix('-')?.parse().ok()).unwrap_or(0);

    let mut state = state.lock().unwrap();
    state.log.push((path.clone(), asked as u64));
    let odd = state.next.iter().position(|(ending, _)| path.ends_with(ending.as_str()));
    let odd = odd.map(|place| state.next.remove(place).1);
    let key = if path.starts_with("/api/models/") { "listing" } else { &path };
    let body = state.bodies.get(key).cloned();
    drop(state);
    stream.write_all(&answer(body, asked, range.is_some(), odd))
}

/// The bytes of an answer. A connection that is cut is simply closed too early.
fn answer(body: Option<Vec<u8>>, asked: usize, ranged: bool, odd: Option<Reply>) -> Vec<u8> {
    let (Some(mut body), None) = (body, status(&odd)) else {
        let status = status(&odd).unwrap_or(404);
        return format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .into_bytes();
    };
    match odd {
        Some(Reply::Longer) => body.push(0),
        Some(Reply::Shorter) => drop(body.pop()),
        _ => {}
    }
    let (status, start) = match (ranged, &odd) {
        (true, Some(Reply::IgnoreRange)) | (false, _) => (200, 0),
        (true, _) => (206, asked),
    };
    let total = body.len();
    let sent = &body[start..];
    let mut answer =
        format!("HTTP/1.1 {status} Yes\r\nContent-Length: {}\r\nConnection: close\r\n", sent.len());
    if status == 206 {
        answer += &format!("Content-Range: bytes {start}-{}/{total}\r\n", total - 1);
    }
    let mut answer = (answer + "\r\n").into_bytes();
    match odd {
        Some(Reply::Cut(count)) => answer.extend(&sent[..count]),
        _ => answer.extend(sent),
    }
    answer
}

fn status(odd: &Option<Reply>) -> Option<u16> {
    match odd {
        Some(Reply::Status(status)) => Some(*status),
        _ => None,
    }
}
