//! Random conversations, compared with a model of fifty lines that knows nothing of files.

mod common;

use chunked_upload::{Chunk, Durability, Error, ErrorKind, Options, Store};
use common::{TestStore, in_child, seeded_bytes};
use proptest::prelude::*;

/// What an upload should be.
struct Model {
    total: u64,
    chunks: Vec<Option<Vec<u8>>>,
    finished: Option<Vec<u8>>,
    taken: bool,
}

impl Model {
    fn chunk(&mut self, number: usize, content: &[u8]) -> Result<bool, ErrorKind> {
        if self.taken {
            return Err(ErrorKind::Gone);
        }
        if self.finished.is_some() && self.chunks[number].as_deref() != Some(content) {
            return Err(ErrorKind::Conflict);
        }
        self.chunks[number] = Some(content.to_vec());
        Ok(self.chunks.iter().all(Option::is_some))
    }

    fn get(&mut self) -> Result<Vec<u8>, (ErrorKind, u64, u64)> {
        if self.taken {
            return Err((ErrorKind::Gone, 0, 0));
        }
        let missing: Vec<u64> = (0..).zip(&self.chunks).filter(|(_, c)| c.is_none()).map(|(n, _)| n).collect();
        if let Some(&first) = missing.first() {
            return Err((ErrorKind::Incomplete, missing.len() as u64, first));
        }
        let whole: Vec<u8> = self.chunks.iter().flatten().flatten().copied().collect();
        if whole.len() as u64 != self.total {
            return Err((ErrorKind::SizeMismatch, whole.len() as u64, self.total));
        }
        self.finished = Some(whole.clone());
        Ok(whole)
    }
}

/// What may happen next.
#[derive(Debug, Clone)]
enum Act {
    /// The chunk as the plan cuts it, with the bytes of variant 0 or another.
    Planned {
        number: usize,
        variant: u64,
    },
    /// A chunk of any size.
    Odd {
        number: usize,
        size: usize,
        variant: u64,
    },
    Get,
    Take,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (any::<prop::sample::Index>(), prop_oneof![4 => Just(0), 1 => 1..3_u64])
            .prop_map(|(number, variant)| Act::Planned { number: number.index(64), variant }),
        2 => (0..64_usize, 0..80_usize, 0..2_u64)
            .prop_map(|(number, size, variant)| Act::Odd { number, size, variant }),
        2 => Just(Act::Get),
        1 => Just(Act::Take),
    ]
}

/// How a file is cut: on a grid with a smaller, larger or empty last chunk, or any way.
fn plan() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        (1..6_usize, 1..50_usize, 0..100_usize).prop_map(|(n, size, last)| {
            let mut sizes = vec![size; n];
            sizes.push(last % (2 * size));
            sizes
        }),
        prop::collection::vec(prop_oneof![1 => Just(0), 4 => 1..60_usize], 1..8),
    ]
}

fn content(number: usize, size: usize, variant: u64) -> Vec<u8> {
    seeded_bytes(size, 1 + number as u64 + 100 * variant)
}

/// One conversation.
fn converse(plan: &[usize], acts: &[Act], durability: Durability) -> Result<(), TestCaseError> {
    let total: u64 = plan.iter().map(|&size| size as u64).sum();
    let store = TestStore::with(Options { durability, ..Options::default() });
    let mut model = Model { total, chunks: vec![None; plan.len()], finished: None, taken: false };
    let mut uid = String::new();
    for act in acts {
        let (number, content) = match *act {
            Act::Planned { number, variant } => {
                let number = number % plan.len();
                (number, content(number, plan[number], variant))
            }
            Act::Odd { number, size, variant } => {
                let number = number % plan.len();
                (number, content(number, size.min(total as usize), variant))
            }
            Act::Get if uid.is_empty() => continue,
            Act::Get => {
                compare_get(&store, &uid, &mut model)?;
                continue;
            }
            Act::Take => {
                if model.finished.is_some() && !model.taken {
                    std::fs::remove_file(store.get(&uid).unwrap().path).unwrap();
                    model.taken = true;
                }
                continue;
            }
        };
        let answer = send(&store, &uid, plan, number, &content);
        match answer {
            Ok((found, received_all)) => {
                uid = found;
                prop_assert_eq!(model.chunk(number, &content), Ok(received_all), "{:?}", act);
            }
            // The model knows nothing of places; that the limit is not hit without need is tested elsewhere.
            Err(Error::LimitExceeded { limit: "data_size", .. }) => {}
            Err(error) if uid.is_empty() => prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument),
            Err(error) if error.kind() == ErrorKind::InvalidArgument => prop_assert!(plan.len() == 1),
            Err(error) => prop_assert_eq!(model.chunk(number, &content), Err(error.kind()), "{}", error),
        }
    }
    if !uid.is_empty() {
        compare_get(&store, &uid, &mut model)?;
    }
    Ok(())
}

fn send(store: &Store, uid: &str, plan: &[usize], number: usize, content: &[u8]) -> Result<(String, bool), Error> {
    let chunk = Chunk {
        upload_uid: uid,
        file_name: "model",
        total_size: plan.iter().map(|&size| size as u64).sum(),
        chunk_number: number as u64,
        chunk_count: plan.len() as u64,
        content,
    };
    store.handle_chunk(&chunk).map(|receipt| (receipt.upload_uid.to_string(), receipt.received_all))
}

fn compare_get(store: &Store, uid: &str, model: &mut Model) -> Result<(), TestCaseError> {
    let answer = match store.get(uid) {
        Ok(finished) => {
            let content = std::fs::read(&finished.path).unwrap();
            prop_assert_eq!(finished.crc32c, crc32c(&content));
            Ok(content)
        }
        Err(Error::Incomplete { missing_count, first_missing, .. }) => {
            Err((ErrorKind::Incomplete, missing_count, first_missing))
        }
        Err(Error::SizeMismatch { received_size, declared_size, .. }) => {
            Err((ErrorKind::SizeMismatch, received_size, declared_size))
        }
        Err(error) => Err((error.kind(), 0, 0)),
    };
    prop_assert_eq!(answer, model.get());
    Ok(())
}

/// Bit by bit, by the definition (RFC 3720 appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82f6_3b78 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(600))]
    #[test]
    fn the_store_does_what_the_model_says(plan in plan(), acts in prop::collection::vec(act(), 1..60)) {
        converse(&plan, &acts, Durability::Process)?;
    }
}

proptest! {
    #![proptest_config(config(60))]
    #[test]
    fn at_the_higher_levels_too(plan in plan(), acts in prop::collection::vec(act(), 1..40), chunk: bool) {
        converse(&plan, &acts, if chunk { Durability::Chunk } else { Durability::Complete })?;
    }

    /// Several threads and processes send the chunks of one file in their own orders, each some twice, while `get` is
    /// asked: it never answers early, the bytes agree, and whoever was last was told that all is there.
    #[test]
    fn many_hands_make_one_file(
        plan in plan(),
        orders in prop::collection::vec(prop::collection::vec(0..64_usize, 1..20), 2..5),
    ) {
        let total: usize = plan.iter().sum();
        let whole: Vec<u8> = (0..).zip(&plan).flat_map(|(number, &size)| content(number, size, 0)).collect();
        let store = TestStore::new();
        let first = orders[0][0] % plan.len();
        let (uid, _) = send(&store, "", &plan, first, &content(first, plan[first], 0)).unwrap();
        let work = |order: &[usize]| {
            for number in order {
                let number = number % plan.len();
                send(&store, &uid, &plan, number, &content(number, plan[number], 0)).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for (hand, order) in orders.iter().enumerate() {
                let work = &work;
                scope.spawn(move || {
                    if hand % 2 == 0 { work(order) } else { assert!(in_child(|| work(order)).success()) }
                });
            }
            match store.get(&uid) {
                Ok(finished) => assert_eq!(std::fs::read(finished.path).unwrap(), whole),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Incomplete),
            }
        });
        let mut all = false;
        for number in 0..plan.len() {
            all = send(&store, &uid, &plan, number, &content(number, plan[number], 0)).unwrap().1;
        }
        prop_assert!(all);
        prop_assert_eq!(store.content(&uid), whole);
        prop_assert_eq!(store.finished(&uid).total_size, total as u64);
    }
}
