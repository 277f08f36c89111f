//! Plants every bug of the list, one at a time, and fails unless the model check finds each.
//!
//! `mutants [STATES [WORD]]`: with so many states of each scenario, 3000 if not said; only bugs whose description has
//! the word, if one is given. Works in a copy, below the system's directory for temporary files.

#![expect(
    clippy::disallowed_methods,
    reason = "a stopwatch for people; the search itself has virtual time"
)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use carp_tests::model::mutants::{MUTANTS, Mutant};

/// A bug that makes the search itself run for ever is not found, but must not stop the others.
const PATIENCE: Duration = Duration::from_mins(2);

/// A copy of the core crates with the model check; removed in the end.
struct Copy {
    root: PathBuf,
    states: String,
}

fn main() -> ExitCode {
    let states = std::env::args().nth(1).unwrap_or_else(|| "3000".into());
    if states.parse::<usize>().is_err() {
        eprintln!("usage: mutants [STATES [WORD]]");
        return ExitCode::from(64);
    }
    let word = std::env::args().nth(2).unwrap_or_default();
    match run(states, &word) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many planted bugs were not found.
fn run(states: String, word: &str) -> Result<usize, Box<dyn Error>> {
    let copy = Copy::new(states)?;
    if let Some(found) = copy.check()? {
        return Err(format!("without a planted bug the model check must find nothing, but: {found}").into());
    }
    let chosen: Vec<&Mutant> = MUTANTS
        .iter()
        .filter(|mutant| mutant.what.contains(word))
        .collect();
    let mut missed = 0;
    for mutant in &chosen {
        let begin = Instant::now();
        let path = copy.root.join("carp-fsm/src").join(mutant.file);
        let source = fs::read_to_string(&path)?;
        fs::write(&path, plant(mutant, &source)?)?;
        let found = copy.check();
        fs::write(&path, source)?;
        missed += usize::from(!matches!(found, Ok(Some(_))));
        // One that does not build any more must not hide the others.
        let verdict = match found {
            Ok(found) => found.unwrap_or_else(|| "NOT FOUND".into()),
            Err(error) => error.to_string().to_uppercase(),
        };
        println!(
            "{}\n    {verdict} ({:.1} s)",
            mutant.what,
            begin.elapsed().as_secs_f32()
        );
    }
    println!("{} of {} planted bugs found", chosen.len() - missed, chosen.len());
    Ok(missed)
}

fn plant(mutant: &Mutant, source: &str) -> Result<String, Box<dyn Error>> {
    match source.matches(mutant.find).count() {
        1 => Ok(source.replacen(mutant.find, mutant.put, 1)),
        count => Err(format!(
            "\"{}\": its text stands {count} times in carp-fsm/src/{}, not once; bring tests/src/model/mutants.rs up \
             to date",
            mutant.what, mutant.file
        )
        .into()),
    }
}

impl Copy {
    fn new(states: String) -> Result<Self, Box<dyn Error>> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = std::env::temp_dir().join(format!("carp-mutants-{}", std::process::id()));
        let copy = Self { root, states };
        let root = &copy.root;
        for part in [
            "carp-proto",
            "carp-fsm",
            "tests/src/model",
            "tests/src/bin/model.rs",
            "Cargo.lock",
        ] {
            copy_all(&workspace.join(part), &root.join(part))?;
        }
        let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
        let members: Vec<&str> = manifest
            .lines()
            .filter(|line| line.starts_with("members = "))
            .collect();
        let [members] = members[..] else {
            return Err("the workspace's Cargo.toml has not one line of members".into());
        };
        let fewer = r#"members = ["carp-proto", "carp-fsm", "tests"]"#;
        fs::write(root.join("Cargo.toml"), manifest.replace(members, fewer))?;
        fs::write(root.join("tests/src/lib.rs"), "pub mod model;\n")?;
        fs::write(
            root.join("tests/Cargo.toml"),
            "[package]\nname = \"carp-tests\"\nversion.workspace = true\nedition.workspace = true\n\n\
             [dependencies]\ncarp-fsm = { workspace = true, features = [\"sim\"] }\ncarp-proto.workspace = true\n",
        )?;
        Ok(copy)
    }

    /// What the model check finds.
    fn check(&self) -> Result<Option<String>, Box<dyn Error>> {
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--profile",
                "model",
                "--package",
                "carp-tests",
            ])
            .current_dir(&self.root)
            // Quick to build; the search is short.
            .env("CARGO_PROFILE_MODEL_OPT_LEVEL", "1")
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .env("RUSTFLAGS", "--cap-lints allow")
            .status()?;
        if !built.success() {
            return Err("it does not build".into());
        }
        let output = self.root.join("output");
        let mut search = Command::new(self.root.join("target/model/model"))
            .arg(&self.states)
            .stdout(fs::File::create(&output)?)
            .stderr(Stdio::inherit())
            .spawn()?;
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = search.try_wait()? {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                search.kill()?;
                search.wait()?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let output = fs::read_to_string(output)?;
        match status.code() {
            Some(0) => Ok(None),
            Some(1) => Ok(Some(summary(&output))),
            _ => Err(format!("the model check ended with {status}").into()),
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Nobody misses it.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Scenario and violation.
fn summary(output: &str) -> String {
    let scenario = output
        .lines()
        .rev()
        .find(|line| line.contains(" states, "))
        .unwrap_or_default();
    let scenario = scenario.split_whitespace().next().unwrap_or_default();
    let violation = output.lines().last().unwrap_or_default();
    format!("{scenario}: {violation}")
}

fn copy_all(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
