//! Reads the declarations back out of the generated header: what C programs see, not what the generator was told.

/// Something with a name and a C type.
pub struct Named {
    pub name: String,
    pub ctype: String,
}

pub struct Function {
    pub name: String,
    pub returns: String,
    pub parameters: Vec<Named>,
}

#[derive(Default)]
pub struct Declarations {
    /// Numbers, by name: what they are only a compiler knows.
    pub constants: Vec<String>,
    pub results: Vec<(String, i64)>,
    pub opaque: Vec<String>,
    pub structs: Vec<(String, Vec<Named>)>,
    pub functions: Vec<Function>,
}

impl Declarations {
    /// Panics at whatever it does not understand, so that nothing goes missing.
    pub fn parse(header: &str) -> Declarations {
        let mut found = Declarations::default();
        let text = without_comments(header);
        let (mut code, mut continued) = (String::new(), false);
        for line in text.lines() {
            let directive = line.starts_with('#') || continued;
            continued = directive && line.ends_with('\\');
            if directive {
                found.constant(line);
            } else {
                code += line;
                code += "\n";
            }
        }
        let code = code.replace("extern \"C\" {", "").replace("UPLOAD_MUST_USE", "");
        let mut rest = code.trim();
        while !rest.is_empty() && rest != "}" {
            let end = end_of_declaration(rest);
            found.declaration(rest[..end].trim());
            rest = rest[end + 1..].trim_start();
        }
        found
    }

    /// `#define NAME number`, but for the version, which is no promise, and what is no number.
    fn constant(&mut self, line: &str) {
        let Some(definition) = line.strip_prefix("#define UPLOAD_") else { return };
        let name = definition.split_whitespace().next().unwrap();
        if !name.starts_with("VERSION") && !name.ends_with("_INIT") && name != "MUST_USE" {
            self.constants.push(format!("UPLOAD_{name}"));
        }
    }

    fn declaration(&mut self, text: &str) {
        if let Some(text) = text.strip_prefix("enum upload_result") {
            let body = &text[text.find('{').unwrap() + 1..text.find('}').unwrap()];
            for value in body.split(',').map(str::trim).filter(|value| !value.is_empty()) {
                let (name, number) = value.split_once(" = ").unwrap();
                self.results.push((name.to_owned(), number.parse().unwrap()));
            }
        } else if text.starts_with("typedef") && text.ends_with(" upload_result") {
            // As an enum or, before C23, as an integer: its values are above.
        } else if let Some(text) = text.strip_prefix("typedef struct ") {
            let Some((name, body)) = text.split_once('{') else {
                let (tag, name) = text.split_once(' ').unwrap();
                assert_eq!(tag, name);
                return self.opaque.push(name.to_owned());
            };
            let (body, alias) = body.split_once('}').unwrap();
            assert_eq!(name.trim(), alias.trim());
            let members = body.split(';').map(str::trim).filter(|member| !member.is_empty());
            self.structs.push((name.trim().to_owned(), members.map(named).collect()));
        } else {
            let (head, parameters) = text.strip_suffix(')').unwrap().split_once('(').unwrap();
            let Named { name, ctype: returns } = named(head);
            let parameters = match parameters.trim() {
                "void" => vec![],
                list => list.split(',').map(named).collect(),
            };
            self.functions.push(Function { name, returns, parameters });
        }
    }
}

/// `type name`, `type *name` or `type name[size]`.
fn named(text: &str) -> Named {
    let (text, array) = match text.find('[') {
        Some(start) => text.split_at(start),
        None => (text, ""),
    };
    let text = text.trim();
    let start = text.rfind(|c: char| !c.is_alphanumeric() && c != '_').unwrap() + 1;
    let words: Vec<&str> = text[..start].split_whitespace().filter(|word| *word != "struct").collect();
    Named { name: text[start..].to_owned(), ctype: format!("{}{array}", words.join(" ")) }
}

/// Where the semicolon is that is not within braces.
fn end_of_declaration(text: &str) -> usize {
    let mut depth = 0;
    let end = text.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0 && c == ';'
    });
    end.unwrap_or_else(|| panic!("no end of {text}"))
}

fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        kept += &rest[..start];
        rest = &rest[start + rest[start..].find("*/").expect("the comment ends") + 2..];
    }
    kept += rest;
    kept.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect()
}
