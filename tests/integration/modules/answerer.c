/* Requests that processes of the module answer, in the order in which they find them. */
#include <string.h>

#include "../../sr_module.h"
#include "../../locking.h"
#include "../../mem/shm_mem.h"
#include "../../ut.h"

#define ROWS 512
#define KEY_ROOM 32

struct row {
	char key[KEY_ROOM];
	struct mi_handler *handler;
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

/* KEY: keeps the handler; the last store makes the row one. */
static struct mi_root *mi_keep(struct mi_root *request, void *param)
{
	struct mi_node *key = request->node.kids;
	struct mi_root *reply = NULL;

	(void)param;
	if (!key || key->value.len >= KEY_ROOM || !request->async_hdl)
		return init_mi_tree(400, MI_SSTR(MI_BAD_PARM));
	lock_get(&table->lock);
	for (int i = 0; i < ROWS && !reply; i++)
		if (!table->rows[i].handler) {
			strcpy(table->rows[i].key, key->value.s);
			table->rows[i].handler = request->async_hdl;
			reply = MI_ROOT_ASYNC_RPL;
		}
	lock_release(&table->lock);
	return reply;
}

/* Takes a row out and answers it; every second process answers first, and takes it out then. */
static void answer(struct row *row, int is_first)
{
	struct row taken;
	struct mi_root *reply;

	lock_get(&table->lock);
	taken = *row;
	if (!is_first)
		row->handler = NULL;
	lock_release(&table->lock);
	if (!taken.handler)
		return;
	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Answer"), "%s", taken.key);
	taken.handler->handler_f(reply, taken.handler, 1);
	lock_get(&table->lock);
	if (is_first && row->handler == taken.handler && !strcmp(row->key, taken.key))
		row->handler = NULL;
	lock_release(&table->lock);
}

static void serve(int no)
{
	for (;;) {
		for (int i = 0; i < ROWS; i++)
			answer(&table->rows[i], no % 2);
		sleep_us(1000);
	}
}

static proc_export_t procs[] = {
	{ "Answerer", 0, 0, serve, 2, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "keep", 0, mi_keep, MI_ASYNC_RPL_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"answerer", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, procs, mod_init, 0, 0, 0,
};
