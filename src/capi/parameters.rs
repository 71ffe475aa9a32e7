//! Sets a C module's parameters: writes each value of `modparam` to the variable in the module's table, or
//! passes it to the function there. C: `set_mod_param_regex` in modparam.c.
#![expect(unsafe_code, reason = "writes C variables through their pointers and calls C functions")]

use std::ffi::{CString, c_char, c_int, c_uint, c_void};

use super::c_strings;
use super::layouts::{INT_PARAM, ParamExport, ParameterFunction, STR_PARAM, USE_FUNC_PARAM};
use super::load_error::LoadError;
use crate::config::{ConfigValue, Setting, Settings};

/// Sets all parameters of a module, in the order of the configuration. Gives one error for each that cannot
/// be set.
///
/// # Safety
/// The rows belong to a loaded module none of whose functions has run, and their pointers have the types that
/// they state.
pub(super) unsafe fn set_all(module: &str, rows: &[ParamExport], settings: &Settings) -> Vec<LoadError> {
    let mut errors = Vec::new();
    for setting in settings.iter() {
        // SAFETY: the caller guarantees it.
        if let Err(reason) = unsafe { set_one(rows, setting) } {
            let message = format!("modparam(\"{module}\", \"{}\"): {reason}", setting.name);
            errors.push(LoadError { position: Some(setting.position.clone()), message });
        }
    }
    errors
}

/// Sets one parameter.
///
/// # Safety
/// As for [`set_all`].
unsafe fn set_one(rows: &[ParamExport], setting: &Setting) -> Result<(), String> {
    let wanted = match setting.value {
        ConfigValue::Integer(_) => INT_PARAM,
        ConfigValue::Text(_) => STR_PARAM,
        ConfigValue::Checked => return Err("expected a number or a string".to_owned()),
    };
    let mut named = rows.iter().filter(|row| {
        // SAFETY: a name of the module's table.
        unsafe { c_strings::to_string_lossy(row.name) }.as_deref() == Some(&setting.name)
    });
    let Some(first) = named.clone().next() else {
        // SAFETY: names of the module's table.
        let known: Vec<_> =
            rows.iter().filter_map(|row| unsafe { c_strings::to_string_lossy(row.name) }).collect();
        return Err(match &known[..] {
            [] => "the module has no parameters; remove the line".to_owned(),
            known => format!("the module has no such parameter; it has {}", known.join(", ")),
        });
    };
    let row = named.find(|row| row.kind & wanted != 0).ok_or_else(|| {
        let kind = if first.kind & INT_PARAM != 0 { "a number" } else { "a string" };
        format!("expected {kind}")
    })?;
    if row.pointer.is_null() {
        return Err("the module's table has no variable for it".to_owned());
    }
    if row.kind & USE_FUNC_PARAM != 0 {
        // SAFETY: with that flag the pointer points to a function of this type.
        let function = unsafe { std::mem::transmute::<*mut c_void, ParameterFunction>(row.pointer) };
        let value = match &setting.value {
            ConfigValue::Text(text) => leaked_string(text).cast::<c_void>(),
            ConfigValue::Integer(number) => {
                let number = isize::try_from(*number).map_err(|_| "expected a smaller number".to_owned())?;
                std::ptr::without_provenance_mut(number.cast_unsigned())
            }
            ConfigValue::Checked => std::ptr::null_mut(),
        };
        // SAFETY: the module's function for values of that type; a string is never freed.
        let result = unsafe { function(wanted as c_uint, value) };
        return if result < 0 { Err(format!("the module refuses it ({result})")) } else { Ok(()) };
    }
    match &setting.value {
        ConfigValue::Text(text) => {
            // SAFETY: the pointer of a string parameter points to a `char *`.
            unsafe { row.pointer.cast::<*mut c_char>().write(leaked_string(text)) };
        }
        ConfigValue::Integer(number) => {
            let number = c_int::try_from(*number).map_err(|_| "expected a smaller number".to_owned())?;
            // SAFETY: the pointer of a number parameter points to an `int`.
            unsafe { row.pointer.cast::<c_int>().write(number) };
        }
        ConfigValue::Checked => {}
    }
    Ok(())
}

/// Copies a text into a C string that lives until the process ends, because modules keep the pointer and may
/// write to the string. NUL bytes are left out.
fn leaked_string(text: &[u8]) -> *mut c_char {
    let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(text).unwrap_or_default().into_raw()
}
