/* Keeps the timers that modules register before the processes are forked, grouped by the process that will run them. */
#include <stdlib.h>
#include <string.h>

#include "../include/dprint.h"
#include "shim.h"

static struct opensips_mi_timer_process main_process = { TIMER_PROC_INIT_FLAG, NULL, NULL };
static struct opensips_mi_timer_process *last_process = &main_process;
static int timer_count;

struct opensips_mi_timer_process *opensips_mi_timer_processes(void)
{
	return &main_process;
}

/* Puts the timer in front of the list: the one that was registered last runs first. */
static int add_timer(struct opensips_mi_timer_process *process, char *label, timer_function f, utimer_function uf,
	void *param, unsigned int interval)
{
	struct opensips_mi_timer *timer;

	if (!label)
		label = "n/a";
	if (!process || (!f && !uf) || opensips_mi_is_registration_closed()) {
		LM_ERR("%s: timers need a function, and are registered before the processes are forked\n", label);
		return -1;
	}
	timer = calloc(1, sizeof(*timer));
	if (!timer || !(timer->label = strdup(label))) {
		free(timer);
		return -1;
	}
	timer->f = f;
	timer->uf = uf;
	timer->param = param;
	timer->interval = interval;
	timer->next = process->timers;
	process->timers = timer;
	return timer_count++;
}

int register_timer(char *label, timer_function f, void *param, unsigned int interval)
{
	return add_timer(&main_process, label, f, NULL, param, interval);
}

int register_utimer(char *label, utimer_function f, void *param, unsigned int interval)
{
	return add_timer(&main_process, label, NULL, f, param, interval);
}

void *register_timer_process(char *label, timer_function f, void *param, unsigned int interval, unsigned int flags)
{
	struct opensips_mi_timer_process *process = calloc(1, sizeof(*process));

	if (!process || add_timer(process, label, f, NULL, param, interval) < 0) {
		free(process);
		return NULL;
	}
	process->flags = flags;
	last_process->next = process;
	last_process = process;
	return process;
}

int append_timer_to_process(char *label, timer_function f, void *param, unsigned int interval, void *process)
{
	return add_timer(process, label, f, NULL, param, interval) < 0 ? -1 : 0;
}

int append_utimer_to_process(char *label, utimer_function f, void *param, unsigned int interval, void *process)
{
	return add_timer(process, label, NULL, f, param, interval) < 0 ? -1 : 0;
}
