/* Finds functions in the tables of C modules by name, for other C modules. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../include/sr_module.h"
#include "shim.h"

static const struct module_exports **modules;
static int module_count;

int opensips_mi_add_module(const struct module_exports *exports)
{
	const struct module_exports **more = realloc(modules, (module_count + 1) * sizeof(*more));

	if (!more)
		return -1;
	modules = more;
	modules[module_count++] = exports;
	return 0;
}

int module_loaded(char *name)
{
	for (int i = 0; i < module_count; i++)
		if (!strcasecmp(modules[i]->name, name))
			return 1;
	return 0;
}

/* Searches the module of that name, or all modules when `module` is NULL. */
static cmd_function find(const char *module, const char *name, int param_no, int flags)
{
	for (int i = 0; i < module_count; i++) {
		if (module && strcmp(modules[i]->name, module))
			continue;
		for (cmd_export_t *row = modules[i]->cmds; row && row->name; row++)
			if (row->param_no == param_no && (row->flags & flags) == flags && !strcmp(row->name, name))
				return row->function;
	}
	return NULL;
}

cmd_function find_export(char *name, int param_no, int flags)
{
	return find(NULL, name, param_no, flags);
}

cmd_function find_mod_export(char *module, char *name, int param_no, int flags)
{
	return find(module, name, param_no, flags);
}
