//! O1K: open and first read after SIGKILL. A process of its own fills a store, syncs it, and is killed; each sample opens a
//! copy of what it left. The limit is the scan of as many raw events with a CRC each.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Context;
use super::loaded::check;
use crate::limit::Walk;
use crate::peer::{Result, Rows};
use crate::sample::{Plan, Subject, interleave};
use crate::seen::{Seen, of_stream};
use crate::table::{Line, Must, Unit};

pub fn run(context: &mut Context) -> Result<Vec<Line>> {
    let context = &*context;
    let number = context.tail.min(context.plan.order.len()) - 1;
    let stream = context.plan.order[number] as usize;
    let version = context.plan.events[stream].partition_point(|event| *event as usize <= number) as u64;
    let expected = of_stream(&context.names, &context.plan, stream, version..=version);

    let walk_dir = context.dir.join("O1K-limit");
    let walk = Walk::create(&walk_dir, &context.names, &context.plan)?;
    let mut subjects = vec![Subject::new("limit", || {
        let start = Instant::now();
        let mut seen = Seen::default();
        walk.scan_first(number as u64 + 1, &mut seen)?;
        Ok(Some(vec![start.elapsed().as_secs_f64() * 1e3]))
    })];
    let mut dirs = Vec::new();
    for kind in context.kinds.iter().filter(|kind| kind.rows == Rows::All) {
        context.progress.say(format!("O1K filling {}", kind.name));
        let dir = context.dir.join(format!("O1K-{}", kind.name));
        fill_and_kill(kind.name, &dir, number + 1, context)?;
        dirs.push(dir.clone());
        subjects.push(Subject::new(kind.name, move || {
            let copy = dir.with_extension("copy");
            copy_dir(&dir, &copy)?;
            let mut seen = Seen::default();
            let start = Instant::now();
            let peer = (kind.open)(&copy)?;
            let can = peer.first_read(context.names.stream(stream), version, &mut seen)?;
            let took = start.elapsed().as_secs_f64() * 1e3;
            peer.close()?;
            drop(peer);
            fs::remove_dir_all(copy)?;
            if can.is_some() {
                check(|| "the first read".to_owned(), seen, expected)?;
            }
            Ok(Some(vec![took]))
        }));
    }
    let plan = Plan { repetitions: context.samples.repetitions.min(3), ..context.samples };
    let samples = interleave(plan, "O1K", &mut subjects, &context.progress)?;
    drop(subjects);
    for dir in dirs.into_iter().chain([walk_dir]) {
        fs::remove_dir_all(dir)?;
    }
    let title = format!("open and first read after SIGKILL, {} events in the tail", number + 1);
    Ok(vec![Line::of("O1K", "", &title, Unit::Millis, Must::OfLimit(3.0), &samples, 0)])
}

fn fill_and_kill(peer: &str, dir: &Path, events: usize, context: &Context) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    let mut command = Command::new(std::env::current_exe()?);
    let (short, huge) = (context.plan.short.to_string(), context.plan.events.last().map_or(0, Vec::len).to_string());
    command.args(["fill", peer]).arg(dir).args([&events.to_string(), &short, &huge]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let lines = child.stdout.take().map(|out| BufReader::new(out).lines());
    // Some peers say things of their own.
    let filled = lines.into_iter().flatten().map_while(std::io::Result::ok).any(|line| line.trim() == "filled");
    child.kill()?;
    child.wait()?;
    if filled { Ok(()) } else { Err(format!("{peer} could not be filled to be killed").into()) }
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}
