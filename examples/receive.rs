//! Receives a file in pieces that arrive in the wrong order, one of them twice, and puts it at its place:
//!
//!     cargo run --example receive -- FILE DESTINATION
//!
//! A server does the same with the bodies of requests. Each piece could be handled by another process.

use std::error::Error;
use std::path::Path;

use chunked_upload::{Chunk, Options, Store};

const PIECE: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [file, destination] = &arguments[..] else { return Err("usage: receive FILE DESTINATION".into()) };
    let content = std::fs::read(file)?;
    let mut pieces: Vec<(u64, &[u8])> = (0..).zip(content.chunks(PIECE)).collect();
    if pieces.is_empty() {
        pieces.push((0, &[])); // an empty file is one empty chunk
    }
    let store = Store::open(Path::new(destination).with_extension("uploads"), Options::default())?;
    let chunk = Chunk { total_size: content.len() as u64, chunk_count: pieces.len() as u64, ..Chunk::default() };

    // The last piece comes first. Its answer names the upload.
    let (chunk_number, content) = pieces[pieces.len() - 1];
    let uid = store.handle_chunk(&Chunk { file_name: "example", chunk_number, content, ..chunk })?.upload_uid;
    for &(chunk_number, content) in pieces.iter().rev() {
        store.handle_chunk(&Chunk { upload_uid: uid.as_str(), chunk_number, content, ..chunk })?;
    }
    let upload = store.move_to(uid.as_str(), destination, false)?;
    println!("{} bytes at {}", upload.total_size, upload.path.display());
    store.cleanup(&chunked_upload::Expiry::older_than(std::time::Duration::ZERO))?;
    Ok(std::fs::remove_dir(store.root())?)
}
