//! `atlas queue list`: which queues there are, and how full and how old they are.

use std::collections::BTreeMap;

use atlas::dispatch::QueueInfo;
use atlas::event::Name;
use atlas::storage::{Clock, SystemClock};
use atlas::{Atlas, Scope, Timestamp, TreeScope};

use crate::failure::Outcome;
use crate::output::{Output, message};
use crate::table::{Column, Table};

/// List queues: how many messages they hold, how many are leased, how many are dead letters, how old the oldest is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  atlas queue list --scope bank/loans")]
pub(crate) struct Arguments {
    /// Only queues of this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

/// Queues that trees in use configure, also empty ones, and all that hold messages; one row for each group.
pub(super) async fn run(atlas: &Atlas, arguments: &Arguments, output: &mut Output) -> Outcome {
    let mut queues: BTreeMap<(Scope, Name, Option<Name>), QueueInfo> = BTreeMap::new();
    let trees = atlas.catalog().trees()?;
    let scopes = trees.iter().filter_map(|known| TreeScope::scope(&known.tree)).chain(arguments.scope.clone());
    for scope in scopes.filter(|scope| arguments.scope.as_ref().is_none_or(|wanted| wanted == scope)) {
        for (name, options) in atlas.catalog().queues(&scope) {
            let groups = match options.groups.is_empty() {
                true => vec![None],
                false => options.groups.into_iter().map(Some).collect(),
            };
            for group in groups {
                let (scope, name) = (scope.clone(), name.clone());
                let key = (scope.clone(), name.clone(), group.clone());
                queues.insert(key, QueueInfo { scope, name, depth: 0, leased: 0, dead: 0, oldest: None, group });
            }
        }
    }
    for info in atlas.dispatcher().queues(arguments.scope.as_ref()).await? {
        queues.insert((info.scope.clone(), info.name.clone(), info.group.clone()), info);
    }
    if output.json {
        return output.json_array(queues.values().map(Ok));
    }
    let columns = [
        Column::Text("SCOPE"),
        Column::Text("QUEUE"),
        Column::Text("GROUP"),
        Column::Number("DEPTH"),
        Column::Number("LEASED"),
        Column::Number("DEAD"),
        Column::Number("AGE"),
    ];
    let now = SystemClock.now_micros();
    let mut table = Table::new(columns);
    for QueueInfo { scope, name, depth, leased, dead, oldest, group } in queues.values() {
        let row = [
            scope.to_string(),
            name.to_string(),
            group.as_ref().map(Name::to_string).unwrap_or_default(),
            depth.to_string(),
            leased.to_string(),
            dead.to_string(),
            oldest.map(|oldest| age(now, oldest)).unwrap_or_default(),
        ];
        table.row(output, row)?;
    }
    if table.end(output)? == 0 {
        message("there are no queues");
    }
    Ok(())
}

/// How long ago a time is, in its two largest units: `3d 4h`.
fn age(now: i64, since: Timestamp) -> String {
    let seconds = now.saturating_sub(since.micros()).max(0) / 1_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_two_units() {
        let of = |seconds: i64| age(seconds * 1_000_000, Timestamp::from_micros(0));
        assert_eq!([0, 59, 60, 3_599].map(of), ["0s", "59s", "1m 0s", "59m 59s"]);
        assert_eq!([3_600, 86_399, 86_400, 90_000, -5].map(of), ["1h 0m", "23h 59m", "1d 0h", "1d 1h", "0s"]);
    }
}
