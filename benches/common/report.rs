//! The results: a table for people, and JSON for programs.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Spread, smoke};

/// A measured figure in a unit; "" for a ratio.
pub struct Figure(pub &'static str, pub Spread);

impl Figure {
    pub fn once(unit: &'static str, figure: f64) -> Figure {
        Figure(unit, Spread::of([figure]))
    }
}

pub struct Report {
    bench: &'static str,
    rows: Vec<Value>,
    columns: Vec<String>,
    load_before: Value,
}

impl Report {
    pub fn new(bench: &'static str, about: &str) -> Report {
        println!("{bench}: {about}\nmedians of all rounds [quartiles]");
        Report { bench, rows: Vec::new(), columns: Vec::new(), load_before: load() }
    }

    /// A row: the try, which identifies the row in other runs, and its figures.
    pub fn row(&mut self, tried: &[(&str, &str)], measured: &[(&str, Figure)]) {
        const WIDTH: usize = 23;
        let mut columns: Vec<String> = tried.iter().map(|(name, _)| format!("{name:<14}")).collect();
        columns.extend(measured.iter().map(|(name, Figure(unit, _))| {
            let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
            format!("{:>WIDTH$}", format!("{name}{unit}"))
        }));
        if columns != self.columns {
            println!("\n{}", columns.join(" "));
            self.columns = columns;
        }
        let mut cells: Vec<String> = tried.iter().map(|(_, value)| format!("{value:<14}")).collect();
        cells.extend(measured.iter().map(|(_, figure)| format!("{:>WIDTH$}", shown(figure))));
        println!("{}", cells.join(" "));

        let tried: Map<String, Value> = tried.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let measured: Map<String, Value> =
            measured.iter().map(|(name, figure)| (name.to_string(), all(figure))).collect();
        self.rows.push(json!({ "tried": tried, "measured": measured }));
    }

    /// Writes the figures to `build/bench/<bench>.json`. Smoke runs do not overwrite figures.
    pub fn finish(self) {
        let mut directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("build/bench");
        if smoke() {
            directory.push("smoke");
        }
        let report = json!({
            "bench": self.bench,
            "version": env!("CARGO_PKG_VERSION"),
            "machine": {
                "cpus": std::thread::available_parallelism().map_or(0, |count| count.get()),
                "cpu": line("/proc/cpuinfo", "model name"),
                "memory": line("/proc/meminfo", "MemTotal"),
                "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
                "load_before": self.load_before,
                "load_after": load(),
            },
            "rows": self.rows,
        });
        std::fs::create_dir_all(&directory).expect("a place for the figures");
        let text = serde_json::to_string_pretty(&report).expect("plain values");
        std::fs::write(directory.join(self.bench).with_extension("json"), text + "\n").expect("the figures are kept");
        println!();
    }
}

fn all(Figure(unit, spread): &Figure) -> Value {
    json!({
        "unit": unit, "median": spread.median, "min": spread.min, "q1": spread.q1, "q3": spread.q3, "max": spread.max,
        "rounds": spread.count,
    })
}

fn shown(Figure(unit, spread): &Figure) -> String {
    let shown = |figure: f64| match figure.abs() {
        // A ratio that was counted, not timed.
        _ if unit.is_empty() && spread.count == 1 => format!("{figure:.5}"),
        0.0..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    };
    match spread.count {
        1 => shown(spread.median),
        _ => format!("{} [{}, {}]", shown(spread.median), shown(spread.q1), shown(spread.q3)),
    }
}

fn load() -> Value {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok()).into()
}

fn line(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}
