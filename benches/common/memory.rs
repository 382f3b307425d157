//! The peak of a process's memory, as the kernel counts it, and making sure that the machine's memory is there.

/// Resets the peak. Returns the present memory, in KiB.
pub fn start_peak() -> u64 {
    // Documented in proc_pid_clear_refs(5).
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own peak");
    figure("VmRSS")
}

/// The peak since then, in KiB.
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

/// Makes sure that there is real memory for this many bytes of the page cache, and more.
///
/// A virtual machine returns free memory to its host after a moment. Its next user waits for the host: a gigabyte then
/// takes a second more, four times the time of writing it. With tries in turn, one try would always meet that. Huge
/// pages use exactly the blocks that were returned.
pub fn warm(bytes: u64) {
    const HUGE: usize = 2 << 20;
    let length = (3 * bytes as usize).next_multiple_of(HUGE);
    if kib("/proc/meminfo", "MemAvailable") < 2 * length as u64 / 1024 {
        return;
    }
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping that no other code has.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, kind, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: the mapping has this length. Without huge pages it helps less.
    unsafe { libc::madvise(start, length, libc::MADV_HUGEPAGE) };
    for offset in (0..length).step_by(4096) {
        // SAFETY: the offset is within the mapping.
        unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
    }
    // SAFETY: nothing points into the mapping any more.
    unsafe { libc::munmap(start, length) };
}
