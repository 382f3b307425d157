//! Figures of many rounds, and their statistics.

/// The spread of some figures.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub min: f64,
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
    pub max: f64,
    pub count: usize,
}

impl Spread {
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1).expect("at least one round");
        // Interpolates between the two nearest figures.
        let at = |part: f64| {
            let place = part * last as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Spread { min: at(0.0), q1: at(0.25), median: at(0.5), q3: at(0.75), max: at(1.0), count: sorted.len() }
    }
}

/// Each round's ratio.
pub fn ratios<T>(of: &[T], to: &[T], figure: impl Fn(&T) -> f64) -> Spread {
    Spread::of(of.iter().zip(to).map(|(of, to)| figure(of) / figure(to)))
}

/// The results of each try, round by round. The tries run one after the other, every second round backwards, so that
/// none always follows the same other. One round before the first warms up, and is not counted.
pub fn in_turn<T>(rounds: usize, tries: usize, mut try_number: impl FnMut(usize) -> T) -> Vec<Vec<T>> {
    let mut answers: Vec<Vec<T>> = (0..tries).map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..=rounds {
        let mut turns: Vec<usize> = (0..tries).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for turn in turns {
            let answer = try_number(turn);
            if round > 0 {
                answers[turn].push(answer);
            }
        }
    }
    answers
}
