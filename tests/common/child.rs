//! Children that are killed.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// A forked process.
pub struct Child(libc::pid_t);

/// Runs `body` in a forked child. The child may be killed at any instant, and must not print.
pub fn fork(body: impl FnOnce()) -> Child {
    say_so_in_children();
    // SAFETY: the child calls `body`, which only allocates and makes system calls (glibc's allocator survives a fork).
    // The child leaves by _exit, so none of the parent's code runs in it.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid == 0 {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends this process without running anything.
        unsafe { libc::_exit(if ended.is_ok() { 0 } else { 101 }) };
    }
    Child(pid)
}

/// Sets a panic hook without locks. The usual hook prints with locks that another thread may have held at the fork, so
/// a child that panics would hang. Set before any fork, for the same reason.
fn say_so_in_children() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let (usual, parent) = (std::panic::take_hook(), std::process::id());
        std::panic::set_hook(Box::new(move |info| {
            if std::process::id() == parent {
                return usual(info);
            }
            let text = format!("in a child: {info}\n");
            // SAFETY: `text` has this length.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        }));
    });
}

/// From here on each system call with this number fails with `errno` in this process, or only calls whose second
/// argument is `second`, as with a container's filter. This cannot be undone, so it is for children.
pub fn refuse(call: libc::c_long, second: Option<libc::c_int>, errno: libc::c_int) {
    let step = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, equal, answer) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_RET);
    // In `seccomp_data` the number of the call is at 0, and the lower half of its second argument at 24.
    let mut filter = [
        step(load, 0, 0, 0),
        step(equal, call as u32, 0, 3),
        step(load, 24, 0, 0),
        step(equal, second.unwrap_or(0) as u32, 0, u8::from(second.is_some())),
        step(answer, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0),
        step(answer, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` and the filter it points to outlive the calls.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

impl Child {
    /// Waits for its end.
    pub fn wait(self) -> ExitStatus {
        let mut status = 0;
        // SAFETY: `status` has room for the result.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, 0) }, self.0);
        ExitStatus::from_raw(status)
    }

    /// Kills the child. It must have lived until then.
    pub fn kill(self) {
        // SAFETY: no pointers are passed.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        let status = self.wait();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status:?}");
    }
}

/// Runs `body` in a forked child and returns how it ended.
pub fn in_child(body: impl FnOnce()) -> ExitStatus {
    fork(body).wait()
}

/// Ends this process as a power switch would.
pub fn kill_self() -> ! {
    // SAFETY: no pointers are passed.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("SIGKILL does not return")
}

/// Runs `call` in a child that dies at its step number `step`, counted from 0, after the act `last`. False if the call
/// ended first.
#[cfg(feature = "test-hooks")]
pub fn dies_at(step: usize, last: impl Fn(&'static str) + 'static, call: impl FnOnce()) -> bool {
    let status = in_child(|| {
        let left = std::cell::Cell::new(step);
        chunked_upload::test_hooks::set_hook(Some(std::rc::Rc::new(move |name| {
            if left.get() == 0 {
                last(name);
                kill_self();
            }
            left.set(left.get() - 1);
            Ok(())
        })));
        call();
    });
    assert!(status.success() || status.signal() == Some(libc::SIGKILL), "{status:?}");
    !status.success()
}

/// Runs `call` in a child that dies at its `nth` step of this name, counted from 0. The call must reach that step.
#[cfg(feature = "test-hooks")]
pub fn die_in(name: &'static str, nth: usize, call: impl FnOnce()) {
    let status = in_child(|| {
        let left = std::cell::Cell::new(nth);
        chunked_upload::test_hooks::set_hook(Some(std::rc::Rc::new(move |step| {
            if step == name {
                if left.get() == 0 {
                    kill_self();
                }
                left.set(left.get() - 1);
            }
            Ok(())
        })));
        call();
    });
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{name} is reached");
}
