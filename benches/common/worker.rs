//! Programs in other languages, measured in turn with the other tries. They run all the time, do what a line asks for,
//! and answer with a line of nanoseconds.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Worker {
    child: Child,
    /// The pipes are shared, so that several tries can ask one worker in turn.
    pipes: RefCell<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Worker {
    fn start(mut command: Command) -> Worker {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let (input, output) = child.stdin.take().zip(child.stdout.take()).expect("piped");
        Worker { child, pipes: RefCell::new(Some((input, BufReader::new(output)))) }
    }

    /// Sends a request, and returns the seconds from the answer.
    pub fn ask(&self, request: &str) -> Vec<f64> {
        let mut pipes = self.pipes.borrow_mut();
        let (input, output) = pipes.as_mut().expect("it is running");
        writeln!(input, "{request}").expect("it listens");
        let mut line = String::new();
        output.read_line(&mut line).expect("it answers");
        let seconds = |text: &str| text.parse::<f64>().expect("nanoseconds") / 1e9;
        let answer: Vec<f64> = line.split_whitespace().map(seconds).collect();
        assert!(!answer.is_empty(), "no answer to: {request}");
        answer
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.pipes.take());
        let _ = self.child.wait();
    }
}

/// The directory where cargo puts the libraries of this build.
fn release() -> PathBuf {
    let bench = std::env::current_exe().expect("a path");
    bench.ancestors().nth(2).expect("target/release/deps/bench").to_owned()
}

fn benches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches")
}

/// Reports that a figure is left out.
fn left_out(what: &str) -> Option<Worker> {
    assert!(std::env::var_os("UPLOAD_SKIP_NOTHING").is_none(), "{what}");
    eprintln!("left out: {what}");
    None
}

/// Compiles `benches/<name>.c`, linked with the C library.
pub fn c_program(name: &str) -> Option<Worker> {
    let library = release().join("libchunked_upload.so");
    if !library.exists() {
        return left_out("the C program: no library, which `make build` builds");
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}"));
    let status = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"])
        .arg("-I")
        .arg(benches().join("../include"))
        .arg(benches().join(name).with_extension("c"))
        .arg("-o")
        .arg(&program)
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", release().display()))
        .status()
        .expect("a C compiler");
    assert!(status.success(), "{name}.c does not compile");
    Some(Worker::start(Command::new(program)))
}

/// Runs `benches/<name>.py` with the installed wheel.
pub fn python_script(name: &str) -> Option<Worker> {
    let python = benches().join("../.venv/bin/python");
    if !python.exists() {
        return left_out("the Python program: no wheel, which `make wheel` installs");
    }
    let mut command = Command::new(python);
    command.arg(benches().join(name).with_extension("py"));
    Some(Worker::start(command))
}
