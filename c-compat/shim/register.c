/* Keeps the commands and statistics that modules register before the processes are forked, and finds them by name. */
#include <stdlib.h>
#include <string.h>

#include "../include/mem/shm_mem.h"
#include "../include/sr_module.h"
#include "shim.h"

static struct mi_cmd *commands;
static int command_count;
static struct opensips_mi_stat *stats;
static struct opensips_mi_stat **last_stat = &stats;

static struct mi_cmd *find(struct mi_cmd *rows, int count, const char *name, int len)
{
	for (int i = 0; i < count; i++)
		if (rows[i].name.len == len && !memcmp(rows[i].name.s, name, len))
			return &rows[i];
	return NULL;
}

void opensips_mi_registered_cmds(struct mi_cmd **cmds, int *size)
{
	*cmds = commands;
	*size = command_count;
}

void get_mi_cmds(struct mi_cmd **cmds, int *size)
{
	*cmds = opensips_mi_all_cmds(size);
	if (!*cmds)
		opensips_mi_registered_cmds(cmds, size);
}

struct mi_cmd *lookup_mi_cmd(char *name, int len)
{
	struct mi_cmd *rows;
	int count;

	get_mi_cmds(&rows, &count);
	return find(rows, count, name, len);
}

static str str_of(char *text)
{
	str result = { text, text ? (int)strlen(text) : 0 };

	return result;
}

int register_mi_cmd(mi_cmd_f f, char *name, char *help, void *param, mi_child_init_f in, unsigned int flags,
	char *mod_name)
{
	struct mi_cmd *more;

	if (!f || !name || !*name) {
		LM_ERR("a command without a function or without a name\n");
		return -1;
	}
	if (opensips_mi_is_registration_closed()) {
		LM_ERR("%s: commands are registered before the processes are forked\n", name);
		return -1;
	}
	if (find(commands, command_count, name, strlen(name))) {
		LM_ERR("%s: there is a command of that name already\n", name);
		return -1;
	}
	more = realloc(commands, (command_count + 1) * sizeof(*more));
	if (!more)
		return -1;
	commands = more;
	more += command_count;
	memset(more, 0, sizeof(*more));
	more->id = command_count++;
	more->module = str_of(mod_name);
	more->name = str_of(name);
	more->help = str_of(help);
	more->init_f = in;
	more->f = f;
	more->flags = flags;
	more->param = param;
	return 0;
}

int register_mi_mod(char *mod_name, mi_export_t *mis)
{
	int result = 0;

	for (; mis && mis->name; mis++)
		if (register_mi_cmd(mis->cmd, mis->name, mis->help, mis->param, mis->init_f, mis->flags, mod_name) < 0)
			result = -1;
	return result;
}

struct opensips_mi_stat *opensips_mi_stats(void)
{
	return stats;
}

int register_stat2(char *module, char *name, stat_var **pvar, unsigned short flags, void *context, int unsafe)
{
	struct opensips_mi_stat *stat;

	(void)unsafe;
	if (!module || !name || !pvar || opensips_mi_is_registration_closed()) {
		LM_ERR("%s: statistics need a name and a place, and are registered before the processes are forked\n",
			name ? name : "");
		return -1;
	}
	stat = calloc(1, sizeof(*stat));
	if (!stat)
		return -1;
	stat->module = module;
	stat->var.name = str_of(name);
	stat->var.flags = flags;
	stat->var.context = context;
	if (flags & STAT_IS_FUNC) {
		stat->var.u.f = (stat_function)pvar;
	} else {
		stat->var.u.val = shm_malloc(sizeof(stat_val));
		if (!stat->var.u.val) {
			free(stat);
			return -1;
		}
		atomic_set(stat->var.u.val, 0);
		*pvar = &stat->var;
	}
	*last_stat = stat;
	last_stat = &stat->next;
	return 0;
}

int __register_module_stats(char *module, stat_export_t *exports, int unsafe)
{
	for (; exports && exports->name; exports++)
		if (register_stat2(module, exports->name, exports->stat_pointer, exports->flags, NULL, unsafe) < 0)
			return -1;
	return 0;
}

stat_var *get_stat(str *name)
{
	for (struct opensips_mi_stat *stat = stats; stat; stat = stat->next)
		if (stat->var.name.len == name->len && !memcmp(stat->var.name.s, name->s, name->len))
			return &stat->var;
	return opensips_mi_find_stat(name);
}
