//! C modules: the border between a module that is written in C and the server.
//!
//! A module is compiled against the headers in c-compat/include and opened by its file; it fills in the same table as
//! a built-in one. What it calls is in the C shim (c-compat/shim) and in `exports`. What it returns is copied at the
//! border. Not here: what belongs to SIP and its routing script; a module that needs more than the name of it does not
//! compile, or is refused when it is opened. C: sr_module.c, modparam.c and `register_mi_cmd` in mi/mi.c.

mod building;
mod calling;
mod command;
mod event;
mod exports;
mod handler;
mod here;
mod layouts;
mod life;
mod open;
mod own;
mod parameters;
mod process;
mod statistic;
mod suspect;
mod text;
mod timer;
mod tree;

pub use command::in_hand;
pub use exports::provide_memory;
pub use handler::provide_pending;
pub use open::{Refusal, find, is_for_this_server, open};
pub use timer::timers;
