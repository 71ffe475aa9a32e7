/* The parameters of an event: a list of names and values. Texts are not copied: they live until the event is raised. */
#ifndef OPENSIPS_MI_EVI_EVI_PARAMS_H
#define OPENSIPS_MI_EVI_EVI_PARAMS_H

#include <stddef.h>

#include "../linkage.h"
#include "../str.h"

OPENSIPS_MI_BEGIN_C

#define EVI_INT_VAL 0x01
#define EVI_STR_VAL 0x02

/* The list is freed when its event was raised. Lists of evi_get_params have this flag. */
#define EVI_FREE_LIST (1U << 31)

typedef struct evi_param_ {
	int flags;
	union {
		int n;
		str s;
	} val;
	str name;
	struct evi_param_ *next;
} evi_param_t, *evi_param_p;

typedef struct evi_params_ {
	int flags;
	evi_param_p first;
	evi_param_p last;
} evi_params_t, *evi_params_p;

/* NULL without memory. */
evi_params_p evi_get_params(void);
/* Frees a list whose event was not raised. */
void evi_free_params(evi_params_p list);

/* The value is an `int *` or a `str *`, by the flags. Returns 0, or less without memory or with other flags. */
int evi_param_add(evi_params_p list, str *name, void *value, int flags);
int evi_param_set(evi_param_p param, void *value, int flags);
/* Appends a parameter that has no value yet. NULL without memory. */
evi_param_p evi_param_create(evi_params_p list, str *name);

#define evi_param_add_int(list, name, value) evi_param_add(list, name, value, EVI_INT_VAL)
#define evi_param_add_str(list, name, value) evi_param_add(list, name, value, EVI_STR_VAL)
#define evi_param_set_int(param, value) evi_param_set(param, value, EVI_INT_VAL)
#define evi_param_set_str(param, value) evi_param_set(param, value, EVI_STR_VAL)

OPENSIPS_MI_ASSERT(sizeof(evi_param_t) == 48, "layout of evi_param_t");
OPENSIPS_MI_ASSERT(offsetof(evi_param_t, name) == 24, "layout of evi_param_t");
OPENSIPS_MI_ASSERT(sizeof(evi_params_t) == 24, "layout of evi_params_t");

OPENSIPS_MI_END_C

#endif
