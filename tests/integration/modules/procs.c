/* Processes of its own, timers, events: what all of them do is counted in shared memory, and shown by commands. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../sr_module.h"
#include "../../locking.h"
#include "../../pt.h"
#include "../../ut.h"

#define TICKERS 2

#ifndef PRE
#define PRE 0
#endif

/* What all processes share. */
struct shared {
	gen_lock_t lock;
	int before_forks;
	int after_forks;
	int returns;
	/* Of each ticker: its process, its line of `ps`, and whether child_init came first. */
	struct {
		int pid;
		int number;
		int rank;
	} tickers[TICKERS];
};

static struct shared *shared;
static stat_var *ticks;
static int my_rank = 7;

static int mod_init(void);
static int child_init(int rank);

static int before_forks(void)
{
	shared->before_forks += shared->tickers[0].pid ? 100 : 1;
	return PRE;
}

static int after_forks(void)
{
	shared->after_forks++;
	return 0;
}

/* Counts for ever, and never asks whether to stop. */
static void tick(int number)
{
	lock_get(&shared->lock);
	shared->tickers[number].number = process_no;
	shared->tickers[number].rank = my_rank;
	shared->tickers[number].pid = my_pid();
	lock_release(&shared->lock);
	LM_INFO("ticker %d ticks\n", number);
	for (;;) {
		update_stat(ticks, 1);
		sleep_us(1000);
	}
}

static void return_at_once(int number)
{
	(void)number;
	lock_get(&shared->lock);
	shared->returns++;
	lock_release(&shared->lock);
}

static proc_export_t procs[] = {
	{ "Ticker", before_forks, after_forks, tick, 0, PROC_FLAG_INITCHILD },
	{ "nothing", 0, 0, return_at_once, 0, 0 },
#ifdef RETURNS
	{ "Returner", 0, 0, return_at_once, 1, 0 },
#endif
	{ 0, 0, 0, 0, 0, 0 },
};

static struct mi_root *mi_tickers(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)request;
	(void)param;
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Forks"), "before=%d after=%d", shared->before_forks,
		shared->after_forks);
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Returns"), "%d", shared->returns);
	for (int i = 0; i < TICKERS; i++)
		addf_mi_node_child(&reply->node, 0, MI_SSTR("Ticker"), "ID=%d PID=%d rank=%d",
			shared->tickers[i].number, shared->tickers[i].pid, shared->tickers[i].rank);
	return reply;
}

static stat_export_t stats[] = {
	{ "ticks", 0, &ticks },
	{ 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "tickers", 0, mi_tickers, MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"procs", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, stats, mi_cmds, 0, procs, mod_init, 0, 0, child_init,
};

static int mod_init(void)
{
	shared = shm_malloc(sizeof(*shared));
	if (!shared)
		return -1;
	memset(shared, 0, sizeof(*shared));
	/* As many as the configuration might have asked for. */
	procs[0].no = TICKERS;
	return lock_init(&shared->lock) ? 0 : -1;
}

static int child_init(int rank)
{
	my_rank = rank;
	return 0;
}
