//! Maintenance mode on the disk: it must survive restarts, and a machine that loses power while it is entered.
//!
//! A file `maintenance` in the state directory says that it holds. It is not in the configuration, which may be the
//! same on all machines and be replaced by another program at any time.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::log::{rfc3339, wall_clock};

/// Where it is stored, and whether.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// It cannot be read or stored. `Display` says what to do, in one line.
#[derive(Debug)]
pub struct StoreError {
    path: PathBuf,
    error: io::Error,
}

impl Store {
    /// In this directory, which is made when it is needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Since when it holds, in the words of the file; `None` if it does not.
    ///
    /// # Errors
    ///
    /// When that cannot be known.
    pub fn get(&self) -> Result<Option<String>, StoreError> {
        match fs::read_to_string(self.path()) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Enters or leaves. When this returns `Ok`, a machine that loses power comes back with it.
    ///
    /// # Errors
    ///
    /// When that is not sure.
    pub fn set(&self, maintenance: bool) -> Result<(), StoreError> {
        let result = if maintenance { self.enter() } else { self.leave() };
        result.map_err(|error| self.failed(error))
    }

    fn enter(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let new = self.directory.join("maintenance.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{}", rfc3339(wall_clock()))?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        sync(&self.directory)
    }

    fn leave(&self) -> io::Result<()> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        sync(&self.directory)
    }

    fn path(&self) -> PathBuf {
        self.directory.join("maintenance")
    }

    fn failed(&self, error: io::Error) -> StoreError {
        let path = self.path();
        StoreError { path, error }
    }
}

/// The name of a file is durable when its directory is.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, error) = (self.path.display(), &self.error);
        write!(
            f,
            "maintenance mode cannot be stored in {path} ({error}); mend that, or set another state_directory"
        )
    }
}

impl Error for StoreError {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn it_is_found_again() {
        let dir = TempDir::new("maintenance");
        let store = Store::new(dir.path().join("state"));
        let get = || store.get().expect("readable");
        assert_eq!(get(), None);
        store.set(false).expect("nothing to do");
        store.set(true).expect("stored");
        let since = get().expect("it holds");
        assert!(since.starts_with("20") && since.ends_with('Z'), "{since}");
        assert!(
            Store::new(dir.path().join("state"))
                .get()
                .expect("readable")
                .is_some()
        );
        store.set(true).expect("stored once more");
        store.set(false).expect("removed");
        assert_eq!(get(), None);
    }

    #[test]
    fn what_cannot_be_stored_is_said() {
        let dir = TempDir::new("no-maintenance");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = Store::new(&file).set(true).expect_err("no directory").to_string();
        assert!(
            error.starts_with("maintenance mode cannot be stored in ")
                && error.ends_with("set another state_directory"),
            "{error}"
        );
        assert!(Store::new(&file).get().is_err(), "unknown is not the same as no");
    }
}
