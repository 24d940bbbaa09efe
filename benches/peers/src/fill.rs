//! A process of its own that fills a store and waits to be killed, for O1K.

use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::peer::Result;
use crate::work::{Names, Plan};
use crate::{peers, rows};

pub fn fill(peer: &str, dir: &Path, events: usize, short: usize, huge: usize) -> Result<()> {
    let plan = Plan::new(short, huge);
    let names = Names::leak(plan.streams());
    for kind in peers::named(&[peer.to_owned()])? {
        let peer = (kind.open)(dir)?;
        rows::load(peer.as_ref(), &names, &plan, events)?;
        println!("filled");
        std::io::stdout().flush()?;
        // Until killed, or until nobody is left to do so.
        std::io::stdin().read_to_end(&mut Vec::new())?;
    }
    Ok(())
}
