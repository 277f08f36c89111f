//! The commands that command a running carpd.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Socket;

/// What can be commanded.
#[derive(Debug, Subcommand)]
pub(super) enum Operate {
    /// Read the configuration file again, and apply what has changed in it
    #[command(after_help = EXIT_CODES, long_about = "\
Read the configuration file again, and apply what has changed in it. SIGHUP does the same.

Virtual hosts that have not changed are not touched. Others change while they go on; only another dialect or mode means that \
the virtual host leaves and begins anew. A file with a mistake changes nothing: the mistakes are listed, and the exit \
code is 1.")]
    Reload {
        #[command(flatten)]
        socket: Socket,
    },
    /// Test a fail-over: everything to the other machine and back, without a gap
    #[command(
        long_about = "\
Test a fail-over: everything to the other machine and back, without a gap. To be run where everything is MASTER.

It is begun only where carpd status is healthy. The steps are those of a manual test: look at the status, enter \
maintenance mode, look at the status here and on the other machine, use the virtual addresses, leave maintenance mode, \
look at the status again. Afterwards everything is as it was, also if a step fails, the test is interrupted or its \
terminal goes away.",
        after_help = "\
Exit codes: 0 all steps passed, 1 one did not, 3 no answer from carpd, 64 the command line is not understood."
    )]
    TestFailover(TestFailover),
    /// Enter or leave maintenance mode, which lasts across restarts
    #[command(args_conflicts_with_subcommands = true, after_help = EXIT_CODES, long_about = "\
Enter or leave maintenance mode. Without a word: tell whether it holds.

In maintenance mode this machine is the last choice: its advskew is 254, and it hands over what it is MASTER of, also \
to a machine that does not preempt. It takes over only if nobody else is there. The mode is stored before anything \
changes, so that a restart, an upgrade or a loss of power do not end it.")]
    Maintenance {
        #[command(subcommand)]
        change: Option<ChangeMaintenance>,
        #[command(flatten)]
        socket: Socket,
    },
    /// Show or change settings by the names of FreeBSD's sysctls
    #[command(after_help = EXIT_CODES, long_about = "\
Show or change settings by the names of FreeBSD's sysctls, with or without net.inet.carp. in front:

  allow                    0: every virtual host is in INIT
  preempt                  1: take over from a slower master, where the configuration does not say otherwise
  log                      0: no changes of state in the log; 1: these; 2: counts of bad packets, too
  demotion                 the sum that is added to every advskew; a number is added to it, a negative one taken away
  suppress_preempt         how many causes demote now; can only be read
  ifdown_demotion_factor   demotion while an interface is down
  senderr_demotion_factor  demotion while advertisements cannot be sent
  dscp                     of advertisements, 0 to 63, or dialect: as the kernel of the dialect has it

A change lasts until a restart, or until a reload finds another value in the configuration file than before.")]
    Sysctl {
        /// The key; with =VALUE, its new value. Without it: show all
        #[arg(value_name = "KEY[=VALUE]")]
        setting: Option<String>,
        #[command(flatten)]
        socket: Socket,
    },
    /// Take virtual hosts out of the election until they are enabled again or carpd is restarted
    #[command(after_help = EXIT_CODES, long_about = "\
Take virtual hosts out of the election until they are enabled again or carpd is restarted.

A MASTER says goodbye and keeps its addresses until its successor is heard, for 1.5 seconds at most. The command ends \
when the addresses are off, and says who took over.")]
    Disable(Selected),
    /// Put disabled virtual hosts back into the election
    #[command(after_help = EXIT_CODES, long_about = "\
Put disabled virtual hosts back into the election.

They begin as BACKUP. The command ends when the election is decided, after ten seconds at most.")]
    Enable(Selected),
    /// Hand the addresses over to a backup, without a gap
    #[command(after_help = EXIT_CODES, long_about = "\
Hand the addresses over to a backup, without a gap.

A MASTER says goodbye and keeps its addresses until its successor is heard. Then it is BACKUP, and does not take over \
again from a living master. If nobody takes over within 1.5 seconds it stays MASTER, and the command fails.")]
    Handover(Selected),
    /// Force MASTER or BACKUP, as BSD's `ifconfig ... state master` does
    #[command(after_help = EXIT_CODES, long_about = "\
Force MASTER or BACKUP, as BSD's `ifconfig ... state master` does.

The election goes on from there: a forced MASTER yields to a better one, and a forced BACKUP that hears no master \
takes over again. To move the addresses without a gap, use handover; to keep away from them, disable.")]
    State {
        /// The virtual host, as in carpd status
        #[arg(value_name = "IFACE@VHID")]
        virtual_host: String,
        /// The state to force
        #[arg(value_name = "STATE")]
        state: ForcedState,
        #[command(flatten)]
        socket: Socket,
    },
    /// Show what demotes this machine; enter and clear causes
    #[command(args_conflicts_with_subcommands = true, after_help = EXIT_CODES, long_about = "\
Show what demotes this machine: each cause with its weight and age. The sum is added to the advskew of every virtual \
host, so that another machine takes over.

Causes that carpd observes (an interface that is down, advertisements that cannot be sent) come and go with the \
fault. Other programs can enter and clear their own, for example while connection states are not in step yet:

  carpd demotion add state-sync 240")]
    Demotion {
        #[command(subcommand)]
        change: Option<ChangeDemotion>,
        #[command(flatten)]
        socket: Socket,
    },
    /// Tell that the services of this machine are up, if the configuration has carpd wait for that
    #[command(after_help = EXIT_CODES, long_about = "\
Tell that the services of this machine are up.

With not_ready_demotion_factor = 240 in the configuration, this machine starts as the last choice: it takes over only if \
nobody else is there. This ends it, until carpd is started again.")]
    Ready {
        #[command(flatten)]
        socket: Socket,
    },
    /// Show what has happened: transitions, demotions, hand-overs, with their reasons
    Events {
        /// One JSON object for each event and line
        #[arg(long)]
        json: bool,
        /// Go on with what happens next, until interrupted
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Show the packet counters, in the words of BSD's `netstat -s -p carp`
    Netstat {
        #[command(flatten)]
        socket: Socket,
    },
}

/// Which virtual hosts.
#[derive(Debug, Args)]
pub(super) struct Selected {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    pub(super) socket: Socket,
}

/// One or all.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// The virtual host, as in carpd status
    #[arg(value_name = "IFACE@VHID")]
    pub(super) virtual_host: Option<String>,
    /// All virtual hosts
    #[arg(long)]
    pub(super) all: bool,
}

/// States that can be forced.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ForcedState {
    /// Take over from whoever is master
    Master,
    /// Yield
    Backup,
}

/// How a fail-over is tested.
#[derive(Debug, Args)]
pub(super) struct TestFailover {
    /// The control socket of the other machine, for example forwarded by ssh -L; without it, the other machine counts
    /// as MASTER when it is heard
    #[arg(long, value_name = "PATH")]
    pub(super) peer: Option<PathBuf>,
    /// A TCP port that must accept connections on every virtual address; without it, any answer is enough
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
    #[command(flatten)]
    pub(super) socket: Socket,
}

/// Changes of maintenance mode.
#[derive(Debug, Subcommand)]
pub(super) enum ChangeMaintenance {
    /// Hand everything over, and stay the last choice until it is left
    Enter(Maintain),
    /// Be what the configuration says again
    Leave(Maintain),
}

/// How.
#[derive(Debug, Args)]
pub(super) struct Maintain {
    /// Do not wait until the addresses have moved
    #[arg(long)]
    pub(super) no_wait: bool,
    #[command(flatten)]
    pub(super) socket: Socket,
}

/// Changes of the causes of demotion.
#[derive(Debug, Subcommand)]
pub(super) enum ChangeDemotion {
    /// Enter a cause, or change its weight
    Add {
        /// Its name: a to z, 0 to 9, - and _
        #[arg(value_name = "NAME")]
        cause: String,
        /// What it adds to every advskew; 240 makes this machine the last choice
        #[arg(value_name = "WEIGHT", value_parser = clap::value_parser!(u16).range(1..=255))]
        weight: u16,
        /// Only for the virtual hosts of this group of the configuration
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
        #[command(flatten)]
        socket: Socket,
    },
    /// Clear a cause that was entered
    Clear {
        #[command(flatten)]
        which: Causes,
        /// With --all: although a fault still lasts, which then counts nothing until it ends
        #[arg(long, conflicts_with = "cause")]
        force: bool,
        /// Only for the virtual hosts of this group of the configuration
        #[arg(long, value_name = "NAME", conflicts_with = "all")]
        group: Option<String>,
        #[command(flatten)]
        socket: Socket,
    },
}

/// One or all.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Causes {
    /// The cause, as in carpd demotion
    #[arg(value_name = "CAUSE")]
    pub(super) cause: Option<String>,
    /// All causes; refused while an interface is down or sending fails
    #[arg(long)]
    pub(super) all: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 refused (nothing has changed) or not as it was meant (the output says what is), 3 no answer \
from carpd, or accepted and not done within 30 seconds (carpd status shows what is in progress), 64 the command line is \
not understood.";

#[cfg(not(target_os = "linux"))]
impl Operate {
    /// There is no daemon to be commanded.
    #[expect(clippy::unused_self, reason = "on Linux the command is in it")]
    pub(super) fn run(self) -> std::process::ExitCode {
        super::complain(format_args!(
            "this command needs Linux; {}",
            super::WORKS_ELSEWHERE
        ));
        std::process::ExitCode::from(super::NO_ANSWER)
    }
}
