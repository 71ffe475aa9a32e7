/* Modules that cannot be loaded, one for each value of WHY. */
#include "../../sr_module.h"
#include "../../dprint.h"

int register_event_mod(void *transport);

enum { NONE, VERSION, NAME, PROCESS = 4, MISSING, INIT, CHILD, TAKEN };

static struct mi_root *command(struct mi_root *request, void *param)
{
	(void)param;
	return request;
}

static int mod_init(void)
{
#if WHY == 5
	if (register_event_mod(0) < 0)
		return -1;
#endif
	return WHY == INIT ? -7 : 0;
}

static int child_init(int rank)
{
	return WHY == CHILD && rank == PROC_MODULE ? -8 : 0;
}

static int before_forks(void)
{
	return 3;
}

static void own_process(int number)
{
	(void)number;
}

static proc_export_t procs[] = {
	{ "refused process", before_forks, 0, own_process, 1, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ WHY == TAKEN ? "ps" : "refused", 0, command, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	WHY == NAME ? "other" : "refused",
	WHY == VERSION ? "1.11.11-notls" : OPENSIPS_FULL_VERSION,
	OPENSIPS_COMPILE_FLAGS,
	DEFAULT_DLFLAGS,
	0,
	0,
	0,
	mi_cmds,
	0,
	WHY == PROCESS ? procs : 0,
	mod_init,
	0,
	0,
	child_init,
};
