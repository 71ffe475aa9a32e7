/* Replies of every shape and size, from static text and from copies; deaths of the worker. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../sr_module.h"
#include "../../locking.h"
#include "../../timer.h"
#include "../../ut.h"

static gen_lock_t *lock;
static int *count;
static char **kept;
static int *volatile nowhere;

static int mod_init(void)
{
	lock = lock_alloc();
	count = shm_malloc(sizeof(*count));
	kept = shm_malloc(sizeof(*kept));
	if (!lock || !count || !kept || !lock_init(lock))
		return -1;
	*count = 0;
	*kept = NULL;
	/* A command may be registered here as well as in the table. */
	return register_mi_cmd((mi_cmd_f *)0, "none", 0, 0, 0, 0, "shapes") == -1 ? 0 : -1;
}

/* As many nodes as asked for, each with attributes; the values are those of one buffer. */
static struct mi_root *mi_nodes(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));
	struct mi_node *around, *node;
	unsigned int wanted;

	(void)param;
	if (!reply || !request->node.kids || str2int(&request->node.kids->value, &wanted) < 0)
		goto error;
	around = add_mi_node_child(&reply->node, MI_IS_ARRAY, MI_SSTR("Table"), MI_SSTR("all"));
	for (unsigned int i = 0; around && i < wanted; i++) {
		char text[32];
		int len;
		char *number = int2bstr(i, text, &len);

		node = add_mi_node_child(around, MI_DUP_VALUE, MI_SSTR("Row"), number, len);
		if (!node || !addf_mi_attr(node, MI_DUP_NAME, MI_SSTR("twice"), "%u", 2 * i) ||
			!add_mi_attr(node, 0, MI_SSTR("kind"), MI_SSTR("row")))
			goto error;
	}
	return reply;
error:
	free_mi_tree(reply);
	return NULL;
}

/* What the parameter names. */
static struct mi_root *mi_shape(struct mi_root *request, void *param)
{
	str *wanted = &request->node.kids->value;
	struct mi_root *reply;
	struct mi_node *node;

	(void)param;
	if (!strcmp(wanted->s, "nothing"))
		return NULL;
	if (!strcmp(wanted->s, "async"))
		return MI_ROOT_ASYNC_RPL;
	if (!strcmp(wanted->s, "empty"))
		return init_mi_tree(200, MI_SSTR(MI_OK));
	if (!strcmp(wanted->s, "code")) {
		reply = init_mi_tree(202, MI_SSTR("Accepted"));
		add_mi_node_child(&reply->node, 0, MI_SSTR("Later"), 0, 0);
		return reply;
	}
	if (!strcmp(wanted->s, "error")) {
		reply = init_mi_tree(480, MI_SSTR("No\nway"));
		add_mi_node_child(&reply->node, 0, MI_SSTR("Why"), MI_SSTR("because"));
		return reply;
	}
	if (!strcmp(wanted->s, "deep")) {
		reply = init_mi_tree(200, MI_SSTR(MI_OK));
		node = &reply->node;
		for (int i = 0; i < 1000; i++)
			node = add_mi_node_child(node, 0, MI_SSTR("n"), 0, 0);
		return reply;
	}
	/* Text of the request, which is freed with it. */
	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	node = add_mi_node_child(&reply->node, 0, MI_SSTR("Text"), wanted->s, wanted->len);
	add_mi_node_sibling(node, 0, 0, 0, MI_SSTR("nameless"));
	addf_mi_node_sibling(node, 0, MI_SSTR("Ticks"), "%s", get_ticks() < 600 ? "few" : "many");
	return reply;
}

static struct mi_root *counted(void)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	addf_mi_node_child(&reply->node, 0, MI_SSTR("Count"), "%d", *count);
	return reply;
}

/* Dies as asked: at once, or with the lock. */
static struct mi_root *mi_die(struct mi_root *request, void *param)
{
	(void)param;
	if (request->node.kids && !strcmp(request->node.kids->value.s, "locked")) {
		lock_get(lock);
		++*count;
	}
	*nowhere = 1;
	return NULL;
}

static struct mi_root *mi_count(struct mi_root *request, void *param)
{
	(void)request;
	(void)param;
	lock_get(lock);
	++*count;
	lock_release(lock);
	return counted();
}

/* Keeps a text in shared memory, or gives back what is kept there. */
static struct mi_root *mi_keep(struct mi_root *request, void *param)
{
	struct mi_node *given = request->node.kids;
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)param;
	if (given) {
		*kept = shm_realloc(*kept, given->value.len + 1);
		if (!*kept) {
			free_mi_tree(reply);
			return init_mi_tree(500, MI_SSTR("no more memory"));
		}
		strcpy(*kept, given->value.s);
	}
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Kept"), "%s", *kept ? *kept : "");
	return reply;
}

/* Takes shared memory until there is no more, and gives it all back. */
static struct mi_root *mi_fill(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));
	void *first = NULL;
	void **block;
	long blocks = 0;

	(void)request;
	(void)param;
	while ((block = shm_malloc(65536))) {
		*block = first;
		first = block;
		blocks++;
	}
	while (first) {
		block = first;
		first = *block;
		shm_free(block);
	}
	shm_free(reply);
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Blocks"), "%ld", blocks);
	return reply;
}

static mi_export_t mi_cmds[] = {
	{ "nodes", 0, mi_nodes, 0, 0, 0 },
	{ "shape", 0, mi_shape, 0, 0, 0 },
	{ "die", 0, mi_die, 0, 0, 0 },
	{ "count", 0, mi_count, MI_NO_INPUT_FLAG, 0, 0 },
	{ "keep", 0, mi_keep, 0, 0, 0 },
	{ "fill", 0, mi_fill, MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"shapes", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, 0, mod_init, 0, 0, 0,
};
