//! The carpd command, built along with the tests of this package, so that they never run an old one.

fn main() -> std::process::ExitCode {
    carpd::cli::main()
}
