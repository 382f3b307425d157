//! Compiles a test program against the release library and runs it.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::{cc, cxx, link_library_into, root, run, skip, told, try_run};

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
    tool: Option<Tool>,
}

/// What watches a program for faults that it may well survive.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tool {
    Valgrind,
    /// AddressSanitizer, its leak check, and UBSan.
    Asan,
    /// ThreadSanitizer.
    Tsan,
}

impl Tool {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Tool::Valgrind => &[],
            Tool::Asan => &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            Tool::Tsan => &["-fsanitize=thread"],
        }
    }
}

/// In seconds: no program takes a tenth of it, under valgrind either. A deadlock must fail the test, not stop it.
const TIME_LIMIT: &str = "120";

impl Program {
    pub fn build(dialect: Dialect, sources: &[PathBuf]) -> Program {
        Program::build_for(runner(), dialect, sources)
    }

    pub fn build_for(tool: Option<Tool>, dialect: Dialect, sources: &[PathBuf]) -> Program {
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
        compiler.args(tool.map_or(&[][..], Tool::flags));
        compiler.arg("-I").arg(root().join("include"));
        if let Dialect::CAsCpp17 = dialect {
            compiler.args(["-x", "c++"]).args(sources).args(["-x", "none"]);
        } else {
            compiler.args(sources);
        }
        run(compiler.arg("-o").arg(&binary).arg("-L").arg(dir.path()).arg("-lchunked_upload"));
        Program { dir, binary, tool }
    }

    /// The program, under its tool.
    fn command(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", TIME_LIMIT]);
        if self.tool == Some(Tool::Valgrind) {
            command.args(["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full"]);
        }
        command.arg(&self.binary).env("LD_LIBRARY_PATH", self.dir.path());
        command
    }

    /// Runs it in `dir`, which is also its first argument. It must succeed, or say that it is skipped.
    pub fn run_in<T: AsRef<OsStr>>(&self, dir: &Path, more: &[T]) -> Output {
        let (command, output) = self.try_run_in(dir, more);
        assert!(output.status.success(), "{}", told(&command, &output));
        let said = String::from_utf8_lossy(&output.stderr);
        said.lines().filter_map(|line| line.strip_prefix("skipped: ")).for_each(skip);
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

/// The tool under which the programs run: none unless `$UPLOAD_TEST_RUNNER` names one.
pub fn runner() -> Option<Tool> {
    match env::var("UPLOAD_TEST_RUNNER").unwrap_or_default().as_str() {
        "" => None,
        "valgrind" => Some(Tool::Valgrind),
        "asan" => Some(Tool::Asan),
        "tsan" => Some(Tool::Tsan),
        other => panic!("UPLOAD_TEST_RUNNER={other}"),
    }
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
