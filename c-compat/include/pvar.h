/* Pseudo-variables of the routing script. A module's own are accepted and never asked for a value, as this server
 * runs no script; the message that they are asked for is not declared beyond its name. */
#ifndef OPENSIPS_MI_PVAR_H
#define OPENSIPS_MI_PVAR_H

/* Modules do not ask for all of these themselves: in OpenSIPS they come with this header. */
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <unistd.h>

#include "linkage.h"
#include "str.h"
#include "usr_avp.h"

OPENSIPS_MI_BEGIN_C

struct sip_msg;

/* A function that only the routing script has a use for. The server has one for all of them: it writes to the log
 * which module has called it, and fails. */
#define OPENSIPS_MI_SCRIPT_ONLY __asm__("opensips_mi_script_only")
/* The same, of one that gives a pointer. */
#define OPENSIPS_MI_SCRIPT_ONLY_POINTER __asm__("opensips_mi_script_only_pointer")

#define PV_MARKER '$'
#define PV_MARKER_STR "$"
#define PV_LNBRACKET '('
#define PV_RNBRACKET ')'
#define PV_LIBRACKET '['
#define PV_RIBRACKET ']'

/* Flags of a value. */
#define PV_VAL_NONE 0
#define PV_VAL_NULL 1
#define PV_VAL_EMPTY 2
#define PV_VAL_STR 4
#define PV_VAL_INT 8
#define PV_TYPE_INT 16
#define PV_VAL_PKG 32
#define PV_VAL_SHM 64

/* Types of a name, and of an index. */
#define PV_NAME_INTSTR 0
#define PV_NAME_PVAR 1
#define PV_IDX_PVAR 1
#define PV_IDX_ALL 2
#define PV_IDX_INT 3

/* Of the types of variables, those that have nothing to do with a message. A module's own are numbers from 1000. */
typedef enum _pv_type { PVT_NONE, PVT_EMPTY, PVT_NULL, PVT_AVP, PVT_SCRIPTVAR, PVT_EXTRA } pv_type_t;

typedef struct _pv_value {
	str rs;
	int ri;
	int flags;
} pv_value_t, *pv_value_p;

typedef struct _pv_name {
	int type;
	union {
		struct {
			int type;
			int_str name;
		} isname;
		void *dname;
	} u;
} pv_name_t, *pv_name_p;

typedef struct _pv_index {
	int type;
	union {
		int ival;
		void *dval;
	} u;
} pv_index_t, *pv_index_p;

typedef struct _pv_param {
	pv_name_t pvn;
	pv_index_t pvi;
	str pvv;
} pv_param_t, *pv_param_p;

typedef int (*pv_getf_t)(struct sip_msg *, pv_param_t *, pv_value_t *);
typedef int (*pv_setf_t)(struct sip_msg *, pv_param_t *, int, pv_value_t *);

typedef struct _pv_spec {
	pv_type_t type;
	pv_getf_t getf;
	pv_setf_t setf;
	pv_param_t pvp;
	struct pv_context *pvc;
	void *trans;
} pv_spec_t, *pv_spec_p;

typedef int (*pv_parse_name_f)(pv_spec_p sp, str *in);
typedef int (*pv_parse_index_f)(pv_spec_p sp, str *in);
typedef int (*pv_init_param_f)(pv_spec_p sp, int param);

typedef struct _pv_export {
	str name;
	pv_type_t type;
	pv_getf_t getf;
	pv_setf_t setf;
	pv_parse_name_f parse_name;
	pv_parse_index_f parse_index;
	pv_init_param_f init_param;
	int iparam;
} pv_export_t;

typedef struct _pv_elem {
	str text;
	pv_spec_t spec;
	struct _pv_elem *next;
} pv_elem_t, *pv_elem_p;

typedef struct pv_spec_list {
	pv_spec_p spec;
	struct pv_spec_list *next;
} pv_spec_list_t, *pv_spec_list_p;

char *pv_parse_spec(str *in, pv_spec_p sp) OPENSIPS_MI_SCRIPT_ONLY_POINTER;
int pv_parse_format(str *in, pv_elem_p *el) OPENSIPS_MI_SCRIPT_ONLY;
int pv_parse_index(pv_spec_p sp, str *in) OPENSIPS_MI_SCRIPT_ONLY;
int pv_init_iname(pv_spec_p sp, int param) OPENSIPS_MI_SCRIPT_ONLY;
int pv_elem_free_all(pv_elem_p list) OPENSIPS_MI_SCRIPT_ONLY;
int pv_printf(struct sip_msg *msg, pv_elem_p list, char *buf, int *len) OPENSIPS_MI_SCRIPT_ONLY;
int pv_printf_s(struct sip_msg *msg, pv_elem_p list, str *s) OPENSIPS_MI_SCRIPT_ONLY;
int pv_get_spec_value(struct sip_msg *msg, pv_spec_p sp, pv_value_t *value) OPENSIPS_MI_SCRIPT_ONLY;
int pv_set_value(struct sip_msg *msg, pv_spec_p sp, int op, pv_value_t *val) OPENSIPS_MI_SCRIPT_ONLY;
int pv_get_null(struct sip_msg *msg, pv_param_t *param, pv_value_t *res) OPENSIPS_MI_SCRIPT_ONLY;
int pv_get_uintval(struct sip_msg *msg, pv_param_t *param, pv_value_t *res, unsigned int number)
	OPENSIPS_MI_SCRIPT_ONLY;
int pv_get_sintval(struct sip_msg *msg, pv_param_t *param, pv_value_t *res, int number) OPENSIPS_MI_SCRIPT_ONLY;
int pv_get_strval(struct sip_msg *msg, pv_param_t *param, pv_value_t *res, str *text) OPENSIPS_MI_SCRIPT_ONLY;

OPENSIPS_MI_END_C

#endif
