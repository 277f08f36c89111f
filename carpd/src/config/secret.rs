//! The password of a virtual host: read and judged, never printed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use carp_proto::{Key, KeyError};

/// The key of a password. An empty one means none at all, as on a BSD without the `pass` keyword.
///
/// # Errors
///
/// What is wrong; what to write instead. Does not contain the password.
pub(super) fn key(password: &[u8]) -> Result<Key, String> {
    Key::from_passphrase(password).or_else(|error| match error {
        KeyError::Empty => Ok(Key::NONE),
        KeyError::TooLong(length) => Err(format!(
            "the password is {length} bytes long; write at most 19, the longest that the BSDs and UCarp take"
        )),
        KeyError::Nul(_) => {
            Err("the password contains a NUL byte; write one without (peers would end it there)".into())
        }
        other => Err(other.to_string()),
    })
}

/// Where a password file is: a relative path begins in the directory of credentials, if the file is there, and
/// otherwise in that of the configuration file.
pub(super) fn path(credentials: Option<&Path>, configuration: &Path, file: &str) -> PathBuf {
    let credential = credentials.map(|directory| directory.join(file));
    credential
        .filter(|path| path.exists())
        .unwrap_or_else(|| configuration.parent().unwrap_or(Path::new("")).join(file))
}

/// The key of the password in a file: its only line, without the line end.
///
/// # Errors
///
/// What is wrong; what to write instead. Does not contain the password.
pub(super) fn key_in(path: &Path) -> Result<Key, String> {
    let shown = path.display();
    let bytes = read_start(path).map_err(|error| {
        format!(
            "cannot read {shown} ({}); write the path of a readable file",
            plain(&error)
        )
    })?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(format!(
            "{shown} is empty; write the password into it, as its only line"
        ));
    }
    if line.contains(&b'\n') {
        return Err(format!(
            "{shown} has more than one line; write the password into it, as its only line"
        ));
    }
    key(line).map_err(|why| format!("{shown}: {why}"))
}

/// Enough of a file to tell a password that is too long from a wrong file.
fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(1024).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An I/O error without "(os error 2)".
fn plain(error: &io::Error) -> String {
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_credential_is_preferred_to_the_file_beside_the_configuration() {
        let dir = TempDir::new("credentials");
        let configuration = Path::new("/etc/carpd/carpd.toml");
        let with = |file| path(Some(dir.path()), configuration, file);
        assert_eq!(with("carpd.password"), Path::new("/etc/carpd/carpd.password"));
        fs::write(dir.path().join("carpd.password"), "opensesame").expect("a file");
        assert_eq!(with("carpd.password"), dir.path().join("carpd.password"));
        assert_eq!(with("/etc/other"), Path::new("/etc/other"));
        assert_eq!(path(None, configuration, "x"), Path::new("/etc/carpd/x"));
    }

    #[test]
    fn nineteen_bytes_are_the_limit() {
        assert_eq!(key(b""), Ok(Key::NONE));
        assert!(key(&[b'x'; 19]).is_ok());
        let error = key(&[b'x'; 20]).expect_err("too long");
        assert!(
            error.contains("20 bytes") && error.contains("at most 19"),
            "{error}"
        );
        assert!(!error.contains("xx"), "{error}");
        assert!(key(b"a\0b").is_err());
    }
}
