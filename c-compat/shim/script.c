/* Implements script variables, and the two stand-ins for all functions that only the routing script calls. The headers
 * map each such function to one of the stand-ins, by its return type. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../include/dprint.h"
#include "../include/script_var.h"
#include "shim.h"

static void log_caller(void *caller)
{
	Dl_info info = { 0 };

	if (!dladdr(caller, &info) || !info.dli_fname)
		info.dli_fname = "a module";
	LM_ERR("%s has called a function for the routing script at offset %#lx; this server runs no such script\n",
		info.dli_fname, (unsigned long)((char *)caller - (char *)info.dli_fbase));
}

int opensips_mi_script_only(void)
{
	log_caller(__builtin_return_address(0));
	return -1;
}

void *opensips_mi_script_only_pointer(void)
{
	log_caller(__builtin_return_address(0));
	return NULL;
}

static script_var_t *variables;

script_var_t *get_var_by_name(str *name)
{
	script_var_t *var;

	if (!name || !name->s || name->len <= 0)
		return NULL;
	for (var = variables; var; var = var->next)
		if (var->name.len == name->len && !memcmp(var->name.s, name->s, name->len))
			break;
	return var;
}

/* Copies a text and puts a NUL behind it. NULL without memory. */
static char *copy_of(const str *text)
{
	char *copy = malloc((size_t)text->len + 1);

	if (copy) {
		memcpy(copy, text->s, text->len);
		copy[text->len] = 0;
	}
	return copy;
}

script_var_t *add_var(str *name)
{
	script_var_t *var = get_var_by_name(name);

	if (var || !name || !name->s || name->len <= 0)
		return var;
	var = calloc(1, sizeof(*var));
	if (!var)
		return NULL;
	var->name.s = copy_of(name);
	if (!var->name.s) {
		free(var);
		return NULL;
	}
	var->name.len = name->len;
	var->v.flags = VAR_VAL_NULL;
	var->next = variables;
	variables = var;
	return var;
}

script_var_t *set_var_value(script_var_t *var, int_str *value, int flags)
{
	int_str new = { 0 };

	if (!var)
		return NULL;
	if (!value || flags & VAR_VAL_NULL) {
		flags = VAR_VAL_NULL;
	} else if (flags & VAR_VAL_STR) {
		new.s.len = value->s.len;
		new.s.s = copy_of(&value->s);
		if (!new.s.s)
			return NULL;
	} else {
		new.n = value->n;
	}
	if (var->v.flags & VAR_VAL_STR)
		free(var->v.value.s.s);
	var->v.value = new;
	var->v.flags = flags & (VAR_VAL_STR | VAR_VAL_NULL);
	return var;
}

void destroy_vars_list(script_var_t *list)
{
	script_var_t *next;

	for (; list; list = next) {
		next = list->next;
		if (list->v.flags & VAR_VAL_STR)
			free(list->v.value.s.s);
		free(list->name.s);
		free(list);
	}
}
