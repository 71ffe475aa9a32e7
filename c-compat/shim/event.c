/* Implements the parameter lists of events. */
#include <stdlib.h>

#include "../include/dprint.h"
#include "shim.h"

evi_params_p evi_get_params(void)
{
	evi_params_p list = calloc(1, sizeof(*list));

	if (list)
		list->flags = (int)EVI_FREE_LIST;
	return list;
}

void evi_free_params(evi_params_p list)
{
	evi_param_p next;

	if (!list)
		return;
	for (evi_param_p param = list->first; param; param = next) {
		next = param->next;
		free(param);
	}
	free(list);
}

evi_param_p evi_param_create(evi_params_p list, str *name)
{
	evi_param_p param = list ? calloc(1, sizeof(*param)) : NULL;

	if (!param)
		return NULL;
	if (name)
		param->name = *name;
	if (list->last)
		list->last->next = param;
	else
		list->first = param;
	list->last = param;
	return param;
}

int evi_param_set(evi_param_p param, void *value, int flags)
{
	if (!param || !value || !(flags & (EVI_INT_VAL | EVI_STR_VAL))) {
		LM_ERR("a parameter of an event is a number or a string\n");
		return -1;
	}
	param->flags = flags;
	if (flags & EVI_INT_VAL)
		param->val.n = *(int *)value;
	else
		param->val.s = *(str *)value;
	return 0;
}

int evi_param_add(evi_params_p list, str *name, void *value, int flags)
{
	evi_param_t checked;
	evi_param_p param;

	if (evi_param_set(&checked, value, flags) < 0)
		return -1;
	param = evi_param_create(list, name);
	return param ? evi_param_set(param, value, flags) : -1;
}

int evi_raise_event(event_id_t id, evi_params_t *params)
{
	if (opensips_mi_raise_event(id, params ? params->first : NULL) < 0)
		return -1;
	if (params && (params->flags & (int)EVI_FREE_LIST))
		evi_free_params(params);
	return 0;
}
