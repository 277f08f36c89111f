//! Every role with every input, as one table.

use super::*;

/// I INIT, W INIT and waiting to try again, B BACKUP, R BACKUP that resigned, M MASTER, O MASTER that offers itself
/// at its next advertisement or sooner, K MASTER that bowed out and stayed, H handing over, P stepping back, X bowed out for who is
/// better, S stopping; then what is wished. FreeBSD 1/100 with preempt, hardened.
const TABLE: &str = "
                   I   W   B                   R                   M               O               K               H              P              X               S
start            | B | W | B                 | R                 | M             | O             | K             | H            | P            | X             | K ad
stop             | I | I | I                 | I                 | I disown      | I disown      | I disown      | I disown     | I disown     | I disown      | I disown
refused          | I | W | B                 | R                 | W bow disown  | W bow disown  | W bow disown  | W bow disown | W bow disown | W bow disown  | I disown
hand over        | I | W | B                 | R                 | H bow         | H bow         | H bow         | H            | H            | H             | S
step back        | I | W | B                 | R                 | P bow         | P bow         | P bow         | H            | P            | P             | S
offer            | I | W | B                 | R                 | O             | O             | O             | H            | X            | X             | S
leave            | I | I | I                 | I                 | S bow         | S bow         | S bow         | S            | S            | S             | S
heard better     | I | W | B                 | R                 | B disown      | B disown      | B ad disown   | R disown     | B disown     | B disown      | I disown
heard equal      | I | W | B                 | R                 | B disown      | B disown      | K             | R disown     | B disown     | K ad announce | I disown
heard worse      | I | W | M own ad announce | R                 | M ad announce | O ad announce | K ad announce | R disown     | B disown     | K ad announce | I disown
heard bow-out    | I | W | M own ad announce | M own ad announce | M ad announce | O ad announce | K ad announce | H            | P            | X             | S
timeout          | I | B | M own ad announce | M own ad announce | M ad          | X bow         | M ad          | K ad         | K ad         | K ad          | I disown
early timeout    | I | W | B                 | R                 | M             | O             | K             | H            | P            | X             | S
demotion changed | I | W | B                 | R                 | M ad          | M ad          | M ad          | H            | P            | X             | S
reconfigured     | I | W | B                 | R                 | M ad          | O ad          | K ad          | H            | P            | X             | S
overdue          | I | W | B                 | R                 | M             | O             | K             | H            | P            | X             | S
force INIT       | I | W | B                 | R                 | M             | O             | K             | H            | P            | X             | S
force BACKUP     | I | W | B                 | R                 | B disown      | B disown      | B disown      | B disown     | B disown     | B disown      | I disown
force MASTER     | I | W | M own ad announce | M own ad announce | M             | O             | K             | H            | P            | X             | S
";

/// FreeBSD's kernel, 1/100 with preempt. Of hand-overs it knows nothing; that we do with it is asked for.
const FREEBSD: &str = "
                   I   W   B                   M
start            | B | W | B                 | M
stop             | I | I | I                 | I disown
refused          | I | W | B                 | W bow disown
hand over        | I | W | B                 | H bow
offer            | I | W | B                 | M
leave            | I | I | I                 | I disown
heard better     | I | W | B                 | B disown
heard equal      | I | W | B                 | B disown
heard worse      | I | W | M own ad announce | M
heard bow-out    | I | W | M own ad announce | M
timeout          | I | B | M own ad announce | M ad
early timeout    | I | W | B                 | M
demotion changed | I | W | B                 | M ad
demotion worse   | I | W | B                 | M ad
reconfigured     | I | W | B                 | M
overdue          | I | W | B                 | M
force INIT       | I | W | B                 | M
force BACKUP     | I | W | B                 | B disown
force MASTER     | I | W | M own ad announce | M
";

/// Bows out when it is switched off, and tells of its recovery with the next advertisement.
const OPENBSD: &str = "
                   I   W   B                   M
leave            | I | I | I                 | I bow disown
demotion changed | I | W | B                 | M
";

const NETBSD: &str = OPENBSD;

/// Among equals the one with the lower address stays MASTER: here it is the listener.
const UCARP: &str = "
                   I   W   B                   M
heard equal      | I | W | B                 | M
demotion changed | I | W | B                 | M
";

fn in_role(letter: char, now: Instant, view: &View) -> Machine {
    let later = Some(now + Duration::from_secs(1));
    let reason = InitReason::LinkDown;
    let until = now + Duration::from_secs(1);
    let leaving = |then| Role::Leaving {
        since: now,
        until,
        then,
    };
    let backup = |stance| Role::Backup {
        down4: later,
        down6: None,
        because: Reason::MasterTimedOut,
        stance,
        ties: 0,
    };
    let role = match letter {
        'I' => Role::Init { reason, retry: None },
        'W' => Role::Init {
            reason: InitReason::AddressRefused,
            retry: later,
        },
        'B' => backup(Stance::Ready),
        'R' => backup(Stance::Resigned),
        'M' | 'O' | 'K' => Role::Master {
            next_ad: until,
            reannounce: view.reannounce(),
            answer_from: now,
            ties: 0,
            tenure: match letter {
                'O' => Tenure::NewAndOffers,
                'K' => Tenure::Kept,
                _ => Tenure::New,
            },
        },
        'H' => leaving(Departure::HandOver),
        'P' => leaving(Departure::StepBack),
        'X' => leaving(Departure::Offer),
        'S' => leaving(Departure::Stop(reason)),
        other => panic!("no role {other}"),
    };
    Machine { role, since: now }
}

fn letter_of(machine: &Machine) -> char {
    match machine.role {
        Role::Init { retry: None, .. } => 'I',
        Role::Init { retry: Some(_), .. } => 'W',
        Role::Backup {
            stance: Stance::Resigned,
            ..
        } => 'R',
        Role::Backup { .. } => 'B',
        Role::Master { tenure, .. } if tenure.offers() => 'O',
        Role::Master {
            tenure: Tenure::Kept, ..
        } => 'K',
        Role::Master { .. } => 'M',
        Role::Leaving {
            then: Departure::HandOver,
            ..
        } => 'H',
        Role::Leaving {
            then: Departure::StepBack,
            ..
        } => 'P',
        Role::Leaving {
            then: Departure::Offer,
            ..
        } => 'X',
        Role::Leaving {
            then: Departure::Stop(_),
            ..
        } => 'S',
    }
}

fn words_of(wishes: Wishes) -> String {
    [
        (Wishes::OWN, " own"),
        (Wishes::ADVERTISE, " ad"),
        (Wishes::BOW_OUT, " bow"),
        (Wishes::ANNOUNCE, " announce"),
        (Wishes::DISOWN, " disown"),
    ]
    .into_iter()
    .filter(|(wish, _)| wishes.contains(*wish))
    .map(|(_, word)| word)
    .collect()
}

/// What each role does with one input: the role that it is in then, and what is wished.
struct Row<'t> {
    input: &'t str,
    cells: Vec<&'t str>,
}

/// Roles, and a row for each input.
fn rows(table: &str) -> (Vec<char>, Vec<Row<'_>>) {
    let mut lines = table.lines().filter(|line| !line.is_empty());
    let roles = lines
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| *c != ' ')
        .collect();
    let rows = lines.map(|line| {
        let mut cells = line.split('|').map(str::trim);
        Row {
            input: cells.next().unwrap(),
            cells: cells.collect(),
        }
    });
    (roles, rows.collect())
}

fn input_of(name: &str, now: Instant) -> Input {
    match name {
        "start" => Input::Start,
        "stop" => Input::Stop(InitReason::LinkDown),
        "refused" => Input::Refused(now + Duration::from_secs(2)),
        "hand over" => Input::Leave(Departure::HandOver),
        "step back" => Input::Leave(Departure::StepBack),
        "offer" => Input::Leave(Departure::Offer),
        "leave" => Input::Leave(Departure::Stop(InitReason::Disabled)),
        "heard better" => heard(1, 50),
        "heard equal" => heard(1, 100),
        "heard worse" => heard(1, 200),
        "heard bow-out" => heard(BOW_OUT.0, BOW_OUT.1),
        "timeout" | "early timeout" => Input::Timeout,
        "demotion changed" => Input::DemotionChanged { worse: false },
        "demotion worse" => Input::DemotionChanged { worse: true },
        "reconfigured" => Input::Reconfigured,
        "overdue" => Input::Overdue(now + Duration::from_millis(1)),
        "force INIT" => Input::Force(State::Init),
        "force BACKUP" => Input::Force(State::Backup),
        "force MASTER" => Input::Force(State::Master),
        other => panic!("no input {other}"),
    }
}

/// What this role does with this input.
fn outcome(role: char, name: &str, view: &View) -> String {
    let now = at(1000 * SECOND);
    let mut machine = in_role(role, now, view);
    let before = machine;
    let when = if name == "timeout" {
        now + Duration::from_secs(1)
    } else {
        now
    };
    let effects = machine.step(when, input_of(name, now), view);
    let transition = effects.transition.map(|change| (change.from, change.to));
    let changed = (before.state() != machine.state()).then_some((before.state(), machine.state()));
    assert_eq!(
        transition, changed,
        "{role} {name}: a change of state is told, and nothing else"
    );
    if name == "early timeout" {
        assert_eq!(machine, before, "{role} {name}");
    }
    format!("{}{}", letter_of(&machine), words_of(effects.wishes))
}

#[test]
fn every_role_and_every_input() {
    let view = View {
        preempt: true,
        ..hardened(1, 100)
    };
    let (roles, rows) = rows(TABLE);
    assert_eq!((roles.len(), rows.len()), (11, 19));
    for Row { input, cells } in &rows {
        assert_eq!(roles.len(), cells.len(), "{input}");
        for (role, cell) in roles.iter().zip(cells) {
            assert_eq!(outcome(*role, input, &view), *cell, "{role} {input}");
        }
    }
}

/// What does not depend on the table above: the kernels, which know neither resigning nor offers. Where another
/// dialect does something else than FreeBSD, it has a row of its own.
#[test]
fn kernels_in_every_role_with_every_input() {
    let (roles, freebsd) = rows(FREEBSD);
    assert_eq!((roles.len(), freebsd.len()), (4, 19));
    for (dialect, differences) in [
        (Dialect::FreeBsd, ""),
        (Dialect::OpenBsd, OPENBSD),
        (Dialect::NetBsd, NETBSD),
        (Dialect::Ucarp, UCARP),
    ] {
        let view = View {
            preempt: true,
            ..kernel(dialect, 1, 100)
        };
        let (_, differences) = rows(differences);
        for differs in &differences {
            let same = freebsd.iter().find(|row| row.input == differs.input);
            assert_ne!(same.unwrap().cells, differs.cells, "{dialect} {}", differs.input);
        }
        for row in &freebsd {
            let own = differences.iter().find(|own| own.input == row.input);
            let Row { input, cells } = own.unwrap_or(row);
            assert_eq!(roles.len(), cells.len(), "{dialect} {input}");
            for (role, cell) in roles.iter().zip(cells) {
                assert_eq!(outcome(*role, input, &view), *cell, "{dialect} {role} {input}");
            }
        }
    }
}
