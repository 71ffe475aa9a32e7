/* Writes what it is given to the log, as often as it is asked. */
#include "../../sr_module.h"
#include "../../dprint.h"
#include "../../mi/mi.h"

static struct mi_root *say(struct mi_root *request, void *param)
{
	struct mi_node *node;

	(void)param;
	for (node = request->node.kids; node; node = node->next)
		LM_NOTICE("%.*s\n", node->value.len, node->value.s);
	return init_mi_tree(200, MI_SSTR(MI_OK));
}

static mi_export_t commands[] = {
	{"say", 0, say, 0, 0, 0},
	{0, 0, 0, 0, 0, 0},
};

struct module_exports exports = {
	"says", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, commands, 0, 0, 0, 0, 0, 0,
};
