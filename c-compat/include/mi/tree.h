/* Requests and replies of MI commands, as trees of nodes. */
#ifndef OPENSIPS_MI_MI_TREE_H
#define OPENSIPS_MI_MI_TREE_H

#include <stdarg.h>
#include <stddef.h>

#include "../linkage.h"
#include "../str.h"

struct mi_node;
struct mi_handler;

#include "attr.h"

OPENSIPS_MI_BEGIN_C

/* The node gets a copy of the name. Without this flag the name must live until the command returns. */
#define MI_DUP_NAME (1 << 0)
/* The node gets a copy of the value. */
#define MI_DUP_VALUE (1 << 1)
#define MI_NOT_COMPLETED (1 << 2)
#define MI_WRITTEN (1 << 3)
/* The kids of the node are a list: in JSON they are an array, also when there is one kid or none. */
#define MI_IS_ARRAY (1 << 4)

#define MI_OK_S "OK"
#define MI_OK_LEN (sizeof(MI_OK_S) - 1)
#define MI_INTERNAL_ERR_S "Server Internal Error"
#define MI_INTERNAL_ERR_LEN (sizeof(MI_INTERNAL_ERR_S) - 1)
#define MI_MISSING_PARM_S "Too few or too many arguments"
#define MI_MISSING_PARM_LEN (sizeof(MI_MISSING_PARM_S) - 1)
#define MI_BAD_PARM_S "Bad parameter"
#define MI_BAD_PARM_LEN (sizeof(MI_BAD_PARM_S) - 1)

#define MI_SSTR(text) text, (sizeof(text) - 1)
#define MI_OK MI_OK_S
#define MI_INTERNAL_ERR MI_INTERNAL_ERR_S
#define MI_MISSING_PARM MI_MISSING_PARM_S
#define MI_BAD_PARM MI_BAD_PARM_S

#define MI_DATE_BUF_LEN 21

struct mi_node {
	str value;
	str name;
	unsigned int flags;
	struct mi_node *kids;
	struct mi_node *next;
	/* The last sibling. Valid in the first of several siblings only. */
	struct mi_node *last;
	struct mi_attr *attributes;
};

struct mi_root {
	unsigned int code;
	str reason;
	struct mi_handler *async_hdl;
	struct mi_node node;
};

/* The reason is not copied. NULL without memory. */
struct mi_root *init_mi_tree(unsigned int code, char *reason, int reason_len);
void free_mi_tree(struct mi_root *root);
void free_mi_node(struct mi_node *node);

/* NULL without memory, or with neither name nor value. */
struct mi_node *add_mi_node_sibling(struct mi_node *brother, int flags, char *name, int name_len, char *value,
	int value_len);
struct mi_node *add_mi_node_child(struct mi_node *parent, int flags, char *name, int name_len, char *value,
	int value_len);

/* The same with a value that is formatted as by printf; the node gets a copy. */
struct mi_node *addf_mi_node_sibling(struct mi_node *brother, int flags, char *name, int name_len, char *format,
	...) __attribute__((format(printf, 5, 6)));
struct mi_node *addf_mi_node_child(struct mi_node *parent, int flags, char *name, int name_len, char *format, ...)
	__attribute__((format(printf, 5, 6)));

OPENSIPS_MI_ASSERT(sizeof(struct mi_node) == 72, "layout of struct mi_node");
OPENSIPS_MI_ASSERT(sizeof(struct mi_root) == 104, "layout of struct mi_root");
OPENSIPS_MI_ASSERT(offsetof(struct mi_root, node) == 32, "layout of struct mi_root");

OPENSIPS_MI_END_C

#endif
