/* Registers and finds MI commands. */
#ifndef OPENSIPS_MI_MI_MI_H
#define OPENSIPS_MI_MI_MI_H

#include "../linkage.h"
#include "../str.h"
#include "tree.h"

OPENSIPS_MI_BEGIN_C

/* The command may defer its reply: it keeps the request's handler, `async_hdl`, and returns MI_ROOT_ASYNC_RPL. Then any
 * process answers by the handler's handler_f. */
#define MI_ASYNC_RPL_FLAG (1 << 0)
/* The command takes no input: its parameters are not parsed, and its function gets NULL as request. */
#define MI_NO_INPUT_FLAG (1 << 1)

#define MI_ROOT_ASYNC_RPL ((struct mi_root *)-1)

struct mi_handler;

/* Runs a command. The kids of the request are the parameters. Returns the reply; NULL means "command failed". */
typedef struct mi_root *(mi_cmd_f)(struct mi_root *, void *param);
/* Called once in each process that serves MI. A result other than 0 ends the start of the process. */
typedef int (mi_child_init_f)(void);
/* Answers a deferred request, once: takes the reply, which it frees, the handler, and 1 for `done`. With `done` 0 it
 * frees the tree and sends nothing. */
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

/* Registers a command; called in the module's init function. -1 when the processes are forked already, or the name is
 * taken. */
int register_mi_cmd(mi_cmd_f f, char *name, char *help, void *param, mi_child_init_f in, unsigned int flags,
	char *mod_name);
int register_mi_mod(char *mod_name, mi_export_t *mis);

/* NULL when no command has this name. Commands of the server itself are found in all processes but the main one, and
 * not in init functions. f(request, param) runs such a command; the caller frees the tree that it returns. */
struct mi_cmd *lookup_mi_cmd(char *name, int len);
void get_mi_cmds(struct mi_cmd **cmds, int *size);

/* Does nothing: the server sends a reply, piece by piece, when its command has returned. */
static inline int flush_mi_tree(struct mi_root *root)
{
	(void)root;
	return 0;
}

OPENSIPS_MI_ASSERT(sizeof(mi_export_t) == 48, "layout of mi_export_t");
OPENSIPS_MI_ASSERT(sizeof(struct mi_cmd) == 88, "layout of struct mi_cmd");

OPENSIPS_MI_END_C

#endif
