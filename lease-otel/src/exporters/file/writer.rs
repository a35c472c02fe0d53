//! Bytes into a file, from where the last write ended.

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

/// What became of chunks.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Those that were written as a whole.
    pub(super) written: Vec<(Signal, u64)>,
    /// Why no more were.
    pub(super) error: Option<io::Error>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: File,
    size: u64,
    rotation: Option<Rotation>,
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
        Ok(Self { path: path.to_owned(), file, size, rotation })
    }

    /// Writes chunks and takes them away, up to the first that cannot be written as a whole.
    pub(super) fn write(&mut self, chunks: &mut Vec<Chunk>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut done = 0;
        for chunk in chunks.iter_mut() {
            if let Err(error) = self.write_one(chunk) {
                outcome.error = Some(error);
                break;
            }
            outcome.written.push((chunk.signal, chunk.items));
            done += 1;
        }
        chunks.drain(..done);
        outcome
    }

    fn write_one(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        // What was begun ends in the same file.
        if let Some(rotation) = &self.rotation
            && !chunk.is_begun()
            && self.size > 0
            && self.size.saturating_add(chunk.len() as u64) > rotation.bytes_max()
        {
            rotation.rotate(&self.path)?;
            self.file = open(&self.path, true, 0o600)?;
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
