//! A folder as Kubernetes mounts a Secret: every file is a link through `..data`, which is swapped in
//! one step.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Such a folder; removed with the value.
pub struct Mount {
    dir: PathBuf,
    versions: AtomicU32,
}

impl Mount {
    /// With these files.
    pub fn new(files: &[(&str, &str)]) -> Mount {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("redis-hive-mount-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).expect("a folder");
        let mount = Mount { dir, versions: AtomicU32::new(0) };
        mount.swap(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mount.path(name)).expect("a link");
        }
        mount
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Other contents for all files, at once.
    pub fn swap(&self, files: &[(&str, &str)]) {
        let version = format!("..{}", self.versions.fetch_add(1, Ordering::Relaxed));
        let dir = self.dir.join(&version);
        std::fs::create_dir(&dir).expect("a folder");
        for (name, content) in files {
            std::fs::write(dir.join(name), content).expect("a file");
        }
        let link = self.dir.join("..tmp");
        symlink(&version, &link).expect("a link");
        std::fs::rename(&link, self.dir.join("..data")).expect("a swap");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is left in the temporary directory hurts nobody.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
