//! Bytes into a file, from where the last write ended.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::rotation::Rotation;
use crate::data::Signal;

/// The bytes of one batch, and how many of them are written.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    begun: usize,
    pub(super) signal: Signal,
    pub(super) items: u64,
}

impl Chunk {
    pub(super) fn new(bytes: Vec<u8>, signal: Signal, items: u64) -> Self {
        Self { bytes, begun: 0, signal, items }
    }

    /// The bytes that are not written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.begun
    }

    fn is_begun(&self) -> bool {
        self.begun > 0
    }
}

/// The file.
pub(super) struct Output {
    path: PathBuf,
    /// A file, but for tests of what a disk may do.
    file: Box<dyn Write + Send>,
    size: u64,
    rotation: Option<Rotation>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Output {
    pub(super) fn open(
        path: &Path,
        append: bool,
        rotation: Option<Rotation>,
        directory: Option<u32>,
    ) -> io::Result<Self> {
        if let (Some(mode), Some(parent)) = (directory, path.parent()) {
            DirBuilder::new().recursive(true).mode(mode).create(parent)?;
        }
        // What is rotated goes on where it was.
        let keep = append || rotation.is_some();
        let file = open(path, keep, 0o644)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file: Box::new(file), size, rotation })
    }

    /// Writes chunks and takes them away, up to the first that cannot be written as a whole, and gives why. Calls back after
    /// each that was written.
    pub(super) fn write(&mut self, chunks: &mut Vec<Chunk>, mut written: impl FnMut()) -> Option<io::Error> {
        let mut done = 0;
        let error = loop {
            let Some(chunk) = chunks.get_mut(done) else { break None };
            if let Err(error) = self.write_one(chunk) {
                break Some(error);
            }
            written();
            done += 1;
        };
        chunks.drain(..done);
        error
    }

    fn write_one(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        // What was begun ends in the same file.
        if let Some(rotation) = &self.rotation
            && !chunk.is_begun()
            && self.size > 0
            && self.size.saturating_add(chunk.len() as u64) > rotation.bytes_max()
        {
            rotation.rotate(&self.path)?;
            self.file = Box::new(open(&self.path, true, 0o600)?);
            self.size = 0;
            rotation.clean_up(&self.path);
        }
        while chunk.len() > 0 {
            match self.file.write(&chunk.bytes[chunk.begun..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    chunk.begun += written;
                    self.size += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn open(path: &Path, keep: bool, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).mode(mode);
    if keep {
        options.append(true)
    } else {
        options.write(true).truncate(true)
    };
    options.open(path)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::test_kit::configured;

    /// A disk that takes so many bytes at each write, and none where it is full.
    pub(crate) struct Disk {
        pub(crate) takes: VecDeque<Option<usize>>,
        pub(crate) holds: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.takes.pop_front().unwrap_or(Some(usize::MAX)) {
                Some(most) => {
                    let taken = most.min(bytes.len());
                    self.holds.lock().unwrap().extend_from_slice(&bytes[..taken]);
                    Ok(taken)
                }
                None => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output {
        /// A file on such a disk, which is nowhere else.
        pub(crate) fn to(disk: Box<dyn Write + Send>) -> Self {
            Self { path: "/nowhere/data".into(), file: disk, size: 0, rotation: None }
        }

        /// The same with a size and a rotation.
        pub(crate) fn on(disk: Disk, size: u64, rotation: Option<Rotation>) -> Self {
            Self { path: "/nowhere/data".into(), file: Box::new(disk), size, rotation }
        }
    }

    #[test]
    fn what_was_begun_ends_where_it_began() {
        let holds = Arc::default();
        let disk = Disk { takes: [Some(3), None].into(), holds: Arc::clone(&holds) };
        let (rotation, _) = configured(&[("rotation.max_megabytes", "1")], Rotation::read);
        let mut output = Output::on(disk, (1 << 20) - 8, rotation);
        let mut chunks =
            vec![Chunk::new(b"01234567".to_vec(), Signal::Logs, 1), Chunk::new(b"x".to_vec(), Signal::Logs, 2)];
        let mut written = 0;
        let full = output.write(&mut chunks, || written += 1);
        assert!(full.is_some() && written == 0);
        assert_eq!(chunks.iter().map(Chunk::len).collect::<Vec<_>>(), [5, 1]);
        // As if another had grown the file meanwhile: the next begins a file, what was begun does not.
        output.size = 1 << 20;
        let after = output.write(&mut chunks, || written += 1);
        assert_eq!(written, 1);
        assert_eq!(*holds.lock().unwrap(), b"01234567");
        assert_eq!(after.unwrap().kind(), io::ErrorKind::NotFound, "there is nothing to rename");
        assert_eq!(chunks.len(), 1);
    }
}
