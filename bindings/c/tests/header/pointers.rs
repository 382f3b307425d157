//! What `abi.json` says of pointers beyond their type: which way the bytes go, whether it may be NULL, which number is
//! its length, and who frees what. tests/generated.rs calls the library by it.

use crate::declarations::{Declarations, Function, Named};

/// Parameters that may be NULL, beside those that [`may_be_null`] knows by rule.
const MAY_BE_NULL: [&str; 3] = ["upload_store_open.options", "upload_move_to.finished", "upload_cleanup.cleaned"];

/// Functions whose answer is never NULL.
const NEVER_NULL: [&str; 3] = ["upload_result_name", "upload_error_message", "upload_version"];

/// `direction`, and for a pointer `nullable`, `length` and `free`.
pub fn parameter(function: &Function, index: usize, declared: &Declarations) -> String {
    let Named { name, ctype } = &function.parameters[index];
    let frees = function.name.ends_with("_free");
    let direction = match ctype.as_str() {
        _ if frees || !ctype.contains('*') || ctype.starts_with("const ") => "in",
        "char *" => "out",
        _ if ctype.ends_with("**") => "out",
        // A struct: the call reads struct_size and writes the other members. Or a handle that the call changes.
        _ => "inout",
    };
    let mut text = format!(", \"direction\": \"{direction}\"");
    if ctype.contains('*') {
        text += &format!(", \"nullable\": {}", may_be_null(function, name));
        text += &length(&function.parameters, index);
    }
    if frees {
        text += ", \"frees\": true";
    } else if let Some(handle) = ctype.strip_suffix(" **") {
        text += &free(handle, declared);
    }
    text
}

/// Handles are freed by the function of their name.
fn free(handle: &str, declared: &Declarations) -> String {
    let free = format!("{handle}_free");
    assert!(declared.functions.iter().any(|function| function.name == free), "{free}");
    format!(", \"free\": \"{free}\"")
}

fn may_be_null(function: &Function, parameter: &str) -> bool {
    // What asks a handle, or frees it, accepts NULL.
    parameter == "error"
        || function.returns != "upload_result"
        || function.name == "upload_error_code"
        || MAY_BE_NULL.contains(&format!("{}.{parameter}", function.name).as_str())
}

/// Which number says how many bytes there are, where that is not the NUL of a text.
fn length(of: &[Named], index: usize) -> String {
    match of[index].ctype.as_str() {
        "const void *" => {
            assert_eq!(of[index + 1].ctype, "size_t", "the size of {}", of[index].name);
            format!(", \"length\": \"{}\"", of[index + 1].name)
        }
        "char *" => ", \"length\": \"UPLOAD_UID_SIZE\"".to_owned(),
        _ => String::new(),
    }
}

/// Structs that a call fills are read as far as their size.
pub fn direction_of_member(name: &str, member: &str) -> &'static str {
    let answer = ["upload_receipt", "upload_cleaned"].contains(&name);
    if answer && member != "struct_size" { "out" } else { "in" }
}

/// Of a pointer in a struct: zero means absent.
pub fn member(members: &[Named], index: usize) -> String {
    match members[index].ctype.contains('*') {
        true => format!(", \"nullable\": true{}", length(members, index)),
        false => String::new(),
    }
}

/// Of a pointer that a function returns: a new handle, or a text of a handle or of the library.
pub fn returned(function: &Function) -> String {
    if !function.returns.contains('*') {
        return String::new();
    }
    let nullable = !NEVER_NULL.contains(&function.name.as_str());
    let owner = match function.parameters.first() {
        _ if !function.returns.starts_with("const ") => {
            format!("\"free\": \"{}_free\"", function.returns.trim_end_matches(" *"))
        }
        Some(handle) if handle.ctype.contains('*') => format!("\"owner\": \"{}\"", handle.name),
        _ => "\"owner\": \"static\"".to_owned(),
    };
    format!(", \"nullable\": {nullable}, {owner}")
}
