//! W2: a hundred events per durable commit, one writer.

use super::{Context, w1};
use crate::peer::Result;
use crate::table::{Line, Must};

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    w1::commits(context, "W2", 100, Must::OfLimit(0.85), &mut Vec::new())
}
