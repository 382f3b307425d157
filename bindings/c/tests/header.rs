//! The header, generated from the source, and the machine-readable `abi.json`, generated from the header, are both
//! committed; this test fails when one is stale. `BLESS=1` (`make header`) writes them anew.

mod common;
#[path = "header/declarations.rs"]
mod declarations;
#[path = "header/pointers.rs"]
mod pointers;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{cc, root, run};
use declarations::{Declarations, Named};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn the_header_is_fresh() {
    fresh(&root().join("include/chunked_upload.h"), &header());
}

#[test]
fn abi_json_is_fresh() {
    let path = root().join("bindings/c/abi/abi.json");
    let committed = since(&fs::read_to_string(&path).unwrap_or_default());
    let text = abi_json(&header(), &committed);
    let declared = since(&text);
    for (name, version) in &committed {
        // Not even a blessing loses one. Where no release had it yet, its line can be deleted by hand.
        assert!(declared.contains_key(name), "{name} is missing: programs have it since {version}");
    }
    fresh(&path, &text);
}

/// Compares, or writes if blessed.
fn fresh(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, text).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    let line = committed.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = line.unwrap_or(committed.lines().count().min(text.lines().count())) + 1;
    assert!(committed == text, "{} is stale from line {line} on: run `make header`", path.display());
}

fn header() -> String {
    let crate_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    config.header = Some(preamble(&fs::read_to_string(crate_dir.join("src/lib.rs")).unwrap()));
    let [major, minor, patch] = VERSION.split('.').collect::<Vec<_>>().try_into().expect("a version of three numbers");
    let version = format!(
        "\n/* The version of this header. upload_version() is the version of the running library. */\n\
         #define UPLOAD_VERSION \"{VERSION}\"\n\
         #define UPLOAD_VERSION_MAJOR {major}\n\
         #define UPLOAD_VERSION_MINOR {minor}\n\
         #define UPLOAD_VERSION_PATCH {patch}\n\
         #define UPLOAD_VERSION_NUMBER \
         (UPLOAD_VERSION_MAJOR * 1000000 + UPLOAD_VERSION_MINOR * 1000 + UPLOAD_VERSION_PATCH)\n"
    );
    config.after_includes = Some(format!("{version}\n{}", config.after_includes.unwrap()));
    let bindings = cbindgen::Builder::new().with_config(config).with_crate(crate_dir).generate().unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap() + "\n"
}

/// The crate's documentation as a C comment.
fn preamble(lib: &str) -> String {
    let mut comment = String::from("/* Generated from bindings/c/src by `make header`.\n *\n");
    for line in lib.lines().map_while(|line| line.strip_prefix("//!")) {
        assert!(!line.contains("*/") && !line.contains("/*"), "a comment within the comment: {line}");
        writeln!(comment, " *{line}").unwrap();
    }
    comment + " */"
}

/// Since which version each name is there, as the committed `abi.json` has it.
fn since(committed: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let abi: serde_json::Value = serde_json::from_str(committed).unwrap_or_default();
    let mut add = |prefix: &str, item: &serde_json::Value| {
        let name = item["name"].as_str().unwrap();
        names.insert(format!("{prefix}{name}"), item["since"].as_str().unwrap().to_owned());
    };
    for list in ["constants", "results", "opaque", "structs", "functions"] {
        for item in abi[list].as_array().into_iter().flatten() {
            add("", item);
            for member in item["members"].as_array().into_iter().flatten() {
                add(&format!("{}.", item["name"].as_str().unwrap()), member);
            }
        }
    }
    names
}

/// All that another language needs to call the library, without parsing C. A line for each name.
fn abi_json(header: &str, since: &BTreeMap<String, String>) -> String {
    let declared = Declarations::parse(header);
    let layout = layout(&declared);
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    // What is not in the committed file is new in this version.
    let since = |name: &str| format!("\"since\": {}", quoted(since.get(name).map_or(VERSION, String::as_str)));
    let lines = |lines: Vec<String>| format!("[\n    {}\n  ]", lines.join(",\n    "));
    let value =
        |name: &str, value: &str| format!("{{\"name\": {}, \"value\": {value}, {}}}", quoted(name), since(name));
    let constants = declared.constants.iter().map(|name| value(name, &layout[name].0.to_string()));
    let results = declared.results.iter().map(|(name, number)| value(name, &number.to_string()));
    let opaque = declared.opaque.iter().map(|name| format!("{{\"name\": {}, {}}}", quoted(name), since(name)));
    let structs = declared.structs.iter().map(|(name, members)| {
        let lines = members.iter().enumerate().map(|(index, member)| {
            let full = format!("{name}.{}", member.name);
            let (offset, size) = layout[&full];
            let initial = match layout[&format!("{full}=")].0 {
                0 if member.ctype.contains('*') => "null".to_owned(),
                0 if member.ctype.contains('[') => quoted(""),
                number => number.to_string(),
            };
            format!(
                "      {{\"name\": {}, \"type\": {}, \"offset\": {offset}, \"size\": {size}, \"initial\": {initial}, \
                 \"direction\": {}{}, {}}}",
                quoted(&member.name),
                quoted(&member.ctype),
                quoted(pointers::direction_of_member(name, &member.name)),
                pointers::member(members, index),
                since(&full)
            )
        });
        let members = lines.collect::<Vec<_>>().join(",\n");
        let (alignment, size) = layout[name];
        format!(
            "{{\"name\": {}, \"size\": {size}, \"alignment\": {alignment}, {}, \"members\": [\n{members}\n    ]}}",
            quoted(name),
            since(name)
        )
    });
    let functions = declared.functions.iter().map(|function| {
        let parameters = function.parameters.iter().enumerate().map(|(index, parameter)| {
            format!(
                "\n      {{\"name\": {}, \"type\": {}{}}}",
                quoted(&parameter.name),
                quoted(&parameter.ctype),
                pointers::parameter(function, index, &declared)
            )
        });
        format!(
            "{{\"name\": {}, \"returns\": {}{}, {}, \"parameters\": [{}]}}",
            quoted(&function.name),
            quoted(&function.returns),
            pointers::returned(function),
            since(&function.name),
            parameters.collect::<Vec<_>>().join(",")
        )
    });
    let text = format!(
        "{{\n  \"version\": {},\n  \"soname\": {},\n  \"result_type\": \"int32_t\",\n  \"constants\": {},\n  \
         \"results\": {},\n  \"opaque\": {},\n  \"structs\": {},\n  \"functions\": {}\n}}\n",
        quoted(VERSION),
        quoted(&common::soname()),
        lines(constants.collect()),
        lines(results.collect()),
        lines(opaque.collect()),
        lines(structs.collect()),
        lines(functions.collect()),
    );
    serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON");
    text
}

/// Offset and size of every member, and alignment and size of every struct, as a C compiler sees them, and the value of
/// every constant and, as `struct.member=`, of every member at first. That Rust sees the same is asserted in
/// src/chunk.rs.
fn layout(declared: &Declarations) -> BTreeMap<String, (usize, usize)> {
    let mut program = String::from("#include <chunked_upload.h>\n#include <stdio.h>\nint main(void) {\n");
    let mut show = |name: &str, first: String, size: String| {
        writeln!(program, "printf(\"{name} %zu %zu\\n\", {first}, {size});").unwrap();
    };
    for name in &declared.constants {
        show(name, format!("(size_t)({name})"), format!("sizeof({name})"));
    }
    for (name, members) in &declared.structs {
        let init = format!("((const {name})UPLOAD_{}_INIT)", name.trim_start_matches("upload_").to_uppercase());
        show(name, format!("_Alignof({name})"), format!("sizeof({name})"));
        for Named { name: member, ctype } in members {
            let first = if ctype.contains('[') { "[0]" } else { "" };
            show(&format!("{name}.{member}="), format!("(size_t){init}.{member}{first}"), "(size_t)0".into());
            show(
                &format!("{name}.{member}"),
                format!("offsetof({name}, {member})"),
                format!("sizeof((({name} *)0)->{member})"),
            );
        }
    }
    program += "return 0;\n}\n";
    let dir = tempfile::tempdir().unwrap();
    let (source, binary) = (dir.path().join("layout.c"), dir.path().join("layout"));
    fs::write(&source, program).unwrap();
    run(cc().arg("-I").arg(root().join("include")).arg(&source).arg("-o").arg(&binary));
    let output = String::from_utf8(run(&mut Command::new(binary)).stdout).unwrap();
    let entry = |line: &str| {
        let [name, first, size] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        (name.to_owned(), (first.parse().unwrap(), size.parse().unwrap()))
    };
    output.lines().map(entry).collect()
}
