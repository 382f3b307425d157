//! The shim between a test and the system calls: see `tests/shim/faults.c`.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kinds of calls that are to fail. The shim has the same numbers.
pub const OPEN: i32 = 1;
pub const CREATE: i32 = 2;
pub const WRITE: i32 = 4;
pub const SYNC: i32 = 8;
pub const LOCK: i32 = 16;
pub const READ: i32 = 32;
pub const REMOVE: i32 = 64;
pub const TOUCH: i32 = 128;
pub const EVERY: i32 = 255;

/// In place of an errno: only half of the bytes are written, without an error.
pub const SHORT_WRITE: i32 = -1;

/// The fault to make.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub errno: i32,
    pub kinds: i32,
    /// Whether every later call of these kinds fails, too.
    pub lasting: bool,
}

/// The loaded shim.
#[derive(Clone, Copy)]
pub struct Shim {
    arm: extern "C" fn(c_long, c_int, c_int, c_int),
    disarm: extern "C" fn(*mut *const c_char) -> c_long,
    watch: extern "C" fn(Option<Watcher>),
}

/// Called before each call that changes or syncs something, with the descriptor that is synced, or -1.
pub type Watcher = extern "C" fn(c_int);

/// Builds the shim for all tests and processes. `UPLOAD_SHIM=` names a built shim where there is no compiler.
pub fn build() -> PathBuf {
    if let Some(built) = std::env::var_os("UPLOAD_SHIM") {
        return built.into();
    }
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    BUILT
        .get_or_init(|| {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/faults.c");
            let library = std::env::current_exe().unwrap().with_file_name("faults.so");
            let own = library.with_extension(std::process::id().to_string());
            let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
            let built = cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&own).arg(source).status();
            assert!(built.expect("a C compiler").success());
            // A process that has loaded the earlier shim keeps it.
            std::fs::rename(own, &library).unwrap();
            library
        })
        .clone()
}

impl Shim {
    /// Runs the calling test again with the shim, and returns `None` if that succeeded. In that second run, returns the
    /// shim.
    pub fn load() -> Option<Shim> {
        if let Some(shim) = Shim::find() {
            return Some(shim);
        }
        let thread = std::thread::current();
        let test = thread.name().expect("the test harness names each test's thread after the test");
        let mut again = Command::new(std::env::current_exe().unwrap());
        // One test in one thread: besides it only the harness runs.
        again.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("LD_PRELOAD", build());
        let output = again.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        eprintln!("{text}");
        None
    }

    fn find() -> Option<Shim> {
        let symbol = |name: &CStr| {
            // SAFETY: `name` is NUL-terminated.
            let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        // SAFETY: these are the signatures in the shim.
        unsafe {
            Some(Shim {
                arm: std::mem::transmute::<*mut c_void, extern "C" fn(c_long, c_int, c_int, c_int)>(symbol(
                    c"faults_arm",
                )?),
                disarm: std::mem::transmute::<*mut c_void, extern "C" fn(*mut *const c_char) -> c_long>(symbol(
                    c"faults_disarm",
                )?),
                watch: std::mem::transmute::<*mut c_void, extern "C" fn(Option<Watcher>)>(symbol(c"faults_watch")?),
            })
        }
    }

    /// Makes a call, in which the `nth` system call of the fault's kinds fails, counted from 1. Also returns the last
    /// one that failed; none if there are fewer.
    pub fn with<T>(&self, nth: usize, fault: Fault, call: impl FnOnce() -> T) -> (T, Option<String>) {
        (self.arm)(nth as c_long, fault.errno, fault.kinds, fault.lasting.into());
        let answer = call();
        let mut name = std::ptr::null();
        let hits = (self.disarm)(&mut name);
        // SAFETY: the shim returns a constant string.
        let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap().to_owned();
        (answer, (hits > 0).then_some(name))
    }

    /// Makes a call with `watcher` set.
    pub fn watched<T>(&self, watcher: Watcher, call: impl FnOnce() -> T) -> T {
        (self.watch)(Some(watcher));
        let answer = call();
        (self.watch)(None);
        answer
    }
}
