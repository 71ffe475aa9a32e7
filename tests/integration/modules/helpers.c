/* A module as they are written for OpenSIPS, with functions and pseudo-variables for the routing script, whose MI
 * command tells what the helpers of the headers give. */
#include <stdlib.h>
#include <string.h>

#include "../../sr_module.h"
#include "../../dprint.h"
#include "../../error.h"
#include "../../hash_func.h"
#include "../../locking.h"
#include "../../md5utils.h"
#include "../../mem/mem.h"
#include "../../mem/shm_mem.h"
#include "../../mi/mi.h"
#include "../../mod_fix.h"
#include "../../pvar.h"
#include "../../rw_locking.h"
#include "../../script_var.h"
#include "../../time_rec.h"
#include "../../trim.h"
#include "../../ut.h"

#define LOCKS 16

/* A variable that all processes share, as the routing script and MI see it. */
static script_var_t *variable;
static gen_lock_set_t *locks;
static rw_lock_t *lock;
static char *hash_file;
/* What mod_init is to ask of the routing script, if anything. */
static char *wish;

/* Functions for the routing script: never called here. */
static int set_it(struct sip_msg *msg, char *value, char *unused)
{
	str text;

	(void)unused;
	if (fixup_get_svalue(msg, (gparam_p)value, &text) < 0)
		return -1;
	variable->v.value.n = text.len;
	return 1;
}

static int is_time(struct sip_msg *msg, char *text, char *unused)
{
	tmrec_p times = tmrec_new(SHM_ALLOC);
	ac_tm_t now;
	char *end;

	(void)msg;
	(void)unused;
	if (!times)
		return -1;
	load_TR_value(text, end, times, tr_parse_dtstart, failed, done);
	load_TR_value(text, end, times, tr_parse_duration, failed, done);
done:
	if (!ac_tm_set_time(&now, time(NULL)) && !check_tmrec(times, &now, 0)) {
		tmrec_free(times);
		return 1;
	}
failed:
	tmrec_free(times);
	return -1;
}

static int get_it(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	if (param->pvn.type != PV_NAME_INTSTR)
		return pv_get_null(msg, param, value);
	value->ri = variable->v.value.n;
	value->rs.s = int2str(value->ri, &value->rs.len);
	value->flags = PV_VAL_STR | PV_VAL_INT | PV_TYPE_INT;
	return 0;
}

static int mod_init(void)
{
	str name = str_init("$var(x)");
	pv_spec_t spec;
	pv_elem_p format;

	if (wish && !strcmp(wish, "spec") && !pv_parse_spec(&name, &spec))
		return E_CFG;
	if (wish && !strcmp(wish, "format") && pv_parse_format(&name, &format) < 0)
		return E_CFG;
	variable = shm_malloc(sizeof(*variable));
	locks = lock_set_alloc(LOCKS);
	lock = lock_init_rw();
	if (!variable || !locks || !lock_set_init(locks) || !lock)
		return E_OUT_OF_MEM;
	memset(variable, 0, sizeof(*variable));
	return 0;
}

static void destroy(void)
{
	if (!variable)
		return;
	lock_destroy_rw(lock);
	lock_set_destroy(locks);
	lock_set_dealloc(locks);
	shm_status();
	pkg_status();
	shm_free(variable);
}

#define TELL(name, format, args...) addf_mi_node_child(&reply->node, 0, MI_SSTR(name), format, ##args)

static void tell_numbers(struct mi_root *reply, str *text)
{
	unsigned int number = 0;
	char *digits;
	int len, result, signed_number = 0;

	result = str2int(text, &number);
	TELL("str2int", "%d %u", result, number);
	result = str2sint(text, &signed_number);
	TELL("str2sint", "%d %d", result, signed_number);
	result = strno2int(text, &number);
	TELL("strno2int", "%d %u", result, number);
	digits = int2str(number, &len);
	TELL("int2str", "%.*s %d", len, digits, len);
	digits = sint2str(signed_number, &len);
	TELL("sint2str", "%.*s %d", len, digits, len);
}

static void tell_coded(struct mi_root *reply, str *text)
{
	char hex[256], reversed[8], small[2], base64[256], back[256];
	char *at = reversed;
	int room = sizeof(reversed), len, result;

	result = string2hex((unsigned char *)text->s, text->len, hex);
	TELL("hex", "%d %.*s", result, text->len ? 2 * result : 1, hex);
	result = int2reverse_hex(&at, &room, 0x1f2e);
	TELL("reverse", "%d %.*s %d %x", result, (int)(at - reversed), reversed, room,
		(unsigned int)reverse_hex2int(reversed, at - reversed));
	at = small;
	room = sizeof(small);
	TELL("no room", "%d", int2reverse_hex(&at, &room, 0x1f2e));
	len = calc_base64_encode_len(text->len);
	base64encode((unsigned char *)base64, (unsigned char *)text->s, text->len);
	result = base64decode((unsigned char *)back, (unsigned char *)base64, len);
	TELL("base64", "%.*s %d", len, base64,
		result == text->len && result <= calc_max_base64_decode_len(len) && !memcmp(back, text->s, result));
}

static void tell_strings(struct mi_root *reply, str *text)
{
	str copy = { 0, 0 };
	str upper = str_init("ABCDE fgh");
	str lower = str_init("abcde FGH");
	char *begin;
	int len;

	if (pkg_str_dup(&copy, text) < 0)
		return;
	TELL("hash", "%u %u %u", core_hash(&copy, 0, 0), core_hash(&copy, &upper, 256), core_hash(&lower, 0, 0));
	TELL("case hash", "%d", core_case_hash(&upper, &copy, 0) == core_case_hash(&lower, &copy, 0));
	TELL("compare", "%d %d %d", str_strcasecmp(&upper, &lower), str_strcmp(&upper, &lower) < 0,
		str_strcasecmp(&lower, 0));
	trim_len(len, begin, copy);
	TELL("trim_len", "[%.*s]", len, begin);
	begin = q_memrchr(copy.s, 'e', copy.len);
	TELL("last e", "%d", begin ? (int)(begin - copy.s) : -1);
	trim_r(copy);
	TELL("trim_r", "[%.*s]", copy.len, copy.s);
	begin = copy.s;
	str_trim_spaces_lr(copy);
	TELL("spaces", "[%.*s]", copy.len, copy.s);
	trim(&copy);
	TELL("trim", "[%.*s]", copy.len, copy.s);
	pkg_free(begin);
}

static void tell_sums(struct mi_root *reply, str *text)
{
	str parts[2] = { *text, str_init(" and more\r\n") };
	char sum[MD5_LEN];

	MD5StringArray(sum, text, 1);
	TELL("md5", "%.*s", MD5_LEN, sum);
	MD5StringArray(sum, parts, 2);
	TELL("md5 of both", "%.*s", MD5_LEN, sum);
	if (hash_file && !MD5File(sum, hash_file))
		TELL("md5 of file", "%.*s", MD5_LEN, sum);
	TELL("no file", "%d", MD5File(sum, "/nowhere/at all"));
}

/* Variables as the routing script has them, and functions that modules find by name. */
static void tell_script(struct mi_root *reply, str *text)
{
	str name = str_init("text");
	str none = { 0, 0 };
	int_str value = { .s = *text };
	script_var_t *var = add_var(&name);

	if (!var || add_var(&name) != var || get_var_by_name(&name) != var)
		return;
	TELL("new", "%d %d %d", var->v.flags == VAR_VAL_NULL, add_var(&none) != NULL, get_var_by_name(text) != NULL);
	if (set_var_value(var, &value, VAR_VAL_STR))
		TELL("text", "%d %s", var->v.flags, var->v.value.s.s);
	value.n = -5;
	if (set_var_value(var, &value, 0))
		TELL("number", "%d %d", var->v.flags, var->v.value.n);
	set_var_value(var, NULL, 0);
	TELL("none", "%d", var->v.flags == VAR_VAL_NULL && set_var_value(NULL, &value, 0) == NULL);
	TELL("found", "%d %d", find_export("set_it", 1, 0) == (cmd_function)(void *)set_it,
		find_mod_export(MOD_NAME, "is_time", 1, TIMER_ROUTE) == (cmd_function)(void *)is_time);
	TELL("not found", "%d %d %d %d", find_export("set_it", 2, 0) != NULL, find_export("set_it", 1, TIMER_ROUTE) != NULL,
		find_mod_export("other", "set_it", 1, 0) != NULL, module_loaded("other"));
	TELL("loaded", "%d", module_loaded(MOD_NAME));
}

/* What the helpers make of the parameter. */
static struct mi_root *mi_help(struct mi_root *request, void *param)
{
	struct mi_node *node = request->node.kids;
	struct mi_root *reply;

	(void)param;
	if (!node || node->value.len > 100)
		return init_mi_tree(400, MI_SSTR(MI_MISSING_PARM));
	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	if (!reply)
		return NULL;
	tell_numbers(reply, &node->value);
	tell_coded(reply, &node->value);
	tell_strings(reply, &node->value);
	tell_sums(reply, &node->value);
	tell_script(reply, &node->value);
	return reply;
}

/* Adds one to the shared variable, under each lock of the set in turn and under the other kind of lock. */
static struct mi_root *mi_add(struct mi_root *request, void *param)
{
	struct mi_root *reply;
	int now;

	(void)request;
	(void)param;
	for (int i = 0; i < LOCKS; i++)
		lock_set_get(locks, i);
	lock_start_write(lock);
	variable->v.value.n++;
	lock_stop_write(lock);
	for (int i = LOCKS; i-- > 0;)
		lock_set_release(locks, i);
	lock_start_read(lock);
	now = variable->v.value.n;
	lock_stop_read(lock);
	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	if (reply)
		TELL("Now", "%d", now);
	return reply;
}

static cmd_export_t cmds[] = {
	{ "set_it", (cmd_function)(void *)set_it, 1, fixup_spve_null, fixup_free_str_null, REQUEST_ROUTE | EVENT_ROUTE },
	{ "is_time", (cmd_function)(void *)is_time, 1, fixup_sgp_null, 0, ONREPLY_ROUTE | TIMER_ROUTE },
	{ 0, 0, 0, 0, 0, 0 },
};

static pv_export_t items[] = {
	{ str_init("it"), 1000, get_it, 0, 0, 0, 0, 0 },
	{ { 0, 0 }, 0, 0, 0, 0, 0, 0, 0 },
};

static param_export_t params[] = {
	{ "hash_file", STR_PARAM, &hash_file },
	{ "wish", STR_PARAM, &wish },
	{ 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "helpers", "what the helpers make of a text", mi_help, 0, 0, 0 },
	{ "helpers_add", "adds one", mi_add, MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

/* For whom it is compiled: this server, OpenSIPS itself, or this server as it was. */
#if WHOSE == 1
#define VERSION_TEXT "1.11.11-notls"
#elif WHOSE == 2
#define VERSION_TEXT "opensips-mi, interface of 1.11, number 0"
#else
#define VERSION_TEXT OPENSIPS_FULL_VERSION
#endif

struct module_exports exports = {
	MOD_NAME, VERSION_TEXT, OPENSIPS_COMPILE_FLAGS, DEFAULT_DLFLAGS, cmds, params, 0, mi_cmds, items, 0, mod_init, 0, destroy, 0,
};
