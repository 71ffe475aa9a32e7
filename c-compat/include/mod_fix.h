/* Parameters of a module's functions for the routing script: prepared by fixup functions, read by the functions
 * themselves. This server runs no script, and none of them is called. */
#ifndef OPENSIPS_MI_MOD_FIX_H
#define OPENSIPS_MI_MOD_FIX_H

#include "linkage.h"
#include "pvar.h"

OPENSIPS_MI_BEGIN_C

#define GPARAM_TYPE_INT 0
#define GPARAM_TYPE_STR 1
#define GPARAM_TYPE_PVS 2
#define GPARAM_TYPE_PVE 3

#define GPARAM_INT_VALUE_FLAG (1U << 0)
#define GPARAM_STR_VALUE_FLAG (1U << 1)

typedef struct _gparam {
	int type;
	union {
		int ival;
		str sval;
		pv_spec_t *pvs;
		pv_elem_t *pve;
	} v;
} gparam_t, *gparam_p;

/* The names that a table has in it. */
#define FIXUP(name) int name(void **param, int param_no) OPENSIPS_MI_SCRIPT_ONLY
FIXUP(fixup_str_null);
FIXUP(fixup_str_str);
FIXUP(fixup_free_str_null);
FIXUP(fixup_free_str_str);
FIXUP(fixup_uint_null);
FIXUP(fixup_uint_uint);
FIXUP(fixup_sint_null);
FIXUP(fixup_sint_sint);
FIXUP(fixup_regexp_null);
FIXUP(fixup_regexpNL_null);
FIXUP(fixup_free_regexp_null);
FIXUP(fixup_regexp_none);
FIXUP(fixup_regexpNL_none);
FIXUP(fixup_free_regexp_none);
FIXUP(fixup_pvar_null);
FIXUP(fixup_free_pvar_null);
FIXUP(fixup_pvar_pvar);
FIXUP(fixup_free_pvar_pvar);
FIXUP(fixup_pvar_str);
FIXUP(fixup_free_pvar_str);
FIXUP(fixup_pvar_str_str);
FIXUP(fixup_free_pvar_str_str);
FIXUP(fixup_igp_null);
FIXUP(fixup_igp_igp);
FIXUP(fixup_igp_igp_igp);
FIXUP(fixup_igp_pvar_pvar);
FIXUP(fixup_free_igp_pvar_pvar);
FIXUP(fixup_spve_null);
FIXUP(fixup_spve_spve);
FIXUP(fixup_spve_uint);
FIXUP(fixup_sgp_null);
FIXUP(fixup_sgp_sgp);
#undef FIXUP

/* What a fixup function of a module's own calls for one parameter. */
#define FIXUP(name) int name(void **param) OPENSIPS_MI_SCRIPT_ONLY
FIXUP(fixup_str);
FIXUP(fixup_uint);
FIXUP(fixup_sint);
FIXUP(fixup_pvar);
FIXUP(fixup_igp);
FIXUP(fixup_spve);
FIXUP(fixup_sgp);
#undef FIXUP

int fixup_get_ivalue(struct sip_msg *msg, gparam_p gp, int *val) OPENSIPS_MI_SCRIPT_ONLY;
int fixup_get_svalue(struct sip_msg *msg, gparam_p gp, str *val) OPENSIPS_MI_SCRIPT_ONLY;
int fixup_get_isvalue(struct sip_msg *msg, gparam_p gp, int *i_val, str *s_val, unsigned int *flags)
	OPENSIPS_MI_SCRIPT_ONLY;

OPENSIPS_MI_END_C

#endif
