//! Capabilities, real-time priority and locked memory: what a process gives up, and what it gets.
#![cfg(target_os = "linux")]

mod netns;

use std::fs;
use std::io::ErrorKind;
use std::thread;

use carp_fsm::{LinkMode, State};
use carp_std::linux::{drop_capabilities, lock_memory, set_realtime_priority};
use netns::node::{Node, Setup};
use netns::{available, pair};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

#[test]
fn two_capabilities_are_enough_and_all_others_go() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    for mode in [LinkMode::Plain, LinkMode::Vmac] {
        let host = |skew| {
            move || {
                drop_capabilities().unwrap();
                drop_capabilities().unwrap(); // again: nothing left to give up
                let two = CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN;
                let mine = capabilities(None).unwrap();
                assert_eq!((mine.effective, mine.permitted), (two, two));
                let status = fs::read_to_string("/proc/thread-self/status").unwrap();
                let line = |name: &str| {
                    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                    u64::from_str_radix(line.trim(), 16).unwrap()
                };
                assert_eq!(line("CapBnd:"), two.bits());
                assert_eq!(line("NoNewPrivs:"), 1);
                Setup {
                    mode,
                    ..Setup::plain(skew)
                }
                .host()
            }
        };
        let fast = Node::start_with(&a, host(20));
        while fast.next().1 != State::Master {}
        let slow = Node::start_with(&b, host(80));
        assert_eq!(slow.next().1, State::Backup);
        fast.stopper.stop();
        assert_eq!(slow.next().1, State::Master);
        assert_eq!(fast.next().1, State::Init);
        fast.thread.join().unwrap();
        slow.end();
        assert_eq!(netns::addresses(&a), ["10.0.0.2/24"]);
    }
}

#[test]
fn an_election_about_no_address_needs_no_net_admin() {
    if !available() {
        return;
    }
    let (a, b) = pair();
    for mode in [LinkMode::Plain, LinkMode::Vmac] {
        let host = |skew| {
            move || {
                let mut mine = capabilities(None).unwrap();
                mine.effective = CapabilitySet::NET_RAW;
                mine.permitted = CapabilitySet::NET_RAW;
                set_capabilities(None, mine).unwrap();
                drop_capabilities().unwrap();
                assert_eq!(capabilities(None).unwrap().effective, CapabilitySet::NET_RAW);
                Setup {
                    mode,
                    addresses: &[],
                    ..Setup::plain(skew)
                }
                .host()
            }
        };
        let fast = Node::start_with(&a, host(20));
        while fast.next().1 != State::Master {}
        let slow = Node::start_with(&b, host(80));
        assert_eq!(slow.next().1, State::Backup);
        fast.stopper.stop();
        assert_eq!(slow.next().1, State::Master);
        fast.thread.join().unwrap();
        slow.end();
    }
}

#[test]
fn a_real_time_priority_is_the_threads_own() {
    if !available() {
        return;
    }
    thread::spawn(|| {
        assert_eq!(scheduling(), (0, 0));
        set_realtime_priority(7).unwrap();
        let (priority, policy) = scheduling();
        assert_eq!((priority, policy & !RESET_ON_FORK), (7, FIFO));
        assert_eq!(thread::spawn(scheduling).join().unwrap(), (0, 0), "not inherited");
        assert!(set_realtime_priority(100).is_err());
        drop_capabilities().unwrap();
        assert!(set_realtime_priority(8).is_err());
    })
    .join()
    .unwrap();
}

#[test]
fn memory_is_locked_and_can_still_be_had() {
    if !available() {
        return;
    }
    let locked = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmLck:"))
            .unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let may = capabilities(None)
        .unwrap()
        .effective
        .contains(CapabilitySet::SYS_RESOURCE);
    if !may && getrlimit(Resource::Memlock).maximum.is_some() {
        // What is locked up to a limit would leave a process without memory later.
        assert_eq!(lock_memory().unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(locked(), 0);
        return;
    }
    lock_memory().unwrap();
    assert!(locked() > 0);
    let more = vec![1_u8; 64 << 20];
    assert!(locked() > more.len() as u64 / 1024);
}

const FIFO: u32 = 1;
const RESET_ON_FORK: u32 = 0x4000_0000;

/// Real-time priority and policy of this thread.
fn scheduling() -> (u32, u32) {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[37].parse().unwrap(), fields[38].parse().unwrap())
}
