//! MI itself: what a request asks, which command answers it, and how it answers.
//!
//! A transport hands over a command's name and its decoded [`Params`]; [`CommandTable::find`] looks the
//! command up, its recipe says which parameters fit, and [`run`] calls it; the command writes nodes into the
//! [`Reply`] sink of the caller's wire. What may be long it leaves as a [`Rest`], which the transport asks
//! for piece by piece. Nothing here sees bytes of a wire, does I/O or reads a clock. C: mi/mi.c and
//! mi/tree.c.

mod caller;
mod command;
mod context;
mod deferred;
mod number;
mod params;
mod reply;
mod snapshot;
mod statistics;
mod status;

pub use caller::{Caller, OwnedCaller, PeerName};
pub use command::{
    Call, Changes, Classic, Command, CommandEntry, CommandFunction, CommandTable, Generation, Parameter,
    ParameterKind, classic_recipe, optional, required, run,
};
pub use context::{Context, ModuleStates};
pub use deferred::{
    CommandOutcome, Deferrable, Delivery, STATISTICS, StoredReply, TIMEOUTS, Timing, answer_all_pending,
    answer_overdue,
};
pub use number::{signed, unsigned};
pub use params::{Args, OwnedValues, Params};
pub use reply::{Progress, Reply, Rest, Value};
pub use snapshot::Snapshot;
pub use statistics::{RegisteredStatistic, Statistic, StatisticRegistry, StatisticSource};
pub use status::{
    BAD_PARAMETER, COMMAND_FAILED, COMMAND_NOT_AVAILABLE, MISSING_PARAMETER, PARSE_ERROR, SERVER_ERROR,
    Status,
};

#[cfg(test)]
pub(crate) mod testing;
