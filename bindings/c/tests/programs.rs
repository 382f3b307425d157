//! Compiles and runs the C and C++ programs of tests/c, tests/cpp and examples, against the release library, as C and
//! as C++, with the compiler's warnings as errors. `UPLOAD_TEST_RUNNER=` makes it all run under `valgrind`, `asan` or
//! `tsan`; for the latter two the library must have been compiled likewise: see tests/watched.sh.

#[path = "programs/build.rs"]
mod build;
mod common;
#[path = "programs/vectors.rs"]
mod vectors;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use build::{Dialect, Program, Tool, programs, runner, stem};
use common::{cc, cxx, root, run, try_run};

const NONE: [&str; 0] = [];

/// The programs that take no more than an empty directory.
fn c_programs() -> Vec<PathBuf> {
    runnable(programs("tests/c", "c", &["replay", "faulty"]))
}

fn cpp_programs() -> Vec<PathBuf> {
    runnable(programs("tests/cpp", "cpp", &["replay", "twice_main", "twice_other"]))
}

fn runnable(mut sources: Vec<PathBuf>) -> Vec<PathBuf> {
    sources.retain(|source| can_run(runner(), source));
    sources
}

fn can_run(tool: Option<Tool>, program: &Path) -> bool {
    match tool {
        // Valgrind (3.19) stops all threads while one waits for an open-file-description lock, so it waits for ever.
        Some(Tool::Valgrind) => stem(program) != "threads",
        // AddressSanitizer (gcc 12) itself writes to a cancelled thread's dead stack.
        Some(Tool::Asan) => stem(program) != "cancel",
        _ => true,
    }
}

#[test]
fn c_programs_as_c() {
    for source in c_programs() {
        Program::build(Dialect::C11, &[source]).run(&NONE);
    }
}

#[test]
fn c_programs_as_cpp() {
    for source in c_programs() {
        Program::build(Dialect::CAsCpp17, &[source]).run(&NONE);
    }
}

#[test]
fn cpp_programs_as_cpp17() {
    for source in cpp_programs() {
        Program::build(Dialect::Cpp17, &[source]).run(&NONE);
    }
}

#[test]
fn cpp_programs_as_cpp20() {
    for source in cpp_programs() {
        Program::build(Dialect::Cpp20, &[source]).run(&NONE);
    }
}

#[test]
fn headers_stand_alone_and_twice_in_one_program() {
    let include = root().join("include");
    let strict = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-pedantic-errors", "-Werror"];
    run(cc().args(["-std=c99", "-x", "c"]).args(strict).arg(include.join("chunked_upload.h")));
    run(cxx().args(["-std=c++11", "-x", "c++"]).args(strict).arg(include.join("chunked_upload.h")));
    run(cxx().args(["-std=c++17", "-x", "c++"]).args(strict).arg(include.join("chunked_upload.hpp")));
    let twice = ["twice_main", "twice_other"].map(|name| root().join(format!("tests/cpp/{name}.cpp")));
    Program::build(Dialect::Cpp17, &twice).run(&NONE);
}

/// What the headers show as a complete program is one.
#[test]
fn the_headers_examples_work() {
    for (header, dialect, source) in
        [("chunked_upload.h", Dialect::C11, "example.c"), ("chunked_upload.hpp", Dialect::Cpp17, "example.cpp")]
    {
        let text = fs::read_to_string(root().join("include").join(header)).unwrap();
        let code = text.lines().skip_while(|line| !line.ends_with("A complete program:")).skip(2);
        let code = code.map_while(|line| if line == " *" { Some("") } else { line.strip_prefix(" *     ") });
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(source);
        fs::write(&file, code.collect::<Vec<_>>().join("\n") + "\n").unwrap();
        let said = String::from_utf8(Program::build(dialect, &[file]).run(&NONE).stdout).unwrap();
        assert!(said.trim_end().starts_with('/') && said.contains("/uploads/"), "a path: {said}");
    }
}

/// So is what the documents show.
#[test]
fn the_documents_examples_work() {
    for (page, language, dialect, count) in [
        ("README.md", "c", Dialect::C11, 1),
        ("docs/c.md", "c", Dialect::C11, 1),
        ("docs/c.md", "cpp", Dialect::Cpp17, 2),
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let blocks: Vec<&str> =
            text.split("\n```").filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n')).collect();
        assert_eq!(blocks.len(), count, "{page}: {language}");
        for block in blocks {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("example").with_extension(language);
            fs::write(&file, format!("{block}\n")).unwrap();
            let said = String::from_utf8(Program::build(dialect, &[file]).run(&NONE).stdout).unwrap();
            assert!(said.trim_end().starts_with('/'), "a path: {said}");
        }
    }
}

#[test]
fn the_example_uploads_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "0123456789".repeat(100_003)).unwrap();
    let program = Program::build(Dialect::C11, &[root().join("examples/upload.c")]);
    let store = tempfile::tempdir().unwrap();
    let said = program.run_in(store.path(), &[&file]).stdout;
    let path = String::from_utf8(said).unwrap();
    assert_eq!(fs::read(path.trim_end()).unwrap(), fs::read(&file).unwrap());
}

#[test]
#[ignore = "is run by the test below"]
fn a_skipped_program() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("skipped.c");
    let text = "#include <stdio.h>\nint main(void)\n{\n    return fputs(\"skipped: no room\\n\", stderr) < 0;\n}\n";
    fs::write(&source, text).unwrap();
    Program::build(Dialect::C11, &[source]).run(&NONE);
}

/// A program that cannot run on a machine says so; the test that started it is listed.
#[test]
fn skipped_programs_are_listed() {
    let list = tempfile::NamedTempFile::new().unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "a_skipped_program", "--ignored"]).env("UPLOAD_SKIPPED", list.path());
    run(test.env_remove("UPLOAD_SKIP_NOTHING"));
    assert_eq!(fs::read_to_string(list.path()).unwrap(), "programs: a_skipped_program: no room\n");
    assert!(!try_run(test.env("UPLOAD_SKIP_NOTHING", "1")).status.success());
}

// --- transcripts ---

fn transcripts() -> Vec<PathBuf> {
    programs("tests/vectors", "json", &[])
}

fn replays() -> [Program; 2] {
    [(Dialect::C11, "tests/c/replay.c"), (Dialect::Cpp17, "tests/cpp/replay.cpp")]
        .map(|(dialect, source)| Program::build(dialect, &[root().join(source)]))
}

#[test]
fn transcripts_replay() {
    let dir = tempfile::tempdir().unwrap();
    let replays = replays();
    for vector in transcripts() {
        let script = dir.path().join(format!("{}.tsv", stem(&vector)));
        fs::write(&script, vectors::script(&vector)).unwrap();
        for replay in &replays {
            replay.run(&[&script]);
        }
    }
}

/// Whichever fact of a transcript is made wrong, the replay notices.
#[test]
fn a_wrong_transcript_does_not_replay() {
    if runner().is_some() {
        return; // The programs are the same, only slower.
    }
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("wrong.tsv");
    let replays = replays();
    let right = vectors::script(&root().join("tests/vectors/two_chunks.json"));
    let lines: Vec<&str> = right.lines().collect();
    let facts: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].starts_with("expect\t")).collect();
    assert!(facts.len() > 10);
    for at in facts {
        let mut wrong: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        wrong[at] = match lines[at].strip_prefix("expect\tcontent\t") {
            Some(_) => "expect\tcontent\t616263646567\t6".to_owned(),
            None => format!("{}7", lines[at]),
        };
        fs::write(&script, wrong.join("\n") + "\n").unwrap();
        for replay in &replays {
            let (_, output) = replay.try_run(&[&script]);
            assert!(!output.status.success(), "accepted: {}", wrong[at]);
        }
    }
}

// --- tools ---

#[test]
fn programs_are_clean_under_sanitizers() {
    if runner().is_some() {
        return; // The other tests run them under a tool, then.
    }
    let asan = Some(Tool::Asan);
    for source in c_programs().into_iter().filter(|source| can_run(asan, source)) {
        Program::build_for(asan, Dialect::C11, &[source]).run(&NONE);
    }
    for source in cpp_programs() {
        Program::build_for(asan, Dialect::Cpp17, &[source]).run(&NONE);
    }
}

/// The tools that find nothing above do find something when it is there.
#[test]
fn the_tools_bite() {
    let faulty = [root().join("tests/c/faulty.c")];
    let tool = runner().unwrap_or(Tool::Asan);
    let mut traces = match tool {
        Tool::Valgrind => vec![("leak", "definitely lost"), ("read", "Invalid read"), ("handle", "Invalid read")],
        Tool::Asan => vec![("leak", "LeakSanitizer"), ("read", "heap-use-after-free"), ("overflow", "runtime error")],
        Tool::Tsan => vec![("race", "ThreadSanitizer: data race")],
    };
    // What the library itself does is seen where it is compiled for the tool.
    if runner() == Some(Tool::Asan) {
        traces.push(("handle", "heap-use-after-free"));
    }
    let program = Program::build_for(Some(tool), Dialect::C11, &faulty);
    program.run(&["nothing"]);
    for (fault, trace) in traces {
        let (command, output) = program.try_run(&[fault]);
        let said = common::told(&command, &output);
        assert!(!output.status.success() && said.contains(trace), "{said}");
    }
}
