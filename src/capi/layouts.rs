//! Declares the structures of the C headers in c-compat/include, and the functions of the C shim. C:
//! sr_module.h, mi/tree.h and statistics.h.
#![expect(unsafe_code, reason = "declares the functions of the C shim")]

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_ulonglong, c_ushort, c_void};

/// C: `str`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Str {
    pub(super) s: *const c_char,
    pub(super) len: c_int,
}

/// C: `struct mi_attr`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct MiAttr {
    pub(super) name: Str,
    pub(super) value: Str,
    pub(super) next: *const MiAttr,
}

/// C: `struct mi_node`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct MiNode {
    pub(super) value: Str,
    pub(super) name: Str,
    pub(super) flags: c_uint,
    pub(super) kids: *const MiNode,
    pub(super) next: *const MiNode,
    pub(super) last: *const MiNode,
    pub(super) attributes: *const MiAttr,
}

/// C: `struct mi_root`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct MiRoot {
    pub(super) code: c_uint,
    pub(super) reason: Str,
    pub(super) async_hdl: *mut MiHandler,
    pub(super) node: MiNode,
}

/// C: `mi_handler_f`.
pub(super) type HandlerFunction = extern "C" fn(*mut MiRoot, *mut MiHandler, c_int);

/// C: `struct mi_handler`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct MiHandler {
    pub(super) handler_f: HandlerFunction,
    pub(super) param: *mut c_void,
}

/// C: `MI_ROOT_ASYNC_RPL`.
pub(super) const ASYNC_REPLY: usize = usize::MAX;
/// C: `MI_ASYNC_RPL_FLAG`.
pub(super) const ASYNC_FLAG: c_uint = 1;
/// C: `MI_NO_INPUT_FLAG`.
pub(super) const NO_INPUT_FLAG: c_uint = 1 << 1;
/// C: `MI_DUP_NAME` and `MI_DUP_VALUE`.
pub(super) const COPY_FLAGS: c_int = 3;
/// C: `MI_IS_ARRAY`.
pub(super) const ARRAY_FLAG: c_uint = 1 << 4;

/// C: `mi_cmd_f`.
pub(super) type MiFunction = unsafe extern "C" fn(*mut MiRoot, *mut c_void) -> *mut MiRoot;

/// C: `struct mi_cmd`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct MiCmd {
    pub(super) id: c_int,
    pub(super) module: Str,
    pub(super) name: Str,
    pub(super) help: Str,
    pub(super) init_f: Option<unsafe extern "C" fn() -> c_int>,
    pub(super) f: Option<MiFunction>,
    pub(super) flags: c_uint,
    pub(super) param: *mut c_void,
}

/// C: `mi_export_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct MiExport {
    pub(super) name: *const c_char,
    pub(super) help: *const c_char,
    pub(super) cmd: Option<MiFunction>,
    pub(super) flags: c_uint,
    pub(super) param: *mut c_void,
    pub(super) init_f: Option<unsafe extern "C" fn() -> c_int>,
}

/// C: `STR_PARAM`.
pub(super) const STR_PARAM: c_uint = 1;
/// C: `INT_PARAM`.
pub(super) const INT_PARAM: c_uint = 1 << 1;
/// C: `USE_FUNC_PARAM`.
pub(super) const USE_FUNC_PARAM: c_uint = 1 << 31;

/// C: `param_func_t`.
pub(super) type ParameterFunction = unsafe extern "C" fn(c_uint, *mut c_void) -> c_int;

/// C: `param_export_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ParamExport {
    pub(super) name: *const c_char,
    pub(super) kind: c_uint,
    pub(super) pointer: *mut c_void,
}

/// C: `STAT_NO_RESET`.
pub(super) const STAT_NO_RESET: c_ushort = 1;
/// C: `STAT_IS_FUNC`.
pub(super) const STAT_IS_FUNC: c_ushort = 1 << 3;

/// C: `stat_var`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct StatVar {
    pub(super) mod_idx: c_uint,
    pub(super) name: Str,
    pub(super) flags: c_ushort,
    pub(super) context: *mut c_void,
    pub(super) source: StatSource,
    pub(super) hnext: *const StatVar,
    pub(super) lnext: *const StatVar,
}

/// C: the union in `stat_var`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union StatSource {
    pub(super) cell: *mut c_ulong,
    pub(super) function: unsafe extern "C" fn(*mut c_void) -> c_ulong,
}

impl std::fmt::Debug for StatSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StatSource")
    }
}

/// A registered statistic. C: `struct opensips_mi_stat` in the shim.
#[repr(C)]
#[derive(Debug)]
pub(super) struct RegisteredStat {
    pub(super) var: StatVar,
    pub(super) module: *const c_char,
    pub(super) next: *const RegisteredStat,
}

/// C: `EVI_INT_VAL`.
pub(super) const EVENT_INTEGER: c_int = 1;
/// C: `EVI_STR_VAL`.
pub(super) const EVENT_TEXT: c_int = 2;

/// C: `evi_param_t`.
#[repr(C)]
pub(super) struct EventParam {
    pub(super) flags: c_int,
    pub(super) value: EventValue,
    pub(super) name: Str,
    pub(super) next: *const EventParam,
}

/// C: the union in `evi_param_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union EventValue {
    pub(super) number: c_int,
    pub(super) text: Str,
}

/// C: `TIMER_PROC_INIT_FLAG`.
pub(super) const TIMER_INIT_FLAG: c_uint = 1;

/// A registered timer. C: `struct opensips_mi_timer` in the shim.
#[repr(C)]
#[derive(Debug)]
pub(super) struct RegisteredTimer {
    pub(super) label: *const c_char,
    pub(super) seconds: Option<unsafe extern "C" fn(c_uint, *mut c_void)>,
    pub(super) micros: Option<unsafe extern "C" fn(c_ulonglong, *mut c_void)>,
    pub(super) param: *mut c_void,
    pub(super) interval: c_uint,
    pub(super) next: *const RegisteredTimer,
}

/// The registered timers of one process. C: `struct opensips_mi_timer_process` in the shim.
#[repr(C)]
#[derive(Debug)]
pub(super) struct TimerProcess {
    pub(super) flags: c_uint,
    pub(super) timers: *const RegisteredTimer,
    pub(super) next: *const TimerProcess,
}

/// C: `PROC_FLAG_INITCHILD`.
pub(super) const INITCHILD_FLAG: c_uint = 1;

/// C: `proc_export_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcExport {
    pub(super) name: *const c_char,
    pub(super) pre_fork: Option<unsafe extern "C" fn() -> c_int>,
    pub(super) post_fork: Option<unsafe extern "C" fn() -> c_int>,
    pub(super) function: Option<unsafe extern "C" fn(c_int)>,
    pub(super) no: c_uint,
    pub(super) flags: c_uint,
}

/// C: `struct module_exports`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ModuleExports {
    pub(super) name: *const c_char,
    pub(super) version: *const c_char,
    pub(super) compile_flags: *const c_char,
    pub(super) dlflags: c_uint,
    pub(super) cmds: *const c_void,
    pub(super) params: *const ParamExport,
    pub(super) stats: *const c_void,
    pub(super) mi_cmds: *const MiExport,
    pub(super) items: *const c_void,
    pub(super) procs: *const ProcExport,
    pub(super) init_f: Option<unsafe extern "C" fn() -> c_int>,
    pub(super) response_f: *const c_void,
    pub(super) destroy_f: Option<unsafe extern "C" fn()>,
    pub(super) init_child_f: Option<unsafe extern "C" fn(c_int) -> c_int>,
}

// The headers assert the same sizes and offsets.
const _: () = assert!(size_of::<Str>() == 16);
const _: () = assert!(size_of::<MiAttr>() == 40);
const _: () = assert!(size_of::<MiNode>() == 72);
const _: () = assert!(size_of::<MiRoot>() == 104 && std::mem::offset_of!(MiRoot, node) == 32);
const _: () = assert!(size_of::<MiHandler>() == 16);
const _: () = assert!(size_of::<MiCmd>() == 88);
const _: () = assert!(size_of::<MiExport>() == 48);
const _: () = assert!(size_of::<ParamExport>() == 24);
const _: () = assert!(size_of::<StatVar>() == 64);
const _: () = assert!(size_of::<EventParam>() == 48 && std::mem::offset_of!(EventParam, name) == 24);
const _: () = assert!(size_of::<RegisteredTimer>() == 48);
const _: () = assert!(size_of::<TimerProcess>() == 24);
const _: () = assert!(size_of::<ProcExport>() == 40 && std::mem::offset_of!(ProcExport, function) == 24);
const _: () = assert!(size_of::<ModuleExports>() == 112);
const _: () = assert!(std::mem::offset_of!(ModuleExports, mi_cmds) == 56);
const _: () = assert!(std::mem::offset_of!(ModuleExports, init_f) == 80);

unsafe extern "C" {
    pub(super) fn free_mi_tree(root: *mut MiRoot);
    pub(super) fn init_mi_tree(code: c_uint, reason: *const c_char, reason_len: c_int) -> *mut MiRoot;
    pub(super) fn register_mi_cmd(
        function: Option<MiFunction>,
        name: *const c_char,
        help: *const c_char,
        param: *mut c_void,
        init: Option<unsafe extern "C" fn() -> c_int>,
        flags: c_uint,
        module: *const c_char,
    ) -> c_int;
    pub(super) fn opensips_mi_new_tree(code: c_uint, reason: *const c_char, reason_len: c_int)
    -> *mut MiRoot;
    pub(super) fn opensips_mi_add_node(
        parent: *mut MiNode,
        name: *const c_char,
        name_len: c_int,
        value: *const c_char,
        value_len: c_int,
    ) -> *mut MiNode;
    pub(super) fn add_mi_attr(
        node: *mut MiNode,
        flags: c_int,
        name: *const c_char,
        name_len: c_int,
        value: *const c_char,
        value_len: c_int,
    ) -> *mut MiAttr;
    pub(super) fn opensips_mi_registered_cmds(commands: *mut *const MiCmd, count: *mut c_int);
    pub(super) fn __register_module_stats(
        module: *const c_char,
        stats: *const c_void,
        safety: c_int,
    ) -> c_int;
    pub(super) fn get_uticks() -> c_ulonglong;
    pub(super) fn opensips_mi_timer_processes() -> *const TimerProcess;
    pub(super) fn opensips_mi_stats() -> *const RegisteredStat;
    pub(super) fn opensips_mi_add_parameter(
        root: *mut MiRoot,
        name: *const c_char,
        name_len: c_int,
        value: *const c_char,
        value_len: c_int,
    ) -> c_int;
    pub(super) fn opensips_mi_add_module(exports: *const ModuleExports) -> c_int;
    pub(super) fn opensips_mi_start_clock();
    pub(super) fn opensips_mi_close_registration();
    pub(super) fn opensips_mi_is_registration_closed() -> c_int;
    pub(super) fn opensips_mi_set_process_number(number: c_int);
    pub(super) static opensips_mi_version: *const c_char;
    pub(super) static opensips_mi_compile_flags: *const c_char;
}
