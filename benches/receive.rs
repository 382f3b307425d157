//! The time of receiving a file, compared with a plain loop of positional writes of the same bytes, in turn in one run:
//! from Rust, C and Python, in several orders, at each level, with and without checksums.
//!
//! "Least calls" makes only the system calls that the engine needs. "Its calls" makes all system calls of the engine,
//! without its code between them: see common/least.rs.
//!
//! The engine's time is that of all chunks and `get`. Only the syncs of a level wait for the disk.

mod common;

use chunked_upload::Durability;
use common::{Figure, KIB, MIB, Order, Place, Plan, Report, Spread, Took, Worker, in_turn, least, ratios};

fn main() {
    let mut report = Report::new("receive", "receive + get beside plain writes of the same bytes");
    let (c, python) = (common::c_program("receive"), common::python_script("receive"));
    for place in common::places() {
        let sizes = [(64 * KIB, "64 KiB"), (MIB, "1 MiB"), (8 * MIB, "8 MiB")];
        for (size, name) in sizes {
            languages(&mut report, &place, size, name, c.as_ref(), python.as_ref());
        }
        for (order, level, checksum) in [
            (Order::Shuffled, Durability::Process, false),
            (Order::Uneven, Durability::Process, false),
            (Order::UnevenShuffled, Durability::Process, false),
            (Order::Even, Durability::Process, true),
            (Order::Even, Durability::Complete, false),
            (Order::Even, Durability::Chunk, false),
        ] {
            manners(&mut report, &place, order, level, checksum);
        }
        for (size, name) in sizes {
            python_over_c(&mut report, &place, size, name, c.as_ref(), python.as_ref());
        }
    }
    report.finish();
}

/// In order and at level `process`, from each language.
fn languages(
    report: &mut Report,
    place: &Place,
    chunk_size: u64,
    name: &str,
    c: Option<&Worker>,
    python: Option<&Worker>,
) {
    let plan = Plan::new(common::total(1024), chunk_size, Order::Even);
    let content = common::content(plan.longest());
    let directory = place.path();
    let ask = |worker, what| ask(worker, what, place, plan.total, chunk_size);
    let least = |looks| least::receive(directory, &plan, &content, place.name != "tmpfs", looks);
    // Figures that are compared are measured directly after each other.
    let took = in_turn(common::rounds(9), 8, |number| {
        common::warm(plan.total);
        match number {
            0 => Some(least(false)),
            1 => Some(common::plain(directory, &plan, &content, Durability::Process)),
            2 => Some(common::engine(directory, &plan, &content, Durability::Process, &[])),
            3 => Some(least(true)),
            4 => ask(c, "plain"),
            5 => ask(c, "engine"),
            6 => ask(python, "engine"),
            _ => ask(python, "plain"),
        }
    });
    let took: Vec<Option<Vec<Took>>> = took.into_iter().map(|rounds| rounds.into_iter().collect()).collect();
    for (language, plain, engine) in
        [("least calls", 1, 0), ("its calls", 1, 3), ("Rust", 1, 2), ("C", 4, 5), ("Python", 7, 6)]
    {
        if let (Some(plain), Some(engine)) = (&took[plain], &took[engine]) {
            row(report, [&place.name, name, "in order", "process", "none", language], engine, plain);
        }
    }
}

/// Asks a worker; `None` if there is none.
fn ask(worker: Option<&Worker>, what: &str, place: &Place, total: u64, chunk_size: u64) -> Option<Took> {
    let directory = place.path();
    let answer = worker?.ask(&format!("{what} {total} {chunk_size} {}", directory.display()));
    match what {
        "plain" => std::fs::remove_file(directory.join("plain")).unwrap(),
        _ => std::fs::remove_dir_all(directory.join("store")).unwrap(),
    }
    let &[all, get, call, cpu] = &answer[..] else { panic!("not four figures") };
    Some(Took { all, get, call, cpu })
}

/// The extra time of a chunk from Python. It is so small that a large file hides it, for example by the origin of its
/// pages.
fn python_over_c(
    report: &mut Report,
    place: &Place,
    chunk_size: u64,
    name: &str,
    c: Option<&Worker>,
    python: Option<&Worker>,
) {
    let total = common::total(256);
    let took = in_turn(common::rounds(31), 2, |number| {
        common::warm(total);
        ask([c, python][number], "engine", place, total, chunk_size)
    });
    let took: Vec<Option<Vec<Took>>> = took.into_iter().map(|rounds| rounds.into_iter().collect()).collect();
    let [Some(c), Some(python)] = &took[..] else { return };
    let more = |figure: fn(&Took) -> f64| {
        let microseconds = |took: &Took| figure(took) * 1e6;
        Spread::of(python.iter().zip(c).map(|(python, c)| microseconds(python) - microseconds(c)))
    };
    // Median calls are compared: a few of a thousand calls are slow because of the machine.
    report.row(
        &[("file system", &place.name), ("chunk", name), ("figure", "Python over C")],
        &[("a chunk", Figure("µs", more(|took| took.call))), ("get", Figure("µs", more(|took| took.get)))],
    );
}

/// Measures from Rust, in chunks of 1 MiB.
fn manners(report: &mut Report, place: &Place, order: Order, level: Durability, checksum: bool) {
    // Syncing 1 GiB in each round would measure the disk, not the engine.
    let total = common::total(if level == Durability::Process { 1024 } else { 128 });
    let plan = Plan::new(total, MIB, order);
    let content = common::content(plan.longest());
    // The client makes the checksums, so they are made before the clock starts.
    let checksums: Vec<String> = if checksum {
        let whole = common::sha_256(&content);
        plan.chunks.iter().map(|_| whole.clone()).collect()
    } else {
        Vec::new()
    };
    let directory = place.path();
    let took = in_turn(common::rounds(9), 2, |number| {
        common::warm(plan.total);
        match number {
            0 => common::plain(directory, &plan, &content, level),
            _ => common::engine(directory, &plan, &content, level, &checksums),
        }
    });
    let checksum = if checksum { "sha-256" } else { "none" };
    row(report, [&place.name, "1 MiB", order.name(), level.name(), checksum, "Rust"], &took[1], &took[0]);
}

fn row(report: &mut Report, tried: [&str; 6], engine: &[Took], plain: &[Took]) {
    let names = ["file system", "chunk", "order", "level", "checksum", "from"];
    let tried: Vec<(&str, &str)> = names.into_iter().zip(tried).collect();
    report.row(
        &tried,
        &[
            ("plain", Figure("ms", Spread::of(plain.iter().map(|took| took.all * 1e3)))),
            ("engine", Figure("ms", Spread::of(engine.iter().map(|took| took.all * 1e3)))),
            ("get", Figure("µs", Spread::of(engine.iter().map(|took| took.get * 1e6)))),
            ("ratio", Figure("", ratios(engine, plain, |took| took.all))),
            ("cpu ratio", Figure("", ratios(engine, plain, |took| took.cpu))),
        ],
    );
}
