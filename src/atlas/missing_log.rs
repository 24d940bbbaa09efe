//! A directory where databases tell of a log, and there is none: a volume that isn't mounted, or a copy that left it out.
//! Nothing is created there, as it would hide that.

use crate::config::{CATALOG_FILE, catalog_reflects};
use crate::dispatch::{DISPATCH_FILE, DispatchError, dispatch_reflects};
use crate::error::Error;
use crate::log::{Address, OpenError, has_no_log};
use crate::storage::{Disk, copy_database};

/// Refuses such a directory.
pub(super) fn refuse_missing_log(disk: &dyn Disk) -> Result<(), Error> {
    if !has_no_log(disk)? {
        return Ok(());
    }
    for file in [CATALOG_FILE, DISPATCH_FILE] {
        let Some(copy) = copy_database(disk, file).map_err(DispatchError::from)? else { continue };
        let reflected = if file == CATALOG_FILE { catalog_reflects(&copy) } else { dispatch_reflects(&copy) };
        if let Some(reflected) = reflected.filter(|reflected| reflected.up_to > Address::START) {
            return Err(OpenError::LogMissing { file, up_to: reflected.up_to }.into());
        }
    }
    Ok(())
}
