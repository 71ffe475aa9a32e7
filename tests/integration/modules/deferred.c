/* Requests that are answered later, by another command in whatever process runs it: once, twice, by pieces, never. */
#include <string.h>
#include <unistd.h>

#include "../../sr_module.h"
#include "../../locking.h"
#include "../../mem/shm_mem.h"
#include "../../ut.h"

#define ROWS 2048
#define KEY_ROOM 32

struct row {
	char key[KEY_ROOM];
	struct mi_handler *handler;
	char said[64];
};

static struct table {
	gen_lock_t lock;
	struct row rows[ROWS];
} *table;

static int mod_init(void)
{
	table = shm_malloc(sizeof(*table));
	if (!table)
		return -1;
	memset(table, 0, sizeof(*table));
	return lock_init(&table->lock) ? 0 : -1;
}

/* The row of a key, or a free one for an empty key. */
static struct row *find(const char *key)
{
	for (int i = 0; i < ROWS; i++)
		if (!strcmp(table->rows[i].key, key))
			return &table->rows[i];
	return NULL;
}

static struct mi_root *ok(void)
{
	return init_mi_tree(200, MI_SSTR(MI_OK));
}

/* KEY [VALUE...]: keeps the handler under the key. */
static struct mi_root *mi_later(struct mi_root *request, void *param)
{
	struct mi_node *key = request->node.kids;
	struct row *row;

	(void)param;
	if (!key || !key->value.len || key->value.len >= KEY_ROOM || !request->async_hdl)
		return init_mi_tree(400, MI_SSTR(MI_BAD_PARM));
	if (!strcmp(key->value.s, "now")) {
		struct mi_root *reply = ok();

		add_mi_node_child(&reply->node, 0, MI_SSTR("Answer"), MI_SSTR("at once"));
		return reply;
	}
	if (!strcmp(key->value.s, "fail"))
		return NULL;
	lock_get(&table->lock);
	row = find("");
	if (row) {
		row->handler = request->async_hdl;
		row->said[0] = 0;
		for (struct mi_node *value = key->next; value; value = value->next)
			strncat(row->said, value->value.s, sizeof(row->said) - strlen(row->said) - 1);
		strcpy(row->key + 1, key->value.s + 1);
		/* A row without it is free: a death before leaves one that is. */
		*(volatile char *)row->key = *key->value.s;
	}
	lock_release(&table->lock);
	/* Answered before it says that it answers later, or before it answers as well. */
	if (row && (!strcmp(key->value.s, "inside") || !strcmp(key->value.s, "both"))) {
		struct mi_root *reply = ok();

		memset(row, 0, sizeof(*row));
		request->async_hdl->handler_f(ok(), request->async_hdl, 1);
		return strcmp(key->value.s, "both") ? (free_mi_tree(reply), MI_ROOT_ASYNC_RPL) : reply;
	}
	return row ? MI_ROOT_ASYNC_RPL : NULL;
}

/* "Answer:: KEY said=..." and the process, or as many nodes as asked for. */
static struct mi_root *answer(struct row *row, unsigned int nodes)
{
	struct mi_root *reply = ok();
	struct mi_node *node = addf_mi_node_child(&reply->node, 0, MI_SSTR("Answer"), "%s", row->key);

	addf_mi_attr(node, 0, MI_SSTR("said"), "%s", row->said);
	for (unsigned int i = 0; i < nodes; i++)
		addf_mi_attr(addf_mi_node_child(node, 0, MI_SSTR("Row"), "%u", i), 0, MI_SSTR("twice"), "%u", 2 * i);
	return reply;
}

/* KEY [HOW [NODES]]: answers what is kept under the key. */
static struct mi_root *mi_finish(struct mi_root *request, void *param)
{
	struct mi_node *key = request->node.kids;
	const char *how = key && key->next ? key->next->value.s : "";
	struct mi_root *reply = ok();
	unsigned int nodes = 0;
	struct mi_handler *handler;
	struct row *found, row;

	(void)param;
	if (key && key->next && key->next->next && str2int(&key->next->next->value, &nodes) < 0)
		return init_mi_tree(400, MI_SSTR(MI_BAD_PARM));
	lock_get(&table->lock);
	found = key && key->value.len ? find(key->value.s) : NULL;
	if (found) {
		row = *found;
		if (strcmp(how, "interim") && strcmp(how, "keep"))
			*(volatile char *)found->key = 0;
	}
	lock_release(&table->lock);
	if (!found) {
		free_mi_tree(reply);
		return init_mi_tree(404, MI_SSTR("Nothing there"));
	}
	handler = row.handler;
	if (!strcmp(how, "null"))
		handler->handler_f(NULL, handler, 1);
	else if (!strcmp(how, "interim"))
		handler->handler_f(answer(&row, 0), handler, 0);
	else if (!strcmp(how, "error"))
		handler->handler_f(init_mi_tree(480, MI_SSTR("No way")), handler, 1);
	else
		handler->handler_f(answer(&row, nodes), handler, 1);
	if (!strcmp(how, "twice"))
		handler->handler_f(answer(&row, 0), handler, 1);
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Process"), "%d", (int)getpid());
	return reply;
}

/* The process, or its end. */
static struct mi_root *mi_who(struct mi_root *request, void *param)
{
	struct mi_root *reply = ok();

	(void)param;
	(void)request;
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Process"), "%d", (int)getpid());
	return reply;
}

/* Says that it answers later, without a handler: it takes no input. */
static struct mi_root *mi_no_input(struct mi_root *request, void *param)
{
	(void)param;
	return request ? NULL : MI_ROOT_ASYNC_RPL;
}

static mi_export_t mi_cmds[] = {
	{ "later", "answers later", mi_later, MI_ASYNC_RPL_FLAG, 0, 0 },
	{ "finish", 0, mi_finish, 0, 0, 0 },
	{ "who", 0, mi_who, MI_NO_INPUT_FLAG, 0, 0 },
	{ "no_input", 0, mi_no_input, MI_ASYNC_RPL_FLAG | MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"deferred", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, 0, mod_init, 0, 0, 0,
};
