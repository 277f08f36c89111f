//! The examples at work: they become master, and leave in good order.
#![cfg(target_os = "linux")]

#[path = "../examples/embed.rs"]
#[allow(dead_code, reason = "its main is for the command line")]
mod embed;
mod netns;
#[path = "../examples/tokio.rs"]
#[allow(dead_code, reason = "its main is for the command line")]
mod tokio_example;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use netns::client::until;
use netns::{addresses, available, pair};

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_daemon_of_another_kind_embeds_it() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    let daemon = a.spawn(|| {
        let result = embed::linux::run(&words("eth0 7 10.0.0.1/24 8080 5"));
        result.map_err(|error| error.to_string())
    });
    let ask = || {
        b.enter(|| {
            let mut stream = TcpStream::connect("10.0.0.2:8080").ok()?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })
    };
    until("answers as a backup", || {
        ask().is_some_and(|answer| answer.contains("503") && answer.ends_with("BACKUP\n"))
    });
    until("is master", || {
        ask().is_some_and(|answer| answer.contains("200 OK") && answer.ends_with("MASTER\n"))
    });
    assert_eq!(addresses(&a), ["10.0.0.2/24", "10.0.0.1/24"]);
    assert_eq!(daemon.join().unwrap(), Ok(()));
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
}

#[test]
fn a_task_of_tokio_runs_it() {
    if !available() {
        return;
    }
    let (a, _b) = pair();
    let task = a.spawn(|| {
        let result = tokio_example::linux::run(&words("eth0 7 10.0.0.1/24 4"));
        result.map_err(|error| error.to_string())
    });
    until("is master", || addresses(&a) == ["10.0.0.2/24", "10.0.0.1/24"]);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(task.join().unwrap(), Ok(()));
    assert_eq!(addresses(&a), ["10.0.0.2/24"]);
}
