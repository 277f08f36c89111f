//! The password of a virtual host: read, judged, and never printed.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

/// The longest password in bytes. The BSDs and UCarp take no more, so that a longer one would never match a
/// peer's; cutting it silently would hide that.
pub(super) const MAX_PASSWORD_LEN: usize = 19;

/// A password. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// Judges a password. An empty one means none at all, as on a BSD without the `pass` keyword.
    ///
    /// # Errors
    ///
    /// What is wrong; what to write instead. Does not contain the password.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_PASSWORD_LEN {
            return Err(format!(
                "the password is {} bytes long; write at most {MAX_PASSWORD_LEN}, the longest that the BSDs and \
                 UCarp take",
                bytes.len()
            ));
        }
        if bytes.contains(&0) {
            return Err(
                "the password contains a NUL byte; write one without (peers would cut it there)".into(),
            );
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Reads a password from a file: its only line, without the line end.
    ///
    /// # Errors
    ///
    /// What is wrong; what to write instead. Does not contain the password.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let file = fs::File::open(path).map_err(|error| {
            format!(
                "cannot read {shown} ({}); write the path of a readable file",
                plain(&error)
            )
        })?;
        let mut bytes = Vec::new();
        // Enough to tell a password that is somewhat too long from a wrong file.
        file.take(1024).read_to_end(&mut bytes).map_err(|error| {
            format!(
                "cannot read {shown} ({}); write the path of a readable file",
                plain(&error)
            )
        })?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if bytes.is_empty() {
            return Err(format!(
                "{shown} is empty; write the password into it, as its only line"
            ));
        }
        if bytes.contains(&b'\n') {
            return Err(format!(
                "{shown} has more than one line; write the password into it, as its only line"
            ));
        }
        Self::new(&bytes).map_err(|why| format!("{shown}: {why}"))
    }

    /// The bytes, for the key. Empty: no password.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// An I/O error without "(os error 2)".
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .to_ascii_lowercase()
}

/// Whether every user of this machine may read the file; `None` if that cannot be known.
#[cfg(unix)]
pub(super) fn mode_if_world_readable(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let mode = fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o004 != 0).then_some(mode)
}

/// Whether every user of this machine may read the file; `None` if that cannot be known.
#[cfg(not(unix))]
pub(super) fn mode_if_world_readable(_path: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert!(Password::new(b"").is_ok());
        assert!(Password::new(&[b'x'; 19]).is_ok());
        let error = Password::new(&[b'x'; 20]).expect_err("too long");
        assert!(
            error.contains("20 bytes") && error.contains("at most 19"),
            "{error}"
        );
        assert!(!error.contains("xx"), "{error}");
        assert!(Password::new(b"a\0b").is_err());
    }

    #[test]
    fn debug_does_not_show_it() {
        let password = Password::new(b"hunter2").expect("short enough");
        assert_eq!(format!("{password:?}"), "Password(..)");
    }
}
