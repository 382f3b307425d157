//! Compiles a test program against the release library and runs it.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::{cc, cxx, link_library_into, root, run, told, try_run};

/// In which language, with which warnings as errors.
#[derive(Clone, Copy, Debug)]
pub enum Dialect {
    C11,
    /// C that is C++ too.
    CAsCpp17,
    Cpp17,
    Cpp20,
}

/// A compiled program, and the directory it lies in.
pub struct Program {
    dir: TempDir,
    binary: PathBuf,
    sanitized: bool,
}

/// AddressSanitizer, its leak check, and UBSan; the library itself is the plain one.
const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/// In seconds: no program takes a tenth of it, under valgrind either. A deadlock must fail the test, not stop it.
const TIME_LIMIT: &str = "120";

impl Program {
    pub fn build(dialect: Dialect, sources: &[PathBuf]) -> Program {
        Program::build_with(dialect, sources, false)
    }

    pub fn sanitized(dialect: Dialect, sources: &[PathBuf]) -> Program {
        Program::build_with(dialect, sources, true)
    }

    fn build_with(dialect: Dialect, sources: &[PathBuf], sanitized: bool) -> Program {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("program");
        link_library_into(dir.path());
        let (mut compiler, flags): (_, &[&str]) = match dialect {
            Dialect::C11 => (cc(), &["-std=c11"]),
            Dialect::CAsCpp17 => (cxx(), &["-std=c++17"]),
            Dialect::Cpp17 => (cxx(), &["-std=c++17", "-Wshadow", "-Wconversion"]),
            Dialect::Cpp20 => (cxx(), &["-std=c++20", "-Wshadow", "-Wconversion"]),
        };
        compiler.args(flags).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread"]);
        if sanitized {
            compiler.args(SANITIZERS);
        }
        compiler.arg("-I").arg(root().join("include"));
        if let Dialect::CAsCpp17 = dialect {
            compiler.args(["-x", "c++"]).args(sources).args(["-x", "none"]);
        } else {
            compiler.args(sources);
        }
        run(compiler.arg("-o").arg(&binary).arg("-L").arg(dir.path()).arg("-lchunked_upload"));
        Program { dir, binary, sanitized }
    }

    /// The program, under `$UPLOAD_TEST_RUNNER` if that is set.
    fn command(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", TIME_LIMIT]);
        if let Some(valgrind) = runner().filter(|_| !self.sanitized) {
            command.arg(valgrind).args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
        }
        command.arg(&self.binary).env("LD_LIBRARY_PATH", self.dir.path());
        command
    }

    /// Runs it in `dir`, which is also its first argument. It must succeed.
    pub fn run_in<T: AsRef<OsStr>>(&self, dir: &Path, more: &[T]) -> Output {
        let (command, output) = self.try_run_in(dir, more);
        assert!(output.status.success(), "{}", told(&command, &output));
        output
    }

    /// As `run_in`, in an empty directory.
    pub fn run<T: AsRef<OsStr>>(&self, more: &[T]) -> Output {
        self.run_in(tempfile::tempdir().unwrap().path(), more)
    }

    /// As `run`, but it may fail.
    pub fn try_run<T: AsRef<OsStr>>(&self, more: &[T]) -> (Command, Output) {
        self.try_run_in(tempfile::tempdir().unwrap().path(), more)
    }

    fn try_run_in<T: AsRef<OsStr>>(&self, dir: &Path, more: &[T]) -> (Command, Output) {
        let mut command = self.command();
        let output = try_run(command.arg(dir).args(more).current_dir(dir));
        (command, output)
    }
}

/// The tool under which the programs run: none, or valgrind.
pub fn runner() -> Option<String> {
    let runner = env::var("UPLOAD_TEST_RUNNER").ok().filter(|runner| !runner.is_empty())?;
    assert_eq!(runner, "valgrind", "UPLOAD_TEST_RUNNER");
    Some(runner)
}

/// The files of a directory of the repository with one of these endings, but for those that are no whole program.
pub fn programs(directory: &str, ending: &str, except: &[&str]) -> Vec<PathBuf> {
    let directory = root().join(directory);
    let mut found: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new(ending)))
        .filter(|path| !except.contains(&stem(path)))
        .collect();
    found.sort();
    assert!(found.len() > 1, "{}", directory.display());
    found
}

pub fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}
