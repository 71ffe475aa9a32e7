/* What the C and the Rust side of the border say to each other; modules do not see it. The Rust side: src/capi. */
#ifndef OPENSIPS_MI_SHIM_H
#define OPENSIPS_MI_SHIM_H

#include "../include/evi/evi_modules.h"
#include "../include/mi/mi.h"
#include "../include/sr_module.h"
#include "../include/statistics.h"
#include "../include/timer.h"

/* In Rust: whether a line of that level is to be written, and the line. */
int opensips_mi_is_printable(int level);
/* In Rust: all commands, also those of the server; NULL where there is none, as in init functions. */
struct mi_cmd *opensips_mi_all_cmds(int *size);
/* In Rust: a statistic of the server; NULL when there is none of that name. */
stat_var *opensips_mi_find_stat(str *name);
/* In Rust: counts a lock of a module, whose holder has died. */
void opensips_mi_suspect(const char *module, const void *lock);
/* In Rust: raises an event with the parameters of a list. */
int opensips_mi_raise_event(event_id_t id, evi_param_p first);
void opensips_mi_log_line(int level, const char *module, const char *text, unsigned long len,
	const char *cause);

/* A statistic that was registered. */
struct opensips_mi_stat {
	stat_var var;
	const char *module;
	struct opensips_mi_stat *next;
};

/* A timer that was registered: one of the functions, with its own unit of the interval. */
struct opensips_mi_timer {
	char *label;
	timer_function *f;
	utimer_function *uf;
	void *param;
	unsigned int interval;
	struct opensips_mi_timer *next;
};

/* The timers of one process; the first process has them all that did not ask for one of their own. */
struct opensips_mi_timer_process {
	unsigned int flags;
	struct opensips_mi_timer *timers;
	struct opensips_mi_timer_process *next;
};

_Static_assert(sizeof(struct opensips_mi_timer) == 48, "layout of struct opensips_mi_timer");
_Static_assert(sizeof(struct opensips_mi_timer_process) == 24, "layout of struct opensips_mi_timer_process");

struct opensips_mi_timer_process *opensips_mi_timer_processes(void);
int opensips_mi_add_module(const struct module_exports *exports);
struct opensips_mi_stat *opensips_mi_stats(void);
/* The commands that modules have registered. */
void opensips_mi_own_cmds(struct mi_cmd **cmds, int *size);
struct mi_root *opensips_mi_new_tree(unsigned int code, const char *reason, int reason_len);
struct mi_node *opensips_mi_add_node(struct mi_node *parent, const char *name, int name_len, const char *value,
	int value_len);
int opensips_mi_add_parameter(struct mi_root *root, const char *name, int name_len, const char *value, int value_len);
int opensips_mi_script_only(void);
void *opensips_mi_script_only_pointer(void);
void opensips_mi_start(void);
void opensips_mi_start_clock(void);
void opensips_mi_close(void);
/* Whether it is too late to register. */
int opensips_mi_is_closed(void);
void opensips_mi_begin_process(int number);

#endif
