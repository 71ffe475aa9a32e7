//! usrloc: where users can be reached. Tables of addresses of record (AoRs), each with its contacts, in the shared
//! segment.
//!
//! ```text
//! parameters.rs  what modparam may set
//! locations.rs   the tables, the keys of their records
//! figures.rs     how many records and contacts each of several tables has
//! record.rs      the contacts of one AoR as bytes
//! qvalue.rs      q values
//! uri.rs         what is taken for a contact
//! commands.rs    the MI commands that change something
//! show.rs        those that show it
//! expiry.rs      the end of contacts
//! ```
//!
//! There is no database and no registrar: contacts come by `ul_add`. A record is changed in one step under its lock,
//! so that two workers that change one AoR at the same moment both succeed. C: modules/usrloc.

mod commands;
mod expiry;
mod figures;
mod locations;
mod parameters;
mod qvalue;
mod record;
mod show;
mod uri;

use std::time::Duration;

use crate::config::Settings;
use crate::mi::Statistic;
use crate::module::{Module, ModuleParts, SettingError};
use crate::shm::keyed::Space;
use crate::timer::Timer;
use locations::Locations;

/// The module's table.
pub(super) const MODULE: Module = Module {
    name: "usrloc",
    parameters: parameters::PARAMETERS,
    commands: &commands::COMMANDS,
    statistics: &[Statistic::function("usrloc", "registered_users", &|context| {
        context.states.get::<Locations>().map_or(0, |locations| locations.users(context.segment))
    })],
    events: &[INSERT_EVENT, DELETE_EVENT],
    load: Some(|settings, _| load(settings)),
};

/// Raised when the first contact of an AoR is added.
const INSERT_EVENT: &str = "E_UL_AOR_INSERT";

/// Raised when the last contact of an AoR is gone.
const DELETE_EVENT: &str = "E_UL_AOR_DELETE";

fn load(settings: &Settings) -> Result<ModuleParts, SettingError> {
    if settings.get(parameters::DB_MODE) != 0 {
        log::warn!("db_mode: there is no database, locations are kept in shared memory alone");
    }
    let kept = settings.get(parameters::RESTART_PERSISTENCY);
    if !matches!(kept, b"none" | b"load-from-file") {
        log::warn!(
            "restart_persistency \"{}\" is not there, locations do not survive a restart; use \"load-from-file\"",
            kept.escape_ascii()
        );
    }
    let locations = Locations::new(settings)?;
    let timer = Timer {
        name: "usrloc: expired contacts",
        interval: Duration::from_secs(settings.get(parameters::TIMER_INTERVAL).into()),
        run: expiry::remove_expired,
    };
    let figures = Timer {
        name: "usrloc: figures of several tables",
        interval: figures::INTERVAL,
        run: figures::publish,
    };
    Ok(ModuleParts {
        statistics: locations.statistics(),
        state: Some(Box::new(locations)),
        timers: vec![timer, figures],
        restored: Some(locations::report_strangers),
        keyed: Some(Space::Location),
        persistent: if kept == b"load-from-file" { vec![Space::Location] } else { Vec::new() },
        ..ModuleParts::default()
    })
}
