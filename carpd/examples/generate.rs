//! Writes the manual pages and the completions of the shells, for packages:
//!
//! `cargo run -p carpd --example generate -- DIRECTORY`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use clap_complete::Shell;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: generate DIRECTORY");
        return ExitCode::from(64);
    };
    match generate(&PathBuf::from(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes `man/*.8`, `man/carpd.toml.5`, and one file for each shell in `completions`.
pub(crate) fn generate(directory: &Path) -> io::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let mut command = carpd::cli::definition();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "carpd", &completions)?;
    }
    fs::write(man.join("carpd.toml.5"), configuration_page())?;
    command.build(); // gives `carpd status` its name `carpd-status`
    pages(&command, &man)
}

/// The page of the configuration file: the example, which explains itself.
fn configuration_page() -> String {
    let mut page = ".TH carpd.toml 5\n.SH NAME\ncarpd.toml \\- configuration of carpd\n.SH DESCRIPTION\n\
                    TOML. What begins with # and no space behind it is a key with its default, unless it is said \
                    otherwise.\n.PP\n.nf\n"
        .to_owned();
    for line in carpd::config::EXAMPLE.lines() {
        // \\& keeps a dot or quote at the beginning from being a request.
        page += "\\&";
        page += &line.replace('\\', "\\e").replace('-', "\\-");
        page.push('\n');
    }
    page + ".fi\n.SH SEE ALSO\ncarpd(8), carpd\\-check(8), carpd\\-run(8), carpd\\-reload(8)\n"
}

/// The page of a command, and of those below it.
fn pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let page = clap_mangen::Man::new(command.clone()).section("8");
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(directory.join(page.get_filename()), text)?;
    for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages(below, directory)?;
    }
    Ok(())
}
