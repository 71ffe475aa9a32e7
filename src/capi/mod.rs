//! Loads modules that are written in C and connects them with the server.
//!
//! A C module is compiled against the headers in c-compat/include and exports the same kind of table as a
//! built-in module. It calls functions of the C shim (c-compat/shim) and of this folder. Whatever a C
//! function returns is copied before the server uses it. SIP and the routing script are left out: a module
//! that uses more of them than the names does not compile, or is refused when it is loaded. C: sr_module.c,
//! modparam.c and `register_mi_cmd` in mi/mi.c.
//!
//! | File | What it does |
//! | --- | --- |
//! | `open` | finds a module's file, opens it with `dlopen` and checks its table |
//! | `load_error` | the error type of `open` and `parameters` |
//! | `parameters` | writes the values of `modparam` to the module's variables |
//! | `lifecycle` | calls `init_f`, `init_child_f` and `destroy_f`, and registers what the table exports |
//! | `guarded_call` | calls a C function before the fork: reports a crash by name, refuses threads that are left running |
//! | `command` | turns a module's MI commands into rows of the command table, and runs them |
//! | `tree` | builds request trees for C, and copies the reply trees that C returns |
//! | `handler` | gives each deferred request a handler, the address by which a C module answers it |
//! | `statistic` | turns a module's statistics into rows of the statistics table |
//! | `event` | publishes and raises a module's events |
//! | `timer` | runs the processes that call modules' timers |
//! | `process` | runs the processes that a module's table asks for |
//! | `server_tables` | shows the server's own commands and statistics to C modules |
//! | `tree_builder` | builds the reply of one of the server's commands as a C tree |
//! | `current_context` | keeps the process's context for functions that C calls |
//! | `orphaned_locks` | counts the locks of each module whose holder died |
//! | `exports` | exports shared memory and the log to C, and stops panics at the border |
//! | `c_strings` | reads the strings and tables of C |
//! | `layouts` | declares the structures and functions of the C shim |

mod c_strings;
mod command;
mod current_context;
mod event;
mod exports;
mod guarded_call;
mod handler;
mod layouts;
mod lifecycle;
mod load_error;
mod open;
mod orphaned_locks;
mod parameters;
mod process;
mod server_tables;
mod statistic;
mod timer;
mod tree;
mod tree_builder;

pub use command::describe as describe_command;
pub use exports::provide_memory;
pub use handler::provide_pending;
pub use load_error::LoadError;
pub use open::{find, is_for_this_server, open};
pub use timer::timer_services;
