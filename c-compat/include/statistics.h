/* Statistics of a module: shown by get_statistics under the module's name. All are registered before the processes
 * are forked, by the module's table or in its init function. */
#ifndef OPENSIPS_MI_STATISTICS_H
#define OPENSIPS_MI_STATISTICS_H

#include "atomic.h"
#include "config.h"
#include "hash_func.h"
#include "linkage.h"
#include "str.h"

OPENSIPS_MI_BEGIN_C

#define STAT_NO_RESET (1 << 0)
#define STAT_NO_SYNC (1 << 1)
#define STAT_SHM_NAME (1 << 2)
#define STAT_IS_FUNC (1 << 3)

typedef atomic_t stat_val;

typedef unsigned long (*stat_function)(void *);

typedef struct stat_var_ {
	unsigned int mod_idx;
	str name;
	unsigned short flags;
	void *context;
	union {
		stat_val *val;
		stat_function f;
	} u;
	struct stat_var_ *hnext;
	struct stat_var_ *lnext;
} stat_var;

typedef struct stat_export_ {
	char *name;
	unsigned short flags;
	/* With STAT_IS_FUNC: the function, cast to this type. */
	stat_var **stat_pointer;
} stat_export_t;

int register_stat2(char *module, char *name, stat_var **pvar, unsigned short flags, void *context, int unsafe);
int __register_module_stats(char *module, stat_export_t *stats, int unsafe);

#define register_stat(module, name, pvar, flags) register_stat2(module, name, pvar, flags, NULL, 0)
#define register_module_stats(module, stats) __register_module_stats(module, stats, 0)

/* NULL when no statistic has this name. Statistics of the server itself are found in all processes but the main one,
 * and not in init functions; update_stat and reset_stat do not change them. */
stat_var *get_stat(str *name);

#define get_stat_val(var) \
	((unsigned long)(((var)->flags & STAT_IS_FUNC) ? (var)->u.f((var)->context) : atomic_get((var)->u.val)))

#define update_stat(var, n) \
	do { \
		if (!((var)->flags & STAT_IS_FUNC)) \
			atomic_add((long)(n), (var)->u.val); \
	} while (0)

#define reset_stat(var) \
	do { \
		if (!((var)->flags & (STAT_NO_RESET | STAT_IS_FUNC))) \
			atomic_set((var)->u.val, 0); \
	} while (0)

#define if_update_stat(condition, var, n) \
	do { \
		if (condition) \
			update_stat(var, n); \
	} while (0)

#define if_reset_stat(condition, var) \
	do { \
		if (condition) \
			reset_stat(var); \
	} while (0)

OPENSIPS_MI_ASSERT(sizeof(stat_export_t) == 24, "layout of stat_export_t");
OPENSIPS_MI_ASSERT(sizeof(stat_var) == 64, "layout of stat_var");

OPENSIPS_MI_END_C

#endif
