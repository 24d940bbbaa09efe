//! Holding `dispatch.redb` against the log, and making it anew: in both cases the log is folded as the thread of dispatch
//! folds it, and nothing runs.

use std::sync::Arc;

use super::database::{FILE, has_layout, reflected};
use super::delivery::Functions;
use super::dispatcher::Rooms;
use super::driver::Driver;
use super::{DispatchError, Observers, Options, history};
use crate::log::{Address, Reflected};
use crate::storage::{Disk, Fence, MemoryDisk, open_database};

/// The file.
pub(crate) const DISPATCH_FILE: &str = FILE;

/// Holds the file on `copy` against the log, both folded to its end: the name of a table that differs.
///
/// # Errors
/// [`DispatchError::AheadOfLog`] where it reflects more than there is; others where either can't be read.
pub(crate) fn dispatch_table_that_differs(
    copy: &dyn Disk,
    rooms: Rooms,
) -> Result<Option<&'static str>, DispatchError> {
    let context = Arc::new(rooms.context(Functions::default(), Observers::default(), Options::default())?);
    if !has_layout(&open_database(copy, FILE, 1 << 20, &Fence::default())?)? {
        // An older version of Atlas wrote it: the next open makes it anew.
        return Ok(None);
    }
    let mut found = Driver::on(copy, context.clone())?;
    let mut expected = Driver::on(&MemoryDisk::new(), context)?;
    let found = found.fold_all(|_| {})?;
    found.differs(expected.fold_all(|_| {})?)
}

/// How much of which log the file on `copy` reflects; `None` where it can't be told.
pub(crate) fn dispatch_reflects(copy: &dyn Disk) -> Option<Reflected> {
    let database = open_database(copy, FILE, 1 << 20, &Fence::default()).ok()?;
    reflected(&database).ok()?
}

/// Makes `dispatch.redb` anew from the log, where it is missing; `progress` is told addresses.
///
/// # Errors
/// [`DispatchError`] where the log can't be read or the file can't be written.
pub(crate) fn rebuild(rooms: Rooms, progress: impl FnMut(Address)) -> Result<(), DispatchError> {
    history::end_unfinished(&rooms.store)?;
    let context = Arc::new(rooms.context(Functions::default(), Observers::default(), Options::default())?);
    let mut driver = Driver::new(context, None)?;
    driver.fold_all(progress)?;
    driver.checkpoint()
}
