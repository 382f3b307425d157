//! The machine's memory: the most that a process had at once, as the kernel counts it, and whether it is there at all.

/// Forgets the peak so far; answers what is in memory now, in KiB.
pub fn start_peak() -> u64 {
    // Documented in proc_pid_clear_refs(5).
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own peak");
    figure("VmRSS")
}

/// In KiB, since then.
pub fn peak() -> u64 {
    figure("VmHWM")
}

fn figure(name: &str) -> u64 {
    kib("/proc/self/status", name)
}

fn kib(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let line = text.lines().find(|line| line.starts_with(name)).expect("a line of its own");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}

/// Makes sure that so many bytes of the page cache find memory that is really there, and more than once over.
///
/// A virtual machine gives free memory back to its host after a moment. Who is the next to use it waits for the host: a
/// gigabyte then takes a second more, four times the time of writing it, and by turns that meets always the same try.
/// Huge pages take just the blocks that are given back.
pub fn warm(bytes: u64) {
    const HUGE: usize = 2 << 20;
    let length = (3 * bytes as usize).next_multiple_of(HUGE);
    if kib("/proc/meminfo", "MemAvailable") < 2 * length as u64 / 1024 {
        return;
    }
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own, that nobody else knows.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, kind, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: it is that long. Without huge pages it helps less.
    unsafe { libc::madvise(start, length, libc::MADV_HUGEPAGE) };
    for offset in (0..length).step_by(4096) {
        // SAFETY: within it.
        unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
    }
    // SAFETY: nothing points into it any more.
    unsafe { libc::munmap(start, length) };
}
