/* Declares what the C and the Rust side of the module interface call in each other. Modules do not see it. The Rust
 * side is src/capi. */
#ifndef OPENSIPS_MI_SHIM_H
#define OPENSIPS_MI_SHIM_H

#include "../include/evi/evi_modules.h"
#include "../include/mi/mi.h"
#include "../include/sr_module.h"
#include "../include/statistics.h"
#include "../include/timer.h"

/* Defined in Rust, called from C. */

/* Returns 1 when the log level lets lines of this level through, 0 otherwise. */
int opensips_mi_is_printable(int level);
/* Writes one line to the log. `cause` is the line's format string: lines of one format are limited together. */
void opensips_mi_log_line(int level, const char *module, const char *text, unsigned long len,
	const char *cause);
/* Returns all commands, those of the server and those of modules. NULL, and size 0, before the processes are forked,
 * and in the attendant. */
struct mi_cmd *opensips_mi_all_cmds(int *size);
/* Returns a statistic of the server. NULL when no statistic has this name, or where opensips_mi_all_cmds gives NULL. */
stat_var *opensips_mi_find_stat(str *name);
/* Counts a lock whose holder died, under the module that made the lock, and writes a line to the log. */
void opensips_mi_count_orphaned_lock(const char *module, const void *lock);
/* Raises an event. `first` is the first parameter of a list, or NULL. */
int opensips_mi_raise_event(event_id_t id, evi_param_p first);

/* Defined in C, called from Rust. */

/* A registered statistic. */
struct opensips_mi_stat {
	stat_var var;
	const char *module;
	struct opensips_mi_stat *next;
};

/* A registered timer. Either `f` is set, and the interval counts seconds, or `uf`, and it counts microseconds. */
struct opensips_mi_timer {
	char *label;
	timer_function *f;
	utimer_function *uf;
	void *param;
	unsigned int interval;
	struct opensips_mi_timer *next;
};

/* The timers of one process. The first process of the list has all timers of register_timer and register_utimer. */
struct opensips_mi_timer_process {
	unsigned int flags;
	struct opensips_mi_timer *timers;
	struct opensips_mi_timer_process *next;
};

_Static_assert(sizeof(struct opensips_mi_timer) == 48, "layout of struct opensips_mi_timer");
_Static_assert(sizeof(struct opensips_mi_timer_process) == 24, "layout of struct opensips_mi_timer_process");

struct opensips_mi_timer_process *opensips_mi_timer_processes(void);
/* Adds an opened module to those that find_export searches. -1 without memory. */
int opensips_mi_add_module(const struct module_exports *exports);
struct opensips_mi_stat *opensips_mi_stats(void);
/* Gives the commands that modules have registered. */
void opensips_mi_registered_cmds(struct mi_cmd **cmds, int *size);
/* Makes a tree with a copy of the reason. NULL without memory. */
struct mi_root *opensips_mi_new_tree(unsigned int code, const char *reason, int reason_len);
/* Appends a child node with copies of both texts. Empty texts are allowed. NULL without memory. */
struct mi_node *opensips_mi_add_node(struct mi_node *parent, const char *name, int name_len, const char *value,
	int value_len);
/* Appends a parameter to a request. -1 without memory. */
int opensips_mi_add_parameter(struct mi_root *root, const char *name, int name_len, const char *value, int value_len);
/* Starts the clock of get_ticks and sets startup_time. Only the first call has an effect. */
void opensips_mi_start_clock(void);
/* Ends registration: from now on commands, statistics, timers and events are refused. */
void opensips_mi_close_registration(void);
int opensips_mi_is_registration_closed(void);
/* Sets process_no. Called in each process, before the module functions of that process. */
void opensips_mi_set_process_number(int number);

/* What the headers put in place of functions for the routing script: they log the caller and fail. */
int opensips_mi_script_only(void);
void *opensips_mi_script_only_pointer(void);

#endif
