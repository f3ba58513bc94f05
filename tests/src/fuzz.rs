//! A mutation driver for everything that reads bytes from outside, on the stable toolchain.
//!
//! A target is a plain function over bytes that may refuse but never panic. Inputs grow from seeds
//! by mutations drawn from one number; the same number gives the same inputs. There is no coverage
//! feedback: the dictionary and the splices stand in for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

mod codec;
mod formats;
mod guard;
mod hook;
mod mutate;
mod notify;
mod rollout;
mod state;
mod targets;

pub use mutate::Mutator;
pub use targets::TARGETS;

/// Bytes of an input; longer ones are cut.
const INPUT_BYTES: usize = 4096;

/// Inputs kept beside the seeds, each in place of an older one.
const POOL: usize = 64;

/// Something that reads bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// For messages and to choose one.
    pub name: &'static str,
    /// Reads; it panics only where there is a defect.
    pub run: fn(&[u8]),
    /// Well-formed inputs to start from; not empty.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that mean something to the reader.
    pub dictionary: &'static [&'static [u8]],
}

/// An input on which a target panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The target.
    pub target: &'static str,
    /// Its input in hexadecimal.
    pub input: String,
    /// What the panic said.
    pub message: String,
}

/// Runs a target on its seeds and then on `count` mutated inputs; stops at the first panic.
///
/// # Errors
/// The input that made the target panic.
///
/// # Panics
/// The target has no seeds.
pub fn drive(target: &Target, seed: u64, count: u64) -> Result<(), Failure> {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    for input in &seeds {
        run(target, input)?;
    }
    let mut mutator = Mutator::new(seed, target.dictionary);
    let mut pool: Vec<Vec<u8>> = Vec::new();
    for _ in 0..count {
        // Mostly from the seeds: what was changed often is refused by its first bytes.
        let kept = if mutator.below(4) == 0 { pool.len() } else { 0 };
        let base = mutator.below(seeds.len() + kept);
        let other = mutator.below(seeds.len() + pool.len());
        let pick = |index: usize| seeds.get(index).or_else(|| pool.get(index - seeds.len()));
        let (Some(base), Some(other)) = (pick(base), pick(other)) else { continue };
        let mut input = base.clone();
        mutator.mutate(&mut input, other);
        input.truncate(INPUT_BYTES);
        run(target, &input)?;
        // Without coverage any input may lead on; a few at random keep the pool moving.
        if mutator.below(16) == 0 {
            if pool.len() == POOL {
                pool.swap_remove(mutator.below(POOL));
            }
            pool.push(input);
        }
    }
    Ok(())
}

fn run(target: &Target, input: &[u8]) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Failure {
            target: target.name,
            input: input.iter().map(|byte| format!("{byte:02x}")).collect(),
            message: text.unwrap_or_else(|| "a panic without words".to_owned()),
        }
    })
}

/// The bytes of an input that a failure printed; `None` if it is not hexadecimal.
#[must_use]
pub fn input_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hexadecimal
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Enough for every mutation of every seed; the soak run takes many more.
    const COUNT: u64 = 4000;

    #[test]
    fn no_target_panics() {
        for target in TARGETS {
            for seed in [1, 2] {
                if let Err(failure) = drive(target, seed, COUNT) {
                    panic!("{failure:?}");
                }
            }
        }
    }

    const BROKEN: Target = Target {
        name: "broken",
        run: |input| assert!(!input.windows(2).any(|pair| pair == [0xff, b'z']), "found"),
        seeds: || vec![b"abc".to_vec(), b"xyz".to_vec()],
        dictionary: &[],
    };

    #[test]
    fn a_panic_is_found_and_told_so_that_it_can_be_repeated() {
        let failure = drive(&BROKEN, 7, 1_000_000).unwrap_err();
        assert_eq!((failure.target, failure.message.as_str()), ("broken", "found"));
        let input = input_of(&failure.input).unwrap();
        assert!(input.windows(2).any(|pair| pair == [0xff, b'z']));
        assert_eq!(drive(&BROKEN, 7, 1_000_000), Err(failure));
        assert_eq!(input_of("abc"), None);
        assert_eq!(input_of("zz"), None);
    }

    static SEEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let target = Target {
            name: "recorder",
            run: |input| SEEN.lock().unwrap().push(input.to_vec()),
            seeds: || vec![b"seed".to_vec(), Vec::new()],
            dictionary: &[b"word"],
        };
        let inputs = |seed| {
            drive(&target, seed, 500).unwrap();
            std::mem::take(&mut *SEEN.lock().unwrap())
        };
        let first = inputs(1);
        assert_eq!(first.len(), 502);
        assert_eq!(first, inputs(1));
        assert_ne!(first, inputs(2));
        assert!(first.iter().all(|input| input.len() <= INPUT_BYTES));
        assert!(first.iter().any(|input| input.windows(4).any(|part| part == b"word")));
    }
}
