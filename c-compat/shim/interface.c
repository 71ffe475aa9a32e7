/* All functions and variables that modules find in the server, so that the linker keeps them. The same names stand in
 * interface.list. */
#include "../include/locking.h"
#include "../include/md5utils.h"
#include "../include/pt.h"
#include "../include/script_var.h"
#include "../include/sr_module.h"
#include "shim.h"

#define F(name) ((const void *)name)

extern const void *const opensips_mi_interface[];

const void *const opensips_mi_interface[] = {
	F(init_mi_tree), F(free_mi_tree), F(free_mi_node), F(add_mi_node_sibling), F(add_mi_node_child),
	F(addf_mi_node_sibling), F(addf_mi_node_child), F(add_mi_attr), F(addf_mi_attr), F(get_mi_attr_by_name),
	F(del_mi_attr_list), F(register_mi_cmd), F(register_mi_mod), F(lookup_mi_cmd), F(get_mi_cmds),
	F(register_stat2), F(__register_module_stats), F(get_stat), F(shm_malloc), F(shm_realloc), F(shm_free),
	F(opensips_mi_lock_init), F(lock_destroy), F(lock_get), F(lock_release), F(is_printable), F(opensips_mi_log),
	F(dp_my_pid), F(get_ticks), F(get_uticks), F(register_timer), F(register_utimer),
	F(register_timer_process), F(append_timer_to_process), F(append_utimer_to_process), &startup_time, &process_no,
	F(MD5StringArray), F(MD5File), F(opensips_mi_script_only), F(opensips_mi_script_only_pointer),
	F(add_var), F(get_var_by_name), F(set_var_value), F(destroy_vars_list), F(find_export), F(find_mod_export),
	F(module_loaded),
	F(evi_publish_event), F(evi_get_id), F(evi_probe_event), F(evi_raise_event), F(evi_get_params),
	F(evi_free_params), F(evi_param_add), F(evi_param_set), F(evi_param_create),
};

/* What modules must have been compiled for. */
extern const char *const opensips_mi_version;
extern const char *const opensips_mi_compile_flags;

const char *const opensips_mi_version = OPENSIPS_FULL_VERSION;
const char *const opensips_mi_compile_flags = OPENSIPS_COMPILE_FLAGS;
