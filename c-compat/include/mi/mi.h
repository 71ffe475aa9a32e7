/* MI commands of a module. */
#ifndef OPENSIPS_MI_MI_MI_H
#define OPENSIPS_MI_MI_MI_H

#include "../linkage.h"
#include "../str.h"
#include "tree.h"

OPENSIPS_MI_BEGIN_C

/* The request has a handler, `async_hdl`: the function may return MI_ROOT_ASYNC_RPL and keep the handler where it likes,
 * and any process answers by its handler_f. */
#define MI_ASYNC_RPL_FLAG (1 << 0)
/* Takes no input: what follows the command is not parsed, and the function gets no request (NULL). */
#define MI_NO_INPUT_FLAG (1 << 1)

#define MI_ROOT_ASYNC_RPL ((struct mi_root *)-1)

struct mi_handler;

/* Gets the request, whose kids are the parameters, and gives the reply; NULL is "command failed". */
typedef struct mi_root *(mi_cmd_f)(struct mi_root *, void *param);
/* Called once in each process that serves MI. Other than 0: the process cannot begin. */
typedef int (mi_child_init_f)(void);
/* Answers, once: the reply, which is freed, the handler, and 1. With 0 the tree is freed and goes nowhere. */
typedef void (mi_handler_f)(struct mi_root *, struct mi_handler *, int);
typedef int (mi_flush_f)(void *, struct mi_root *);

struct mi_handler {
	mi_handler_f *handler_f;
	void *param;
};

struct mi_cmd {
	int id;
	str module;
	str name;
	str help;
	mi_child_init_f *init_f;
	mi_cmd_f *f;
	unsigned int flags;
	void *param;
};

typedef struct mi_export_ {
	char *name;
	char *help;
	mi_cmd_f *cmd;
	unsigned int flags;
	void *param;
	mi_child_init_f *init_f;
} mi_export_t;

/* Before the processes are forked, that is in the module's init function. -1 later, or when the name is taken. */
int register_mi_cmd(mi_cmd_f f, char *name, char *help, void *param, mi_child_init_f in, unsigned int flags,
	char *mod_name);
int register_mi_mod(char *mod_name, mi_export_t *mis);

/* NULL when there is none of that name. Those of the server itself are found in processes, not in the main one and not
 * in init functions; f(request, param) runs them, and what it gives is the caller's to free. */
struct mi_cmd *lookup_mi_cmd(char *name, int len);
void get_mi_cmds(struct mi_cmd **cmds, int *size);

/* A reply leaves when its command has returned, piece by piece; there is nothing to do before. */
static inline int flush_mi_tree(struct mi_root *root)
{
	(void)root;
	return 0;
}

OPENSIPS_MI_ASSERT(sizeof(mi_export_t) == 48, "layout of mi_export_t");
OPENSIPS_MI_ASSERT(sizeof(struct mi_cmd) == 88, "layout of struct mi_cmd");

OPENSIPS_MI_END_C

#endif
