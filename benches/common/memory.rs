//! The most memory that a process had at once, as the kernel counts it.

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
    let status = std::fs::read_to_string("/proc/self/status").expect("a process may read its own status");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line of its own");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}
