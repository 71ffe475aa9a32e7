//! OpenSIPS's Management Interface as a server of its own.
//!
//! A request goes through the rooms in one direction, and a reply back:
//!
//! ```text
//! opensips.cfg ─ config ─► attendant ─ fork ─► worker ─┐
//!                                                      ▼
//!  client ──bytes──► modules::mi_… ──► wire (decode) ──► mi ──► a module's command ──► shm
//!  client ◄─bytes─── modules::mi_… ◄── wire (encode, as it goes) ◄── mi::Reply ◄──────┘
//! ```

pub mod attendant;
pub mod cachedb;
pub mod capi;
pub mod cli;
pub mod config;
pub mod evi;
pub mod httpd;
pub mod logging;
pub mod mi;
pub mod module;
pub mod modules;
pub mod opensipsunix;
pub mod server;
pub mod shm;
pub mod system;
pub mod timer;
pub mod version;
pub mod wire;
pub mod worker;
