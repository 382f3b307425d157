//! The costs of calls, counted by the kernel, never timed.

use crate::common::{Image, TestStore, bytes, crc32c, in_child, seeded_bytes};
use chunked_upload::{Chunk, ErrorKind, Options, Store};

/// The bytes that this process has read and written through system calls, from /proc/self/io.
fn transferred() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let figure = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (figure("rchar:"), figure("wchar:"))
}

/// Counts in a child: other tests run in this process at the same time. The limits leave room for reading the figures.
fn within(most_read: u64, most_written: u64, call: impl FnOnce()) {
    let status = in_child(|| {
        let before = transferred();
        call();
        let after = transferred();
        assert!(after.0 - before.0 <= most_read, "{} bytes read", after.0 - before.0);
        assert!(after.1 - before.1 <= most_written, "{} bytes written", after.1 - before.1);
    });
    assert!(status.success());
}

const MIB: u64 = 1 << 20;

#[test]
fn get_reads_and_writes_no_data() {
    let store = TestStore::new();
    let file = bytes(64 * MIB as usize);
    let uid = store.send_all(&file, MIB as usize);
    // Where nothing is trusted, each call reads the file once.
    let file_read = if crate::common::volume_is_told() { 0 } else { 64 * MIB };
    // The table has 64 slots of 32 bytes.
    within(file_read + (16 << 10), 1 << 10, || {
        store.finished(&uid);
    });
    within(file_read + (8 << 10), 0, || {
        store.finished(&uid);
    });
    assert_eq!(store.content(&uid), file);
}

#[test]
fn each_byte_is_written_once_and_none_read_back() {
    let store = TestStore::new();
    let file = bytes(64 * MIB as usize);
    let uid = store.first(&file, MIB as usize, 5);
    // For each chunk the short `state` is read twice, and its slots once more to find gaps: 7 KiB.
    within(63 * (8 << 10), 63 * MIB + (8 << 10), || {
        for number in (0..64).filter(|&number| number != 5) {
            store.send(&uid, &file, MIB as usize, number).unwrap();
        }
    });
    // A repeat reads the stored bytes and writes nothing. Where nothing is trusted, it writes them again.
    let written = if crate::common::volume_is_told() { 0 } else { MIB + (1 << 10) };
    within(MIB + (16 << 10), written, || {
        store.send(&uid, &file, MIB as usize, 7).unwrap();
    });
    // Other bytes are written without reading those before them.
    let others = seeded_bytes(file.len(), 2);
    within(16 << 10, MIB + (4 << 10), || {
        store.send(&uid, &others, MIB as usize, 7).unwrap();
    });
}

/// `received_all` does not need the whole table each time.
#[test]
fn a_chunk_s_answer_costs_the_same_in_a_large_table() {
    let store = TestStore::with(Options { max_chunk_count: 0, ..Options::default() });
    let count = 50_000;
    let file = bytes(count);
    let uid = store.first(&file, 1, 0);
    // In order: each call reads one or two blocks of 64 slots.
    within(200 * (10 << 10), 200 * (1 << 10), || {
        for number in 1..200 {
            store.send(&uid, &file, 1, number).unwrap();
        }
    });
    for number in (200..count as u64).rev() {
        store.send(&uid, &file, 1, number).unwrap();
    }
    // Full: only the chunk that filled the table of 1.6 MB read all of it.
    within(8 << 10, 1 << 10, || assert!(store.send(&uid, &file, 1, 77).unwrap().received_all));
    assert_eq!(store.content(&uid), file);
}

/// A chunk for which there is no room is refused after one pass over the table, in any order of the places.
#[test]
fn a_refused_chunk_reads_the_table_once() {
    let store = TestStore::new();
    let (total, count) = (50_000, 50_000);
    let mut uid = String::new();
    for number in (0..100).rev() {
        uid = store.send_content(&uid, total, count, number, &bytes(total / 50));
    }
    let chunk = Chunk {
        upload_uid: &uid,
        total_size: total as u64,
        chunk_number: 200,
        chunk_count: count,
        content: b"four",
        ..Chunk::default()
    };
    for _ in 0..3 {
        within(count * 32 + (16 << 10), 0, || {
            let refused = store.handle_chunk(&chunk).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
        });
    }
}

/// A chunk smaller than the others reserves no window of its grid, or one byte would take the disk of 64 chunks.
#[test]
fn one_byte_reserves_no_window() {
    let Some(image) = Image::make("ext4") else { return };
    let options = Options { min_free_space: 0, ..Options::default() };
    let store = Store::open(image.mountpoint().join("uploads"), options).unwrap();
    let (total, count) = (16 << 20, 4096);
    let send = |uid: &str, number, content: &[u8]| {
        let (upload_uid, total_size, chunk_number) = (uid, total, number);
        let chunk = Chunk { upload_uid, total_size, chunk_number, chunk_count: count, content, ..Chunk::default() };
        store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
    };
    let uid = send("", 1, &[7; 4096]);
    for number in (0..count).step_by(64) {
        send(&uid, number, b"x");
    }
    let blocks = std::os::unix::fs::MetadataExt::blocks(&store.root().join(&uid).join("data").metadata().unwrap());
    assert!(blocks * 512 <= 65 * 4096, "{} KiB for 64 bytes and one chunk", blocks / 2);
}

/// A forged length of the file name in `state` does not decide how much memory a call takes.
#[test]
fn a_forged_length_takes_no_memory() {
    let store = TestStore::new();
    let uid = store.first(&bytes(2000), 1000, 0);
    let path = store.path(&uid, "state");
    let mut head = std::fs::read(&path).unwrap()[..512].to_vec();
    let length = 512_u32 << 20;
    head[12..16].copy_from_slice(&length.to_le_bytes());
    head[64..].fill(0); // no trusted stage, so the name is read
    let check = crc32c(&head[256..320]);
    head[52..56].copy_from_slice(&check.to_le_bytes());
    let check = crc32c(&head[..60]);
    head[60..64].copy_from_slice(&check.to_le_bytes());
    let state = std::fs::File::create(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&state, &head, 0).unwrap();
    state.set_len(512 + u64::from(length) + 2 * 32).unwrap();
    let status = in_child(|| {
        let before = memory("VmHWM");
        let error = store.inspect(&uid, 0).unwrap_err();
        assert!(memory("VmHWM") - before < 16 << 10, "{} KiB", memory("VmHWM") - before);
        assert_eq!(error.os_errno(), Some(libc::EBADMSG), "{error}");
    });
    assert!(status.success());
}

/// A figure about this process's memory in KiB, from /proc/self/status.
fn memory(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Memory does not grow with the file or the table, not even for a rewrite.
#[test]
fn memory_is_bounded() {
    let peak = |chunks: u64| {
        let store = TestStore::new();
        let size = 64 << 10;
        let file = bytes(chunks as usize * size);
        // Uneven chunks, sent backwards in pairs, so that everything has to be brought into order.
        let cut = |number: u64| (number / 2) as usize * 2 * size + (number % 2) as usize * 100;
        let mut uid = String::new();
        for number in (0..chunks).rev() {
            let end = if number + 1 == chunks { file.len() } else { cut(number + 1) };
            let chunk = chunked_upload::Chunk {
                upload_uid: &uid,
                total_size: file.len() as u64,
                chunk_number: number,
                chunk_count: chunks,
                content: &file[cut(number)..end],
                ..Default::default()
            };
            uid = store.handle_chunk(&chunk).unwrap().upload_uid.to_string();
        }
        let grown = store.dir.path().join("grown");
        let status = in_child(|| {
            let before = memory("RssAnon");
            store.finished(&uid);
            std::fs::write(&grown, (memory("RssAnon") - before).to_string()).unwrap();
        });
        assert!(status.success());
        assert_eq!(store.content(&uid), file);
        std::fs::read_to_string(grown).unwrap().parse::<u64>().unwrap()
    };
    let (small, large) = (peak(20), peak(400));
    assert!(large <= small + 2048, "{small} KiB for 1 MiB, {large} KiB for 25 MiB");
}
