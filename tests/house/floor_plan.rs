//! The floor plan of the sources: a file imports only files of its own storey and of lower ones, and no files import
//! each other in a circle.
//!
//! Every path in the code that begins with `crate`, `super` or `self` counts, in a `use` or not. A path leads to the
//! file that it names. A file that declares another one (`mod`) imports it. So a name that `lib.rs` or a `mod.rs`
//! re-exports makes a circle if it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The storeys of the engine, the lowest first. A file imports files of its own storey and of lower ones.
const STOREYS: [&str; 8] =
    ["api", "rules", "local/files", "local/home.rs", "local/upload", "local/calls", "store.rs", "lib.rs"];

/// The imports of each file of one crate, by paths below its `src`.
type Plan = BTreeMap<String, BTreeSet<String>>;

/// A crate's files by their modules: `["local", "files", "sys"]` is `local/files/sys.rs`.
type Modules = BTreeMap<Vec<String>, String>;

#[test]
fn the_engine_imports_downwards() {
    let plan = plan_of("src");
    let storey = |file: &str| {
        let found = STOREYS.iter().position(|storey| file == *storey || file.starts_with(&format!("{storey}/")));
        found.unwrap_or_else(|| panic!("src/{file} is on no storey"))
    };
    let mut faults = Vec::new();
    for (file, imports) in &plan {
        for import in imports.iter().filter(|import| !is_folder(file) && storey(import) > storey(file)) {
            faults.push(format!("src/{file} imports src/{import}, which lies above it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for sources in ["src", "bindings/c/src", "bindings/python/src"] {
        let circle = circle(&plan_of(sources));
        assert!(circle.is_empty(), "{sources}: {}", circle.join(" -> "));
    }
}

/// docs/design.md draws every file of the engine, in its folder, and no other.
#[test]
fn the_design_draws_the_files_that_there_are() {
    let design = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let design = std::fs::read_to_string(design).unwrap();
    let (mut drawn, mut folder) = (BTreeSet::new(), "");
    for line in design.split("```").nth(1).unwrap().lines() {
        // A wide gap separates names from words about them.
        let names = line.trim_start().split("   ").next().unwrap();
        match names.strip_prefix("src/") {
            Some(file) if file.ends_with(".rs") => drop(drawn.insert(file.to_owned())),
            Some(inner) => folder = inner,
            None if folder.is_empty() => {}
            None => drawn.extend(names.split_whitespace().map(|name| format!("{folder}{name}.rs"))),
        }
    }
    let there: BTreeSet<String> = plan_of("src").into_keys().filter(|file| !is_folder(file)).collect();
    assert_eq!(drawn, there);
}

#[test]
fn a_circle_is_found_wherever_its_paths_stand() {
    let planted = |a: &str, b: &str| {
        let texts = [("lib.rs", "mod a; mod b; pub use a::A;"), ("a.rs", a), ("b.rs", b)];
        circle(&plan(&texts.map(|(name, text)| (name.to_owned(), text.to_owned()))))
    };
    assert_eq!(planted("struct A;", "use crate::a::A;"), [""; 0]);
    assert_eq!(planted("use crate::b::B;", "fn f() -> u8 { [crate::a::A][0] }"), ["a.rs", "b.rs", "a.rs"]);
    assert_eq!(planted("use super::{b::{self, B}};", "fn f() { assert!(super::a::A) }"), ["a.rs", "b.rs", "a.rs"]);
    assert_eq!(
        planted("struct A;", "use crate::A;"),
        ["b.rs", "lib.rs", "b.rs"],
        "by the name that the root passes on"
    );
}

/// Whether the file declares the files of its folder.
fn is_folder(file: &str) -> bool {
    file == "lib.rs" || file.ends_with("mod.rs")
}

fn plan_of(sources: &str) -> Plan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(sources);
    let (mut folders, mut texts) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                texts.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(texts.len() > 5, "{sources} has only {} files", texts.len());
    plan(&texts)
}

fn plan(texts: &[(String, String)]) -> Plan {
    let module = |name: &str| -> Vec<String> {
        let path = name.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').filter(|part| *part != "lib" && !part.is_empty()).map(str::to_owned).collect()
    };
    let modules: Modules = texts.iter().map(|(name, _)| (module(name), name.clone())).collect();
    let imports = |(name, text): &(String, String)| {
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut found = BTreeSet::new();
        collect(stream, &module(name), &modules, &mut found);
        found.remove(name);
        (name.clone(), found)
    };
    texts.iter().map(imports).collect()
}

/// Adds the files to which the paths in this code lead. `here` is the module in which the code stands.
fn collect(stream: TokenStream, here: &[String], modules: &Modules, found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let start = match &tokens[at] {
            TokenTree::Ident(word) if *word == "crate" => Some(Vec::new()),
            TokenTree::Ident(word) if *word == "super" && !here.is_empty() => Some(here[..here.len() - 1].to_vec()),
            TokenTree::Ident(word) if *word == "self" => Some(here.to_vec()),
            _ => None,
        };
        match (&tokens[at], start) {
            (_, Some(start)) if is_separator(&tokens, at + 1) => at = follow(&tokens, at + 3, start, modules, found),
            (TokenTree::Ident(word), _) if *word == "mod" && tokens.len() > at + 2 => {
                let inside = [here, &[tokens[at + 1].to_string()]].concat();
                if let TokenTree::Group(body) = &tokens[at + 2] {
                    // An inline module: `super` in it is the file itself.
                    collect(body.stream(), &inside, modules, found);
                } else {
                    found.extend(modules.get(&inside).cloned());
                }
                at += 3;
            }
            (TokenTree::Group(group), _) => {
                collect(group.stream(), here, modules, found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    colon(at) && colon(at + 1)
}

/// Follows a path from the module `path`, through the braces of a `use`. Returns the position after it.
fn follow(
    tokens: &[TokenTree],
    mut at: usize,
    mut path: Vec<String>,
    modules: &Modules,
    found: &mut BTreeSet<String>,
) -> usize {
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(word)) if *word == "super" => {
                path.pop();
            }
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in inner.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',')) {
                    if !branch.is_empty() {
                        follow(branch, 0, path.clone(), modules, found);
                    }
                }
                return at + 1;
            }
            _ => return at,
        }
        at += 1;
        if !is_separator(tokens, at) {
            let file = (0..=path.len()).rev().find_map(|length| modules.get(&path[..length]));
            found.extend(file.cloned());
            return at;
        }
        at += 2;
    }
}

/// The files of one circle, the first one again at the end. Empty if there is none.
fn circle(plan: &Plan) -> Vec<String> {
    fn visit(file: &str, plan: &Plan, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        if let Some(start) = way.iter().position(|before| before == file) {
            way.drain(..start);
            way.push(file.to_owned());
            return true;
        }
        if done.contains(file) {
            return false;
        }
        way.push(file.to_owned());
        if plan[file].iter().any(|import| visit(import, plan, way, done)) {
            return true;
        }
        way.pop();
        done.insert(file.to_owned());
        false
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    plan.keys().any(|file| visit(file, plan, &mut way, &mut done));
    way
}
