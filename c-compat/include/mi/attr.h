/* Attributes of nodes, which text replies show as `name=value` behind the node's value. */
#ifndef OPENSIPS_MI_MI_ATTR_H
#define OPENSIPS_MI_MI_ATTR_H

#include <stdarg.h>

#include "../linkage.h"
#include "../str.h"
#include "tree.h"

OPENSIPS_MI_BEGIN_C

struct mi_attr {
	str name;
	str value;
	struct mi_attr *next;
};

/* NULL without memory, without a node, or with neither name nor value. The flags are those of nodes. */
struct mi_attr *add_mi_attr(struct mi_node *node, int flags, char *name, int name_len, char *value, int value_len);
struct mi_attr *addf_mi_attr(struct mi_node *node, int flags, char *name, int name_len, char *format, ...)
	__attribute__((format(printf, 5, 6)));

struct mi_attr *get_mi_attr_by_name(struct mi_node *node, char *name, int len);
void del_mi_attr_list(struct mi_node *node);

OPENSIPS_MI_ASSERT(sizeof(struct mi_attr) == 40, "layout of struct mi_attr");

OPENSIPS_MI_END_C

#endif
