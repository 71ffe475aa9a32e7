/* Timers of each kind: how often they ran, where, and what time they were told. */
#include <string.h>

#include "../../sr_module.h"
#include "../../mem/shm_mem.h"
#include "../../timer.h"
#include "../../pt.h"
#include "../../ut.h"

/* What all processes share. */
static struct shared {
	int seconds;
	int tenths;
	int slow;
	int own;
	int rank;
	int own_rank;
	/* Whether a timer was told another time than the clock's, or another parameter than its own. */
	int wrong;
	unsigned int told;
	int crash;
} *shared;
static int my_rank = 7;
static int *volatile nowhere;

static void every_second(unsigned int ticks, void *param)
{
	shared->rank = my_rank;
	if (strcmp(param, "second") || get_ticks() - ticks > 1)
		shared->wrong++;
	shared->told = ticks;
	shared->seconds++;
	if (shared->crash) {
		shared->crash = 0;
		*nowhere = 1;
	}
}

static void every_tenth(utime_t uticks, void *param)
{
	if (param != shared || get_uticks() - uticks > 1000000)
		shared->wrong++;
	shared->tenths++;
}

static void slow(utime_t uticks, void *param)
{
	(void)uticks;
	(void)param;
	shared->slow++;
	sleep_us(250000);
}

static void own(unsigned int ticks, void *param)
{
	(void)ticks;
	(void)param;
	shared->own_rank = my_rank;
	shared->own++;
}

static int mod_init(void)
{
	void *process;

	shared = shm_malloc(sizeof(*shared));
	if (!shared)
		return -1;
	memset(shared, 0, sizeof(*shared));
	if (register_timer("second", every_second, "second", 1) != 0 ||
		register_utimer("tenth", every_tenth, shared, 1) != 1 || register_timer("none", 0, 0, 1) >= 0)
		return -2;
	process = register_timer_process("own", own, 0, 1, 0);
	if (!process || append_utimer_to_process("slow", slow, 0, 100000, process) != 0 ||
		append_timer_to_process(0, own, 0, 1000, process) != 0 ||
		append_timer_to_process("none", own, 0, 1, 0) >= 0)
		return -3;
	return 0;
}

static int child_init(int rank)
{
	my_rank = rank;
	if (rank == PROC_MODULE && (register_timer("late", own, 0, 1) >= 0 || register_timer_process("late", own, 0, 1, 0)))
		return -1;
	return 0;
}

static struct mi_root *mi_timers(struct mi_root *request, void *param)
{
	struct mi_root *reply = init_mi_tree(200, MI_SSTR(MI_OK));

	(void)request;
	(void)param;
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Runs"), "%d %d %d %d", shared->seconds, shared->tenths,
		shared->slow, shared->own);
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Ranks"), "%d %d", shared->rank, shared->own_rank);
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Wrong"), "%d", shared->wrong + (get_ticks() - shared->told > 3));
	return reply;
}

static struct mi_root *mi_crash(struct mi_root *request, void *param)
{
	(void)request;
	(void)param;
	shared->crash = 1;
	return init_mi_tree(200, MI_SSTR(MI_OK));
}

static mi_export_t mi_cmds[] = {
	{ "timers", 0, mi_timers, MI_NO_INPUT_FLAG, 0, 0 },
	{ "crash_timer", 0, mi_crash, MI_NO_INPUT_FLAG, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"timers", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, 0, mod_init, 0, 0, child_init,
};
