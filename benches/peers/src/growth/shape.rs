//! Which event goes to which stream, known without a list of them: events come in rounds, and in each round every stream
//! gets one, in an order of the round's own.

use crate::work::Random;

#[derive(Clone, Debug)]
pub struct Shape {
    streams: u64,
    rounds: Vec<Round>,
}

/// The order of a round: its `at`-th event goes to stream `at * step + shift`, modulo the streams.
#[derive(Clone, Copy, Debug)]
struct Round {
    step: u64,
    /// `step * back` is 1, modulo the streams.
    back: u64,
    shift: u64,
}

impl Shape {
    pub fn new(streams: u64, rounds: u64) -> Self {
        let mut random = Random::new(0x9408);
        let mut round = || loop {
            let step = random.next() % streams;
            if let Some(back) = inverse(step, streams) {
                return Round { step, back, shift: random.next() % streams };
            }
        };
        Self { streams, rounds: (0..rounds).map(|_| round()).collect() }
    }

    pub fn streams(&self) -> usize {
        self.streams as usize
    }

    pub fn events(&self) -> u64 {
        self.streams * self.rounds.len() as u64
    }

    /// How many events each stream has.
    pub fn versions(&self) -> u64 {
        self.rounds.len() as u64
    }

    /// The stream of an event, numbered from 0.
    pub fn stream_of(&self, number: u64) -> usize {
        let round = self.rounds[(number / self.streams) as usize];
        (product(number % self.streams, round.step, self.streams) + round.shift).rem_euclid(self.streams) as usize
    }

    /// The number of a stream's event of a version, from 1.
    pub fn number_of(&self, stream: usize, version: u64) -> u64 {
        let round = self.rounds[version as usize - 1];
        let shifted = (stream as u64 + self.streams - round.shift) % self.streams;
        (version - 1) * self.streams + product(shifted, round.back, self.streams)
    }
}

fn product(a: u64, b: u64, modulus: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(modulus)) as u64
}

/// By Euclid; none where the two share a factor.
fn inverse(value: u64, modulus: u64) -> Option<u64> {
    let (mut a, mut b, mut x, mut y) = (i128::from(value), i128::from(modulus), 1, 0);
    while b != 0 {
        (a, b, x, y) = (b, a % b, y, x - a / b * y);
    }
    (a == 1).then(|| x.rem_euclid(i128::from(modulus)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_has_one_event_a_round_and_is_found_again() {
        for streams in [1, 7, 64, 1_000] {
            let shape = Shape::new(streams, 5);
            let mut versions = vec![0; streams as usize];
            for number in 0..shape.events() {
                let stream = shape.stream_of(number);
                versions[stream] += 1;
                assert_eq!(versions[stream], number / streams + 1);
                assert_eq!(shape.number_of(stream, versions[stream]), number);
            }
            assert!(versions.iter().all(|version| *version == 5));
        }
    }
}
