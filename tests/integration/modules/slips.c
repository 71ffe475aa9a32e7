/* Mistakes with memory, each on request: what a checker of memory has to find. */
#include <string.h>

#include "../../sr_module.h"
#include "../../mem/mem.h"
#include "../../ut.h"

/* Keeps the compiler from seeing that something is wrong. */
static char *volatile block;
static volatile int sink;

static struct mi_root *mi_slip(struct mi_root *request, void *param)
{
	str *kind = &request->node.kids->value;
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)param;
	block = pkg_malloc(40);
	if (!reply || !block)
		return NULL;
	if (!strcmp(kind->s, "write")) {
		block[40] = 1;
	} else if (!strcmp(kind->s, "read")) {
		pkg_free(block);
		sink = block[0];
		return reply;
	} else if (!strcmp(kind->s, "branch")) {
		if (block[7] == 7)
			sink = 1;
	} else if (!strcmp(kind->s, "leak")) {
		block = NULL;
		return reply;
	} else if (!strcmp(kind->s, "value")) {
		/* Past the value that the server has made. */
		sink = kind->s[kind->len + 1];
	}
	pkg_free(block);
	block = NULL;
	return reply;
}

static mi_export_t mi_cmds[] = {
	{ "slip", 0, mi_slip, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"slips", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, 0, 0, 0, 0, 0,
};
