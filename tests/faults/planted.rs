//! Planted faults in the bytes that the engine reads. The tools must find them: tests/watched.sh runs them one by one.

use crate::common::{TestStore, send};

#[test]
#[ignore = "is faulty"]
fn use_after_free() {
    let store = TestStore::new();
    let file = vec![7; 1000];
    // SAFETY: none. `file` is freed before it is sent.
    let freed = unsafe { std::slice::from_raw_parts(file.as_ptr(), file.len()) };
    drop(file);
    send(&store, "", freed, 1000, 0).unwrap();
}

#[test]
#[ignore = "is faulty"]
fn leak() {
    std::mem::forget(std::hint::black_box(vec![7; 1000]));
}

#[test]
#[ignore = "is faulty"]
fn data_race() {
    let store = TestStore::new();
    let mut file = vec![7; 1000];
    let address = file.as_mut_ptr() as usize;
    std::thread::scope(|scope| {
        // SAFETY: none. The bytes are changed while they are sent.
        let writer = scope.spawn(move || unsafe { (address as *mut u8).write(8) });
        send(&store, "", &file, 1000, 0).unwrap();
        writer.join().unwrap();
    });
}
