/* A module that does what it should not, or what OpenSIPS lets it do all the same. The parameter `init` says what its
 * init function does, `main` what it does in the main process when all others are there, `end` what the destroy function
 * does. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../sr_module.h"
#include "../../locking.h"

extern struct module_exports exports;

static char *at_init = "";
static char *in_main = "";
static char *at_end = "";
static int *volatile nowhere;
static gen_lock_t *lock;
static stat_var *calls;

static void *for_ever(void *param)
{
	for (;;)
		pause();
	return param;
}

static void *at_once(void *param)
{
	return param;
}

static void meddle(const char *how)
{
	pthread_t thread;
	sigset_t all;

	sigfillset(&all);
	if (!strcmp(how, "children ignored"))
		signal(SIGCHLD, SIG_IGN);
	if (!strcmp(how, "end ignored"))
		signal(SIGTERM, SIG_IGN);
	if (!strcmp(how, "all by default"))
		for (int i = 1; i < 32; i++)
			signal(i, SIG_DFL);
	if (!strcmp(how, "all held back"))
		sigprocmask(SIG_SETMASK, &all, NULL);
	if (!strcmp(how, "crashes"))
		*nowhere = 1;
	if (!strcmp(how, "aborts"))
		abort();
	if (!strcmp(how, "raises"))
		raise(SIGBUS);
	if (!strcmp(how, "exits"))
		exit(0);
	for (int crashes = 0; crashes < 2 && !strcmp(how, "has children that end"); crashes++) {
		pid_t child = fork();

		if (child)
			waitpid(child, NULL, 0);
		else if (crashes)
			abort();
		else
			exit(0);
	}
	if (!strcmp(how, "starts a thread"))
		pthread_create(&thread, NULL, for_ever, NULL);
	if (!strcmp(how, "joins a thread") && !pthread_create(&thread, NULL, at_once, NULL))
		pthread_join(thread, NULL);
}

static int mod_init(void)
{
	meddle(at_init);
	if (!strcmp(at_init, "without tables")) {
		exports.stats = NULL;
		exports.mi_cmds = NULL;
		exports.procs = NULL;
	}
	lock = lock_alloc();
	if (!lock || !lock_init(lock))
		return -1;
	return strcmp(at_init, "fails with 1") ? 0 : 1;
}

static int child_init(int rank)
{
	if (rank == PROC_MAIN)
		meddle(in_main);
	return 0;
}

static void mod_destroy(void)
{
	meddle(at_end);
}

/* A reply whose second node, or attribute, has itself behind it. */
static struct mi_root *ring(int of_attributes)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));
	struct mi_node *node = add_mi_node_child(&reply->node, 0, MI_SSTR("One"), 0, 0);
	struct mi_attr *attribute = add_mi_attr(node, 0, MI_SSTR("a"), MI_SSTR("b"));

	if (of_attributes)
		attribute->next = attribute;
	else
		node->next = node;
	return reply;
}

/* What the parameter names. */
static struct mi_root *mi_meddle(struct mi_root *request, void *param)
{
	const char *what = request->node.kids ? request->node.kids->value.s : "";
	struct mi_root *reply;
	int printed = 0;

	(void)param;
	update_stat(calls, 1);
	if (!strcmp(what, "nodes"))
		return ring(0);
	if (!strcmp(what, "attributes"))
		return ring(1);
	if (!strcmp(what, "foreign"))
		lock_release(lock);
	if (!strcmp(what, "for long"))
		for (;;)
			pause();
	if (!strcmp(what, "twice")) {
		lock_get(lock);
		lock_get(lock);
	}
	LM_DBG("printed %d times\n", ++printed);
	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Printed"), "%d", printed);
	return reply;
}

static void own_process(int number)
{
	(void)number;
	for (;;)
		pause();
}

static proc_export_t procs[] = {
	{ "meddler", 0, 0, own_process, 1, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "meddle", 0, mi_meddle, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

static stat_export_t stats[] = {
	{ "meddles", 0, &calls },
	{ 0, 0, 0 },
};

static param_export_t params[] = {
	{ "init", STR_PARAM, &at_init },
	{ "main", STR_PARAM, &in_main },
	{ "end", STR_PARAM, &at_end },
	{ 0, 0, 0 },
};

struct module_exports exports = {
	MOD_NAME,
	MODULE_VERSION,
	DEFAULT_DLFLAGS,
	0,
	params,
	stats,
	mi_cmds,
	0,
	procs,
	mod_init,
	0,
	mod_destroy,
	child_init,
};
