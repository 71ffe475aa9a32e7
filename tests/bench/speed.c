/* Commands whose replies are those of commands in Rust: what a module in C costs beside one that is built in. */
#include <stdio.h>
#include <string.h>

#include "../../sr_module.h"
#include "../../statistics.h"

/* Statistics, of which a reply has all. */
#define ROWS 100

static char names[ROWS][16];
static char labels[ROWS][24];
static stat_var *rows[ROWS];

static int mod_init(void)
{
	for (int i = 0; i < ROWS; i++) {
		snprintf(names[i], sizeof(names[i]), "row_%02d", i);
		snprintf(labels[i], sizeof(labels[i]), "speed:%s", names[i]);
		if (register_stat("speed", names[i], &rows[i], 0) < 0)
			return -1;
	}
	return 0;
}

/* As `version` answers. */
static struct mi_root *mi_version(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)request;
	(void)param;
	if (reply)
		add_mi_node_child(&reply->node, 0, MI_SSTR("Server"),
			MI_SSTR("OpenSIPS (opensips-mi-0.1.0 (x86_64/linux))"));
	return reply;
}

/* As `get_statistics` answers for `speed:`. */
static struct mi_root *mi_rows(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)request;
	(void)param;
	for (int i = 0; reply && i < ROWS; i++)
		if (!addf_mi_node_child(&reply->node, 0, labels[i], strlen(labels[i]), "%lu", get_stat_val(rows[i]))) {
			free_mi_tree(reply);
			return NULL;
		}
	return reply;
}

static mi_export_t mi_cmds[] = {
	{ "speed_version", 0, mi_version, MI_NO_INPUT_FLAG, 0, 0 },
	{ "speed_rows", 0, mi_rows, MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"speed", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, 0, mod_init, 0, 0, 0,
};
