//! Brings a transcript of tests/vectors into the form that replay.c describes, so that no C program has to read JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

pub fn script(vector: &Path) -> String {
    let vector: Value = serde_json::from_str(&std::fs::read_to_string(vector).unwrap()).unwrap();
    let mut script = String::new();
    let mut line = |words: &[&str]| {
        assert!(words.iter().all(|word| !word.contains(['\t', '\n', '\0'])), "{words:?}");
        writeln!(script, "{}", words.join("\t")).unwrap();
    };
    for (name, value) in vector["options"].as_object().into_iter().flatten() {
        line(&["option", name, &text(value)]);
    }
    for step in vector["steps"].as_array().unwrap() {
        for (name, value) in step.as_object().unwrap() {
            match (name.as_str(), value) {
                ("expect", _) => {}
                ("content", content) => {
                    let [hex, size] = pattern(content);
                    line(&["content", &hex, &size]);
                }
                (name, value) => line(&[name, &text(value)]),
            }
        }
        for (name, value) in step["expect"].as_object().into_iter().flatten() {
            if name == "content" {
                let [hex, size] = pattern(value);
                line(&["expect", name, &hex, &size]);
            } else {
                line(&["expect", name, &text(value)]);
            }
        }
        line(&["end"]);
    }
    script
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The bytes that are repeated, in hexadecimal, and how many bytes there are in all.
fn pattern(content: &Value) -> [String; 2] {
    let hex = content.get("hex").map(|hex| hex.as_str().unwrap().to_owned());
    match hex {
        Some(hex) => {
            let size = hex.len() / 2;
            [hex, size.to_string()]
        }
        None => [content["repeat"].as_str().unwrap().to_owned(), content["size"].as_u64().unwrap().to_string()],
    }
}
