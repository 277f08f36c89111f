//! The carpd command. Everything is in the library, where tests can reach it.

fn main() -> std::process::ExitCode {
    carpd::cli::main()
}
