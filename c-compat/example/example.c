/* A module with one of everything: parameters of each type, a statistic, a counter that all processes share, and
 * commands that read their input and answer with trees. */
#include <string.h>

#include "../../sr_module.h"
#include "../../dprint.h"
#include "../../error.h"
#include "../../locking.h"
#include "../../mem/mem.h"
#include "../../mem/shm_mem.h"
#include "../../mi/attr.h"
#include "../../mi/mi.h"
#include "../../mi/tree.h"
#include "../../pt.h"
#include "../../statistics.h"
#include "../../str.h"
#include "../../ut.h"

/* What all processes share. */
struct shared {
	gen_lock_t lock;
	int count;
};

static char *greeting = "hello";
static int step = 1;
/* Of the parameter `word`, which may be set several times. */
static str words[8];
static int word_count;
static int limit;

static struct shared *shared;
static stat_var *calls;
static int my_rank = 1;
static int inits;

static int add_word(modparam_t type, void *value)
{
	if (PARAM_TYPE_MASK(type) != STR_PARAM || word_count == 8)
		return E_CFG;
	words[word_count].s = value;
	words[word_count].len = strlen(value);
	word_count++;
	return 0;
}

static int set_limit(modparam_t type, void *value)
{
	if (PARAM_TYPE_MASK(type) != INT_PARAM)
		return E_CFG;
	limit = (int)(long)value;
	return limit < 0 ? E_CFG : 0;
}

static unsigned long count_now(void *context)
{
	(void)context;
	return shared ? (unsigned long)shared->count : 0;
}

static int mod_init(void)
{
	shared = shm_malloc(sizeof(*shared));
	if (!shared || !lock_init(&shared->lock)) {
		LM_ERR("no more shared memory\n");
		return E_OUT_OF_MEM;
	}
	shared->count = 0;
	LM_INFO("counting in steps of %d\n", step);
	return 0;
}

static int child_init(int rank)
{
	my_rank = rank;
	return 0;
}

static void destroy(void)
{
	LM_NOTICE("ends with %d\n", shared ? shared->count : -1);
	if (shared) {
		lock_destroy(&shared->lock);
		shm_free(shared);
	}
}

static int mi_child_init(void)
{
	inits++;
	return 0;
}

/* Adds to the counter: as much as the parameter says, or one step. */
static struct mi_root *mi_count(struct mi_root *request, void *param)
{
	struct mi_node *node = request->node.kids;
	struct mi_root *reply;
	int more = step;
	int count;

	(void)param;
	if (node && (node->next || str2sint(&node->value, &more) < 0))
		return init_mi_tree(400, MI_SSTR(MI_BAD_PARM));
	lock_get(&shared->lock);
	if (limit && shared->count + more > limit) {
		lock_release(&shared->lock);
		return init_mi_tree(403, MI_SSTR("Limit reached"));
	}
	shared->count += more;
	count = shared->count;
	lock_release(&shared->lock);
	update_stat(calls, 1);

	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	if (!reply)
		return NULL;
	if (!addf_mi_node_child(&reply->node, 0, MI_SSTR("Count"), "%d", count)) {
		free_mi_tree(reply);
		return NULL;
	}
	return reply;
}

/* Shows the module's settings, and its process. */
static struct mi_root *mi_show(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));
	struct mi_node *node;

	(void)request;
	if (!reply)
		return NULL;
	node = add_mi_node_child(&reply->node, 0, MI_SSTR("Greeting"), greeting, strlen(greeting));
	if (!node || !addf_mi_attr(node, 0, MI_SSTR("step"), "%d", step) ||
		!add_mi_attr(node, MI_DUP_VALUE, MI_SSTR("param"), param, strlen(param)))
		goto error;
	for (int i = 0; i < word_count; i++)
		if (!add_mi_node_child(node, 0, MI_SSTR("Word"), words[i].s, words[i].len))
			goto error;
	if (!addf_mi_node_child(&reply->node, 0, MI_SSTR("Process"), "rank=%d inits=%d numbered=%d", my_rank, inits,
		process_no > 0))
		goto error;
	return reply;
error:
	free_mi_tree(reply);
	return NULL;
}

/* Gives its parameters back, with their names. */
static struct mi_root *mi_echo(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)param;
	if (reply)
		reply->node.flags |= MI_IS_ARRAY;
	for (struct mi_node *node = request->node.kids; reply && node; node = node->next) {
		struct mi_node *said = addf_mi_node_child(&reply->node, 0, MI_SSTR("Said"), "%.*s", node->value.len,
			node->value.s);

		if (said && node->name.len)
			add_mi_attr(said, MI_DUP_VALUE, MI_SSTR("name"), node->name.s, node->name.len);
	}
	return reply;
}

static param_export_t params[] = {
	{ "greeting", STR_PARAM, &greeting },
	{ "step", INT_PARAM, &step },
	{ "word", STR_PARAM | USE_FUNC_PARAM, (void *)add_word },
	{ "limit", INT_PARAM | USE_FUNC_PARAM, (void *)set_limit },
	{ 0, 0, 0 },
};

static stat_export_t stats[] = {
	{ "calls", 0, &calls },
	{ "count", STAT_IS_FUNC, (stat_var **)count_now },
	{ 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "example_count", "adds to the counter", mi_count, 0, 0, mi_child_init },
	{ "example_show", "shows settings and process", mi_show, MI_NO_INPUT_FLAG, "given", 0 },
	{ "example_echo", 0, mi_echo, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"example",
	MODULE_VERSION,
	DEFAULT_DLFLAGS,
	0,       /* functions of the routing script */
	params,
	stats,
	mi_cmds,
	0,       /* pseudo-variables */
	0,       /* processes */
	mod_init,
	0,       /* replies of SIP */
	destroy,
	child_init,
};
