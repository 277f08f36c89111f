//! The two sides against each other, with a thread in place of the daemon's loop.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::status::tests::example;
use crate::testing::TempDir;

fn socket_in(dir: &TempDir) -> PathBuf {
    dir.path().join("run/control.sock")
}

/// A daemon that answers every request with the example, until its socket is gone.
fn serve(path: &Path) {
    let (wake, woken) = mpsc::channel();
    let server = Server::start(path, move || {
        let _ = wake.send(());
    })
    .expect("a control socket");
    thread::spawn(move || {
        while woken.recv_timeout(Duration::from_secs(5)).is_ok() {
            while let Some(job) = server.next_job() {
                assert_eq!(job.command, Command::Status {});
                job.answer(Answer::Status(Box::new(example())));
            }
        }
    });
}

/// Writes anything, and reads the answer.
fn talk(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_question_is_answered() {
    let dir = TempDir::new("control-answer");
    let path = socket_in(&dir);
    serve(&path);
    assert_eq!(ask_status(&path).expect("an answer"), example());
    let directory = path.parent().expect("a directory");
    assert_eq!(directory.metadata().expect("a directory").mode() & 0o777, 0o755);
}

#[test]
fn every_command_arrives_as_it_was_sent() {
    let target = || "eth0@7".to_owned();
    let cause = || "state-sync".to_owned();
    for (command, line) in [
        (Command::Status {}, r#"{"command":"status","schema":1}"#),
        (
            Command::Events { after: 7 },
            r#"{"after":7,"command":"events","schema":1}"#,
        ),
        (Command::Ready {}, r#"{"command":"ready","schema":1}"#),
        (Command::Reload {}, r#"{"command":"reload","schema":1}"#),
        (
            Command::Maintenance {
                enter: true,
                wait: false,
            },
            r#"{"command":"maintenance","enter":true,"schema":1,"wait":false}"#,
        ),
        (
            Command::Set {
                key: "log".into(),
                value: "2".into(),
            },
            r#"{"command":"set","key":"log","schema":1,"value":"2"}"#,
        ),
        (
            Command::Disable { target: ALL.into() },
            r#"{"command":"disable","schema":1,"target":"all"}"#,
        ),
        (
            Command::Enable { target: target() },
            r#"{"command":"enable","schema":1,"target":"eth0@7"}"#,
        ),
        (
            Command::Handover { target: target() },
            r#"{"command":"handover","schema":1,"target":"eth0@7"}"#,
        ),
        (
            Command::State {
                target: target(),
                state: Forced::Backup,
            },
            r#"{"command":"state","schema":1,"state":"backup","target":"eth0@7"}"#,
        ),
        (
            Command::Demote {
                cause: cause(),
                weight: 240,
                group: None,
            },
            r#"{"cause":"state-sync","command":"demote","schema":1,"weight":240}"#,
        ),
        (
            Command::Clear {
                cause: cause(),
                group: Some("lan".into()),
            },
            r#"{"cause":"state-sync","command":"clear","group":"lan","schema":1}"#,
        ),
        (
            Command::ClearAll { force: true },
            r#"{"command":"clear_all","force":true,"schema":1}"#,
        ),
    ] {
        assert_eq!(command.to_line(), format!("{line}\n"));
        assert_eq!(Command::from_line(line.as_bytes()), Ok(command));
    }
}

#[test]
fn every_answer_is_told_from_the_others() {
    let outcome = Outcome {
        subject: "eth0@7".into(),
        done: true,
        text: "disabled".into(),
    };
    let events = Events {
        schema: SCHEMA,
        started: "2026-11-21T09:59:00.000Z".into(),
        events: Vec::new(),
    };
    for answer in [
        Answer::refusal("no"),
        Answer::unfinished("not yet"),
        Answer::report(vec![outcome]),
        Answer::Events(events),
        Answer::Status(Box::new(example())),
    ] {
        let line = answer.to_line();
        assert_eq!(
            serde_json::from_str::<Answer>(&line).expect("an answer"),
            answer,
            "{line}"
        );
    }
}

/// Puts a reload on the desk of a daemon that has hardly any patience, and waits in vain. Returns what the client is
/// told, and the daemon's end.
fn in_vain(dir: &TempDir, daemon: impl FnOnce(&Server) -> Option<Job>) -> (AskError, Option<Job>, Server) {
    let path = socket_in(dir);
    let (wake, woken) = mpsc::channel();
    let server = Server::start_with(&path, Duration::from_millis(200), move || {
        let _ = wake.send(());
    })
    .expect("a control socket");
    let client = thread::spawn(move || ask_to(&path, &Command::Reload {}));
    woken.recv_timeout(Duration::from_secs(5)).expect("a job");
    let job = daemon(&server);
    let error = client.join().expect("no panic").expect_err("no outcome");
    (error, job, server)
}

#[test]
fn what_is_accepted_is_never_refused_for_want_of_time() {
    let dir = TempDir::new("control-hangs");
    let (error, job, _server) = in_vain(&dir, Server::next_job);
    let said = error.to_string();
    assert!(
        matches!(error, AskError::Unfinished(_)) && said.starts_with("accepted, but not done after "),
        "{said}"
    );
    job.expect("the job").answer(Answer::report(Vec::new())); // nobody listens any more
}

#[test]
fn what_is_refused_for_want_of_time_is_never_done() {
    let dir = TempDir::new("control-busy");
    let (error, _, server) = in_vain(&dir, |_| None);
    assert!(
        matches!(&error, AskError::Refused(why) if why == "carpd is busy; try again"),
        "{error}"
    );
    assert!(server.next_job().is_none(), "it has been withdrawn");
}

#[test]
fn a_silent_client_holds_up_nobody() {
    let dir = TempDir::new("control-silent");
    let path = socket_in(&dir);
    serve(&path);
    let silent: Vec<_> = (0..3)
        .map(|_| UnixStream::connect(&path).expect("a connection"))
        .collect();
    assert_eq!(ask_status(&path).expect("an answer"), example());
    drop(silent);
}

#[test]
fn too_many_clients_are_turned_away() {
    let dir = TempDir::new("control-many");
    let path = socket_in(&dir);
    serve(&path);
    let _silent: Vec<_> = (0..8)
        .map(|_| UnixStream::connect(&path).expect("a connection"))
        .collect();
    let error = ask_status(&path).expect_err("no place").to_string();
    assert_eq!(error, "8 clients are being served; try again");
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let dir = TempDir::new("control-nonsense");
    let path = socket_in(&dir);
    serve(&path);
    for (request, reason) in [
        (&b"status\n"[..], "the request is not understood"),
        (
            b"{\"schema\":1,\"command\":\"status\",\"colour\":1}\n",
            "unknown field `colour`",
        ),
        (
            b"{\"schema\":2,\"command\":\"status\"}\n",
            "this carpd speaks schema 1, not 2",
        ),
        (
            b"{\"schema\":1,\"command\":\"dance\"}\n",
            "unknown variant `dance`, expected one of `status`, `events`",
        ),
        (
            b"{\"schema\":1,\"command\":\"disable\"}\n",
            "missing field `target`",
        ),
        (
            b"{\"schema\":1,\"command\":\"state\",\"target\":\"all\",\"state\":\"init\"}\n",
            "unknown variant `init`, expected `master` or `backup`",
        ),
        (b"{\"command\":\"status\"}\n", "the request has no schema"),
        (b"[]\n", "the request is not understood"),
        (
            b"{\"schema\":1,\"command\":\"status\"}",
            "does not end with a newline",
        ),
        (b"", "does not end with a newline"),
        (&[b'x'; 10_000], "longer than 4096 bytes"),
        (b"\xff\xfe\n", "the request is not understood"),
    ] {
        let answer = talk(&path, request);
        assert!(
            answer.starts_with("{\"schema\":1,\"error\":\"") && answer.contains(reason),
            "{answer}"
        );
    }
    assert_eq!(ask_status(&path).expect("still alive"), example());
}

#[test]
fn the_socket_of_a_dead_process_is_replaced_and_a_living_one_is_not() {
    let dir = TempDir::new("control-stale");
    let path = dir.path().join("control.sock");
    let living = UnixListener::bind(&path).expect("a socket");
    let error = Server::start(&path, || {}).expect_err("taken").to_string();
    let pid = std::process::id();
    assert!(
        error.starts_with("another carpd listens on ") && error.contains(&format!("(process {pid})")),
        "{error}"
    );
    drop(living);
    assert!(path.exists());
    drop(Server::start(&path, || {}).expect("replaced"));
    assert!(!path.exists(), "removed at the end");
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let dir = TempDir::new("control-file");
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").expect("a file");
    let error = Server::start(&path, || {}).expect_err("no socket").to_string();
    assert!(
        error.ends_with("is no socket; remove it, or set another control_socket"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).expect("still there"), b"data");
}

#[test]
fn without_a_daemon_the_client_says_so() {
    let dir = TempDir::new("control-none");
    let error = ask_status(&dir.path().join("control.sock"))
        .expect_err("nobody")
        .to_string();
    assert!(
        error.starts_with("no carpd is running here (No such file"),
        "{error}"
    );
}
