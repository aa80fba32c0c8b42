//! An API that reads a request and answers when it is told to, or never, and that notices when the other side goes away.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::PATIENCE;

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Asked,
    Gone,
}

/// The API. It answers the requests of each connection when it is told to.
pub struct Hanging {
    url: String,
    events: Receiver<Event>,
    answers: Sender<String>,
}

impl Hanging {
    /// Listens. One connection is served.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, events) = mpsc::channel();
        let (answers, answer) = mpsc::channel::<String>();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut read = Vec::new();
            let mut chunk = [0; 4096];
            // Clients here send bodies that end with a brace, and none inside.
            while !read.ends_with(b"}") {
                match socket.read(&mut chunk) {
                    Ok(count @ 1..) => read.extend_from_slice(&chunk[..count]),
                    _ => return,
                }
            }
            sender.send(Event::Asked).ok();
            let mut writer = socket.try_clone().unwrap();
            thread::spawn(move || {
                if let Ok(body) = answer.recv() {
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                    );
                    writer.write_all(format!("{head}{body}").as_bytes()).ok();
                }
            });
            loop {
                match socket.read(&mut chunk) {
                    Ok(1..) => panic!("nothing more is asked"),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    // An end or a reset; silence is neither.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    _ => drop(sender.send(Event::Gone)),
                }
                return;
            }
        });
        Self { url, events, answers }
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for a request.
    #[track_caller]
    pub fn is_asked(&self) {
        assert_eq!(self.events.recv_timeout(PATIENCE), Ok(Event::Asked), "nobody asks");
    }

    /// Waits until the other side has closed the connection.
    #[track_caller]
    pub fn is_left(&self) {
        assert_eq!(self.events.recv_timeout(PATIENCE), Ok(Event::Gone), "the connection stays open");
    }

    /// Answers what was asked.
    pub fn answers(&self, body: &str) {
        self.answers.send(body.to_owned()).unwrap();
    }
}
