/* Variables as the routing script has them, and modules that keep some of their own. */
#ifndef OPENSIPS_MI_SCRIPT_VAR_H
#define OPENSIPS_MI_SCRIPT_VAR_H

#include "linkage.h"
#include "usr_avp.h"

OPENSIPS_MI_BEGIN_C

#define VAR_VAL_STR (1 << 0)
#define VAR_VAL_NULL (1 << 1)

typedef struct script_val {
	int flags;
	int_str value;
} script_val_t, *script_val_p;

typedef struct script_var {
	str name;
	script_val_t v;
	struct script_var *next;
} script_var_t, *script_var_p;

/* The variables of the routing script, of which each process has its own. NULL without a name or without memory. */
script_var_t *add_var(str *name);
/* NULL when there is none. */
script_var_t *get_var_by_name(str *name);

/* A copy of the value; NULL, or VAR_VAL_NULL in the flags, is none. With VAR_VAL_STR it is a string, which a NUL
 * follows then. NULL without memory, or without a variable. */
script_var_t *set_var_value(script_var_t *var, int_str *value, int flags);

/* Frees a list of variables of a module's own. */
void destroy_vars_list(script_var_t *list);

OPENSIPS_MI_END_C

#endif
