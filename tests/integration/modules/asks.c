/* Asks the server for its own statistics and commands. */
#include <string.h>

#include "../../sr_module.h"
#include "../../mem/shm_mem.h"
#include "../../mi/mi.h"
#include "../../statistics.h"
#include "../../ut.h"

static str shm_size = str_init("total_size");
static stat_var *mine;
static int *seen;

static int mod_init(void)
{
	seen = shm_malloc(sizeof(*seen));
	if (!seen)
		return -1;
	*seen = 0;
	/* There is no server yet, and the table's commands are registered after this. */
	return get_stat(&shm_size) || lookup_mi_cmd("ps", 2) || lookup_mi_cmd("ask_stat", 8) ? -2 : 0;
}

/* A process that runs a command of the server, and keeps how many nodes the reply has. */
static void look(int no)
{
	struct mi_cmd *ps = lookup_mi_cmd("ps", 2);
	struct mi_root *reply = ps ? ps->f(NULL, ps->param) : NULL;
	int count = 0;

	(void)no;
	if (reply && reply->code == 200)
		for (struct mi_node *node = reply->node.kids; node; node = node->next)
			count += node->attributes && !strcmp(node->name.s, "Process");
	free_mi_tree(reply);
	*seen = count;
	for (;;)
		sleep_us(1000000);
}

static struct mi_root *mi_ask_stat(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));
	stat_var *var = get_stat(&request->node.kids->value);

	(void)param;
	if (!var) {
		add_mi_node_child(&reply->node, 0, MI_SSTR("None"), 0, 0);
		return reply;
	}
	update_stat(var, 1000);
	reset_stat(var);
	addf_mi_node_child(&reply->node, MI_DUP_NAME, var->name.s, var->name.len, "%lu %d %d", get_stat_val(var),
		get_stat(&request->node.kids->value) == var, *seen);
	return reply;
}

/* What the command answers that the first parameter names, with the others as its own. */
static struct mi_root *mi_ask_cmd(struct mi_root *request, void *param)
{
	struct mi_node *node = request->node.kids;
	struct mi_cmd *cmd = lookup_mi_cmd(node->value.s, node->value.len);
	struct mi_root *reply, *asked;

	(void)param;
	if (!cmd)
		return init_mi_tree(404, MI_SSTR("No such command"));
	if (cmd->flags & MI_NO_INPUT_FLAG)
		return cmd->f(NULL, cmd->param);
	asked = init_mi_tree(0, 0, 0);
	while ((node = node->next))
		add_mi_node_child(&asked->node, 0, node->name.s, node->name.len, node->value.s, node->value.len);
	reply = cmd->f(asked, cmd->param);
	free_mi_tree(asked);
	return reply;
}

/* All commands, as which lists them. */
static struct mi_root *mi_ask_all(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));
	struct mi_cmd *cmds;
	int count;

	(void)request;
	(void)param;
	get_mi_cmds(&cmds, &count);
	for (int i = 0; i < count; i++)
		add_mi_node_child(&reply->node, 0, 0, 0, cmds[i].name.s, strlen(cmds[i].name.s));
	return reply;
}

static proc_export_t procs[] = {
	{ "Looker", 0, 0, look, 1, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

static stat_export_t stats[] = {
	{ "mine", 0, &mine },
	{ 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "ask_stat", 0, mi_ask_stat, 0, 0, 0 },
	{ "ask_cmd", 0, mi_ask_cmd, 0, 0, 0 },
	{ "ask_all", 0, mi_ask_all, MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"asks", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, stats, mi_cmds, 0, procs, mod_init, 0, 0, 0,
};
