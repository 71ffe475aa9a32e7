/* The table by which a module exports everything: `struct module_exports exports`. */
#ifndef OPENSIPS_MI_SR_MODULE_H
#define OPENSIPS_MI_SR_MODULE_H

#include <dlfcn.h>
#include <stddef.h>

#include "dprint.h"
#include "linkage.h"
#include "mi/mi.h"
#include "pvar.h"
#include "route.h"
#include "statistics.h"
#include "version.h"

OPENSIPS_MI_BEGIN_C

typedef int (*cmd_function)(struct sip_msg *, char *, char *, char *, char *, char *, char *);
typedef int (*fixup_function)(void **param, int param_no);
typedef int (*free_fixup_function)(void **param, int param_no);
typedef int (*response_function)(struct sip_msg *);
typedef void (*destroy_function)();
typedef int (*init_function)(void);
typedef int (*child_init_function)(int rank);

/* The type of a parameter. With USE_FUNC_PARAM its pointer is a function that is called with each value. */
#define STR_PARAM (1U << 0)
#define INT_PARAM (1U << 1)
#define USE_FUNC_PARAM (1U << (8 * sizeof(int) - 1))
#define PARAM_TYPE_MASK(type) ((type) & (~USE_FUNC_PARAM))

typedef unsigned int modparam_t;

/* The value is a number cast to a pointer, or a string that the server never frees. A result below 0 is an error. */
typedef int (*param_func_t)(modparam_t type, void *val);

/* The function of a module's process. It gets the number of the process within its row, from 0. SIGTERM ends it. */
typedef void (*mod_proc)(int no);
typedef int (*mod_proc_wrapper)();

/* Ranks that child_init is called with. Processes that serve MI have PROC_MODULE. */
#define PROC_MAIN 0
#define PROC_TIMER -1
#define PROC_MODULE -2
#define PROC_TCP_MAIN -4
#define PROC_BIN -8

#define DEFAULT_DLFLAGS 0
#define OPENSIPS_DLFLAGS RTLD_NOW

#define MODULE_VERSION OPENSIPS_FULL_VERSION, OPENSIPS_COMPILE_FLAGS

/* The process calls child_init of all modules, with PROC_MODULE, before its function. */
#define PROC_FLAG_INITCHILD (1 << 0)

/* Functions for the routing script, which this server does not run. Only other modules call them, when they have found
 * them by name. */
struct cmd_export_ {
	char *name;
	cmd_function function;
	int param_no;
	fixup_function fixup;
	free_fixup_function free_fixup;
	int flags;
};

struct param_export_ {
	char *name;
	modparam_t type;
	void *param_pointer;
};

/* A module's processes. `no` is their number, read when the init function has returned. The functions around the fork
 * are called once, in the main process, at the start of the server; a result other than 0 ends the start. */
struct proc_export_ {
	char *name;
	mod_proc_wrapper pre_fork_function;
	mod_proc_wrapper post_fork_function;
	mod_proc function;
	unsigned int no;
	unsigned int flags;
};

typedef struct cmd_export_ cmd_export_t;
typedef struct param_export_ param_export_t;
typedef struct proc_export_ proc_export_t;

/* All tables end with a row without a name; all may be NULL. */
struct module_exports {
	char *name;
	char *version;
	char *compile_flags;
	unsigned int dlflags;

	cmd_export_t *cmds;
	param_export_t *params;
	stat_export_t *stats;
	mi_export_t *mi_cmds;
	pv_export_t *items;
	proc_export_t *procs;

	/* Called once, before the processes are forked. The server reads statistics, commands and processes from the table
	 * when it has returned. A result other than 0 ends the start. */
	init_function init_f;
	/* Never called. */
	response_function response_f;
	/* Called once, in the main process, when all other processes have ended. */
	destroy_function destroy_f;
	/* Called in each process. A result below 0 ends the start of the process. */
	child_init_function init_child_f;
};

/* Finds a function in the `cmds` of all C modules, by name and number of parameters; its flags must include the given
 * ones. NULL when there is none. */
cmd_function find_export(char *name, int param_no, int flags);
cmd_function find_mod_export(char *module, char *name, int param_no, int flags);
/* Returns 1 when a C module of that name is loaded, in letters of either case, 0 otherwise. */
int module_loaded(char *name);

OPENSIPS_MI_ASSERT(sizeof(param_export_t) == 24, "layout of param_export_t");
OPENSIPS_MI_ASSERT(sizeof(proc_export_t) == 40, "layout of proc_export_t");
OPENSIPS_MI_ASSERT(offsetof(proc_export_t, function) == 24, "layout of proc_export_t");
OPENSIPS_MI_ASSERT(sizeof(struct module_exports) == 112, "layout of struct module_exports");
OPENSIPS_MI_ASSERT(offsetof(struct module_exports, mi_cmds) == 56, "layout of struct module_exports");
OPENSIPS_MI_ASSERT(offsetof(struct module_exports, init_f) == 80, "layout of struct module_exports");

OPENSIPS_MI_END_C

#endif
