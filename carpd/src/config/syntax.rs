//! What is not even TOML.

use toml::de::Error;

use super::report::Report;

/// Reports what is not TOML, and tells whether the rest can be read all the same. It can after a duplicate key;
/// after anything else a guess might call a password a wrong address, and print it.
pub(super) fn report(text: &str, errors: &[Error], report: &mut Report) -> bool {
    let mut reported = 0;
    let mut readable = true;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = report.line_of(&span);
        let message = error.message();
        if message == "duplicate key" {
            let key = text.get(span.clone()).unwrap_or("this key").escape_debug();
            report.mistake(
                &span,
                format!("{key} is already set in this table; write it once"),
            );
            continue;
        }
        readable = false;
        if line == reported {
            continue; // only the first mistake of a line is sure to be one
        }
        reported = line;
        if message.contains("array elements") {
            let advice = "write ] after its last element, or , between two";
            report.mistake(&span, format!("not TOML: the list goes on here; {advice}"));
            break; // all that follows was taken for a part of the list
        }
        let text =
            if message.starts_with("string values must be quoted") || message.starts_with("invalid float") {
                "this value is neither text nor a number; write text in quotes, and true or false without"
                    .to_owned()
            } else {
                message
                    .replacen(", expected nothing", "; leave it out", 1)
                    .replacen(", expected", "; write", 1)
            };
        report.mistake(&span, format!("not TOML: {text}"));
    }
    readable
}
