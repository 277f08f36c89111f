//! Linux: packet sockets, rtnetlink and epoll.

mod clock;
mod filter;
mod guard;
mod interface;
mod janitor;
mod leftovers;
mod link;
mod netlink;
mod owner;
mod packet;
mod process;
mod sys;
mod turns;
mod unicast;
mod vmac;
mod wake;

pub use self::clock::{Clock, random_seed};
pub use self::guard::guard;
pub use self::link::LinuxLink;
pub use self::process::{drop_capabilities, lock_memory, set_realtime_priority};
pub use self::wake::Stopper;
pub(crate) use self::wake::Wake;
