//! The group `script`: statistics that a routing script would count. There is no script here, so they stay 0.
//!
//! C: modules/statistics. Differs: one that is named twice is listed once.

use crate::config::{DefaultValue, Param, ParameterKind, ParameterRow, Settings};
use crate::mi::Statistic;
use crate::module::{ModuleParts, SettingError};

const VARIABLE: Param<Option<&[u8]>> = Param::optional_text(
    "variable",
    "name of a statistic of the group script, which stays 0; /no_reset may follow; may be set more than once",
);

/// The module's table of parameters.
pub(super) const PARAMETERS: &[ParameterRow] = &[
    VARIABLE.row,
    ParameterRow::without_effect(
        "stat_groups",
        ParameterKind::Text,
        DefaultValue::Absent,
        "no script counts in these groups",
        "names of further groups for scripts, with commas between",
    ),
];

/// The group. C: `MODULE_STATS` in stats_funcs.c.
const GROUP: &str = "script";

/// What may follow a name, in any case. C: `NORESET_FLAG_STR`.
const NO_RESET: &[u8] = b"no_reset";

/// A statistic for each name, the one that was set last first, as C lists them.
pub(super) fn load(settings: &Settings) -> ModuleParts {
    let mut loaded = ModuleParts::default();
    let mut names: Vec<String> = Vec::new();
    for (text, position) in settings.all(VARIABLE) {
        let mut parts = text.splitn(2, |&byte| byte == b'/');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let message = match parts.next() {
            _ if name.is_empty() => String::from("is empty; write the name of a statistic"),
            Some(flag) if !flag.eq_ignore_ascii_case(NO_RESET) => {
                let flag = String::from_utf8_lossy(flag);
                format!("unknown flag \"{flag}\"; write \"{name}\" or \"{name}/no_reset\"")
            }
            _ => {
                names.retain(|other| *other != name);
                names.push(name);
                continue;
            }
        };
        loaded.errors.push((position.clone(), SettingError { parameter: VARIABLE.name(), message }));
    }
    // Made once, kept to the end of the server.
    let rows = names.into_iter().rev().map(|name| Statistic::zero(GROUP, name.leak()));
    loaded.statistics = rows.collect();
    loaded
}
