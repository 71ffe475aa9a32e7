/* Implements the trees of mi/tree.h. A tree owns copied texts only; all other texts belong to the module. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../include/mi/mi.h"
#include "shim.h"

/* Longest printed value, in bytes. C: mi_print_fmt has 2048 at first, and more when asked. */
#define LONGEST_VALUE (1 << 20)

struct mi_root *init_mi_tree(unsigned int code, char *reason, int reason_len)
{
	struct mi_root *root = calloc(1, sizeof(*root));

	if (!root)
		return NULL;
	root->node.next = root->node.last = &root->node;
	root->node.flags = MI_NOT_COMPLETED;
	root->code = code;
	if (reason && reason_len > 0) {
		root->reason.s = reason;
		root->reason.len = reason_len;
	}
	return root;
}

/* Sets `to` to the text, or, with `copy`, to a copy of the text at `room`. Returns the address behind the copy. */
static char *put(str *to, char *text, int len, int copy, char *room)
{
	if (!len)
		return room;
	to->len = len;
	to->s = text;
	if (!copy)
		return room;
	memcpy(room, text, len);
	to->s = room;
	return room + len;
}

/* Returns how many bytes a copy of the text takes, 0 without `copy`. Sets the length of a missing text to 0. */
static int check(char *text, int *len, int copy)
{
	if (!text || *len < 0)
		*len = 0;
	return copy ? *len : 0;
}

static struct mi_node *new_node(int flags, char *name, int name_len, char *value, int value_len)
{
	int copy_name = flags & MI_DUP_NAME;
	int copy_value = flags & MI_DUP_VALUE;
	size_t room = (size_t)check(name, &name_len, copy_name) + check(value, &value_len, copy_value);
	struct mi_node *node;
	char *next;

	if (!name_len && !value_len)
		return NULL;
	node = malloc(sizeof(*node) + room);
	if (!node)
		return NULL;
	*node = (struct mi_node){ .flags = flags, .last = node };
	next = put(&node->name, name, name_len, copy_name, (char *)(node + 1));
	put(&node->value, value, value_len, copy_value, next);
	return node;
}

struct mi_node *add_mi_node_sibling(struct mi_node *brother, int flags, char *name, int name_len, char *value,
	int value_len)
{
	struct mi_node *node = brother ? new_node(flags, name, name_len, value, value_len) : NULL;

	if (node) {
		brother->last->next = node;
		brother->last = node;
	}
	return node;
}

struct mi_node *add_mi_node_child(struct mi_node *parent, int flags, char *name, int name_len, char *value,
	int value_len)
{
	if (!parent)
		return NULL;
	if (parent->kids)
		return add_mi_node_sibling(parent->kids, flags, name, name_len, value, value_len);
	parent->kids = new_node(flags, name, name_len, value, value_len);
	return parent->kids;
}

/* Size of the buffer on the stack, in bytes; it is enough for most printed values. */
#define USUAL_VALUE 256

/* Prints a text into `room`, or, when it does not fit, into allocated memory. NULL without memory, or when the text is
 * longer than LONGEST_VALUE. */
static char *print(char *room, int *len, const char *format, va_list values)
{
	va_list again;
	char *text = room;

	va_copy(again, values);
	*len = vsnprintf(room, USUAL_VALUE, format, values);
	if (*len < 0 || *len > LONGEST_VALUE)
		text = NULL;
	else if (*len >= USUAL_VALUE)
		text = malloc((size_t)*len + 1);
	if (text && text != room)
		vsnprintf(text, (size_t)*len + 1, format, again);
	va_end(again);
	return text;
}

/* Sets `result` to what `call` gives for the printed text, NULL when it cannot be printed. */
#define PRINTED(result, call) \
	do { \
		char room[USUAL_VALUE]; \
		va_list values; \
		va_start(values, format); \
		text = print(room, &len, format, values); \
		va_end(values); \
		result = text ? call : NULL; \
		if (text != room) \
			free(text); \
	} while (0)

struct mi_node *addf_mi_node_sibling(struct mi_node *brother, int flags, char *name, int name_len, char *format, ...)
{
	struct mi_node *node;
	char *text;
	int len;

	PRINTED(node, add_mi_node_sibling(brother, flags | MI_DUP_VALUE, name, name_len, text, len));
	return node;
}

struct mi_node *addf_mi_node_child(struct mi_node *parent, int flags, char *name, int name_len, char *format, ...)
{
	struct mi_node *node;
	char *text;
	int len;

	PRINTED(node, add_mi_node_child(parent, flags | MI_DUP_VALUE, name, name_len, text, len));
	return node;
}

struct mi_attr *add_mi_attr(struct mi_node *node, int flags, char *name, int name_len, char *value, int value_len)
{
	int copy_name = flags & MI_DUP_NAME;
	int copy_value = flags & MI_DUP_VALUE;
	size_t room = (size_t)check(name, &name_len, copy_name) + check(value, &value_len, copy_value);
	struct mi_attr *attr;
	struct mi_attr **end;
	char *next;

	if (!node || (!name_len && !value_len))
		return NULL;
	attr = malloc(sizeof(*attr) + room);
	if (!attr)
		return NULL;
	*attr = (struct mi_attr){ .next = NULL };
	next = put(&attr->name, name, name_len, copy_name, (char *)(attr + 1));
	put(&attr->value, value, value_len, copy_value, next);
	for (end = &node->attributes; *end; end = &(*end)->next)
		;
	*end = attr;
	return attr;
}

struct mi_attr *addf_mi_attr(struct mi_node *node, int flags, char *name, int name_len, char *format, ...)
{
	struct mi_attr *attr;
	char *text;
	int len;

	PRINTED(attr, add_mi_attr(node, flags | MI_DUP_VALUE, name, name_len, text, len));
	return attr;
}

struct mi_attr *get_mi_attr_by_name(struct mi_node *node, char *name, int len)
{
	struct mi_attr *attr;

	if (!node || !name)
		return NULL;
	for (attr = node->attributes; attr; attr = attr->next)
		if (attr->name.len == len && !strncasecmp(attr->name.s, name, len))
			return attr;
	return NULL;
}

void del_mi_attr_list(struct mi_node *node)
{
	struct mi_attr *next;

	if (!node)
		return;
	for (struct mi_attr *attr = node->attributes; attr; attr = next) {
		next = attr->next;
		free(attr);
	}
	node->attributes = NULL;
}

static void free_kids(struct mi_node *node)
{
	struct mi_node *next;

	for (struct mi_node *kid = node->kids; kid; kid = next) {
		next = kid->next;
		free_mi_node(kid);
	}
}

void free_mi_node(struct mi_node *node)
{
	free_kids(node);
	del_mi_attr_list(node);
	free(node);
}

void free_mi_tree(struct mi_root *root)
{
	if (!root)
		return;
	free_kids(&root->node);
	del_mi_attr_list(&root->node);
	free(root);
}

struct mi_root *opensips_mi_new_tree(unsigned int code, const char *reason, int reason_len)
{
	struct mi_root *root = init_mi_tree(code, NULL, 0);
	struct mi_root *whole = root ? realloc(root, sizeof(*root) + (size_t)reason_len + 1) : NULL;

	if (!whole) {
		free(root);
		return NULL;
	}
	whole->node.next = whole->node.last = &whole->node;
	whole->reason.s = (char *)(whole + 1);
	whole->reason.len = reason_len;
	memcpy(whole->reason.s, reason, reason_len);
	whole->reason.s[reason_len] = 0;
	return whole;
}

/* Unlike add_mi_node_child it accepts an empty value, and a node with neither name nor value. Puts a NUL behind each
 * copied text. */
struct mi_node *opensips_mi_add_node(struct mi_node *parent, const char *name, int name_len, const char *value,
	int value_len)
{
	struct mi_node *node = malloc(sizeof(*node) + (size_t)name_len + (size_t)value_len + 2);
	struct mi_node *first = parent->kids;
	char *room = (char *)(node + 1);

	if (!node)
		return NULL;
	*node = (struct mi_node){ .last = node };
	if (name_len) {
		memcpy(room, name, name_len);
		node->name.s = room;
		node->name.len = name_len;
	}
	room[name_len] = 0;
	room += name_len + 1;
	if (value) {
		memcpy(room, value, value_len);
		node->value.s = room;
		node->value.len = value_len;
	}
	room[value_len] = 0;
	if (first) {
		first->last->next = node;
		first->last = node;
	} else {
		parent->kids = node;
	}
	return node;
}

int opensips_mi_add_parameter(struct mi_root *root, const char *name, int name_len, const char *value, int value_len)
{
	return opensips_mi_add_node(&root->node, name, name_len, value, value_len) ? 0 : -1;
}
