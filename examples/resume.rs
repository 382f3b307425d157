//! Shows what an unfinished upload lacks, as a client asks after a break:
//!
//!     cargo run --example resume -- STORE [UID]
//!
//! Without a uid it lists the uploads of the store.

use std::error::Error;

use chunked_upload::{Options, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, uid @ ..] = &arguments[..] else { return Err("usage: resume STORE [UID]".into()) };
    let store = Store::open(store, Options::default())?;
    let Some(uid) = uid.first() else {
        for upload in store.list()? {
            let upload = upload?;
            println!("{} {:<9} {} bytes {:?}", upload.uid, upload.phase, upload.total_size, upload.file_name);
        }
        return Ok(());
    };
    let mut from_chunk = Some(0);
    while let Some(from) = from_chunk {
        let upload = store.inspect(uid, from)?;
        for range in upload.missing {
            println!("send chunks {} to {}", range.start, range.end - 1);
        }
        from_chunk = upload.next_chunk;
    }
    Ok(())
}
