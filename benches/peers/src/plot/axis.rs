//! An axis: its name, how values stand on it, and where its ticks are.

use crate::stats::range;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From nought.
    Linear,
    /// With a tick at each power of a base; of 10 also between them, as far as there is room.
    Log(f64),
}

pub struct Axis {
    /// With its unit.
    pub name: &'static str,
    pub scale: Scale,
    pub text: fn(f64) -> String,
}

impl Axis {
    /// Where the axis begins and ends, for these values.
    pub fn ends(&self, values: &[f64]) -> (f64, f64) {
        let (low, high) = range(values);
        match self.scale {
            Scale::Linear => (0.0, high.max(f64::MIN_POSITIVE) * 1.03),
            Scale::Log(_) if high / low < 1.5 => (low / 1.5, high * 1.5),
            Scale::Log(_) => (low, high),
        }
    }

    /// The same with some room at both ends, for the axis that is not walked along.
    pub fn wide_ends(&self, values: &[f64]) -> (f64, f64) {
        let (low, high) = self.ends(values);
        let room = (high / low).powf(0.06);
        if self.scale == Scale::Linear { (low, high) } else { (low / room, high * room) }
    }

    /// Where a value stands, from 0 to 1.
    pub fn share(&self, value: f64, (low, high): (f64, f64)) -> f64 {
        match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log(_) => (value / low).ln() / (high / low).ln(),
        }
    }

    pub fn ticks(&self, (low, high): (f64, f64)) -> Vec<f64> {
        let within = |ticks: Vec<f64>| -> Vec<f64> {
            ticks.into_iter().filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect()
        };
        match self.scale {
            Scale::Linear => {
                let rough = high / 6.0;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
                let step = step.unwrap_or(rough);
                within((0..=10).map(|at| f64::from(at) * step).collect())
            }
            Scale::Log(base) => {
                let powers = (low.log(base).floor() as i32..=high.log(base).ceil() as i32).map(|at| base.powi(at));
                let times: &[f64] = match (high / low).log10() {
                    decades if base != 10.0 || decades > 3.5 => &[1.0],
                    decades if decades > 1.0 => &[1.0, 2.0, 5.0],
                    _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
                };
                within(powers.flat_map(|power| times.iter().map(move |times| times * power)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis { name: "", scale, text: |value| value.to_string() }
    }

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(axis(Scale::Linear).ticks((0.0, 430.0)), [0.0, 100.0, 200.0, 300.0, 400.0]);
        assert_eq!(axis(Scale::Log(2.0)).ticks((1.0, 128.0)), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]);
        assert_eq!(axis(Scale::Log(10.0)).ticks((30.0, 1_500.0)), [50.0, 100.0, 200.0, 500.0, 1_000.0]);
        assert_eq!(axis(Scale::Log(10.0)).ticks((1.0, 1e5)), [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]);
    }
}
