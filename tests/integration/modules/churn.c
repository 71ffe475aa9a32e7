/* A counter and texts in shared memory that all processes change, so that a death at any moment can be told from one
 * that has done harm. */
#include <string.h>

#include "../../sr_module.h"
#include "../../locking.h"
#include "../../mem/mem.h"
#include "../../ut.h"

#define SLOTS 64

struct text {
	unsigned int len;
	char bytes[];
};

static struct shared {
	gen_lock_t lock;
	unsigned long count;
	struct text *texts[SLOTS];
} *shared;

static int mod_init(void)
{
	shared = shm_malloc(sizeof(*shared));
	if (!shared)
		return -1;
	memset(shared, 0, sizeof(*shared));
	return lock_init(&shared->lock) ? 0 : -1;
}

/* A text of so many bytes, all the same. */
static struct text *make(unsigned int len, char byte)
{
	struct text *text = shm_malloc(sizeof(*text) + len);

	if (text) {
		text->len = len;
		memset(text->bytes, byte, len);
	}
	return text;
}

/* Stays a while with the lock, so that deaths find it held. */
static void dwell(struct text *text)
{
	volatile char *bytes = text->bytes;

	for (int turn = 0; turn < 200; turn++)
		for (unsigned int i = 0; i < text->len; i++)
			bytes[i] = bytes[i];
}

/* Puts another text into a slot, and says what was there before: `put SLOT LENGTH BYTE`. A death in it leaves the old
 * text or the new one in the slot, and at most one of them with nobody. */
static struct mi_root *mi_put(struct mi_root *request, void *param)
{
	struct mi_node *node = request->node.kids;
	struct mi_root *reply;
	struct text *old, *new;
	unsigned int slot, len;
	unsigned long count;

	(void)param;
	if (!node || !node->next || !node->next->next || str2int(&node->value, &slot) < 0 || slot >= SLOTS ||
		str2int(&node->next->value, &len) < 0)
		return init_mi_tree(400, MI_SSTR(MI_BAD_PARM));
	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	if (!reply)
		return NULL;
	lock_get(&shared->lock);
	new = make(len, *node->next->next->value.s);
	if (!new)
		goto error;
	dwell(new);
	old = shared->texts[slot];
	shared->texts[slot] = new;
	count = ++shared->count;
	node = addf_mi_node_child(&reply->node, 0, MI_SSTR("Count"), "%lu", count);
	if (node && old)
		node = add_mi_node_child(&reply->node, MI_DUP_VALUE, MI_SSTR("Before"), old->bytes, old->len);
	shm_free(old);
	lock_release(&shared->lock);
	return reply;
error:
	lock_release(&shared->lock);
	free_mi_tree(reply);
	return init_mi_tree(500, MI_SSTR("no more memory"));
}

/* Empties all slots. */
static struct mi_root *mi_empty(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)request;
	(void)param;
	lock_get(&shared->lock);
	for (int slot = 0; slot < SLOTS; slot++) {
		struct text *old = shared->texts[slot];

		shared->texts[slot] = NULL;
		shm_free(old);
	}
	lock_release(&shared->lock);
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Count"), "%lu", shared->count);
	return reply;
}

static mi_export_t mi_cmds[] = {
	{ "put", 0, mi_put, 0, 0, 0 },
	{ "empty", 0, mi_empty, MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"churn", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, 0, mod_init, 0, 0, 0,
};
