//! Page after page of whole stores.

use crate::harm::Harm;
use crate::world::{Sample, open, verify};

const PAGE: usize = 4096;

/// Damages every `step`th page of each file in turn; how many, and how many of them were of segments.
fn sweep(sample: &Sample, step: usize) -> (usize, usize) {
    let pages =
        sample.files.iter().flat_map(|(name, bytes)| (0..bytes.len().div_ceil(PAGE)).map(move |page| (name, page)));
    let (mut tried, mut of_segments) = (0, 0);
    for (number, (name, page)) in pages.enumerate().filter(|(number, _)| number % step == 0) {
        let bytes = &sample.files[name];
        let offset = page * PAGE;
        let length = PAGE.min(bytes.len() - offset);
        let harm = if (number / step).is_multiple_of(2) { Harm::Flip } else { Harm::Zero };
        let files = sample.with(name, harm.done_to(bytes, offset, length));
        let about = format!("{name}, page {page}, {harm:?}");
        tried += 1;
        if name.ends_with(".seg") {
            of_segments += 1;
            let report = verify(&files);
            let near = |offset: u64| (offset as usize) < (page + 1) * PAGE;
            assert!(
                report.problems.iter().any(|p| p.file == *name && near(p.offset)),
                "{about}: {:?}",
                report.problems
            );
            if let Ok(store) = open(&files) {
                sample.read_until_damage(&store, &about);
            }
            sample.assert_salvaged(&files, &about);
        } else if !name.ends_with(".redb") {
            sample.assert_whole(&open(&files).unwrap(), &about);
        }
    }
    (tried, of_segments)
}

#[test]
fn a_store_of_4_mib_page_by_page() {
    let sample = Sample::new(4, if crate::all() { 4200 } else { 400 });
    let bytes: usize = sample.files.values().map(Vec::len).sum();
    let (tried, of_segments) = sweep(&sample, if crate::all() { 1 } else { 9 });
    println!("{bytes} bytes: {tried} pages damaged, {of_segments} of segments");
    assert!(tried > 10 && of_segments > 5);
}
