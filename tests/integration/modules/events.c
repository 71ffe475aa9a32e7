/* Events, raised by commands, a process, and a timer. */
#include <string.h>

#include "../../sr_module.h"
#include "../../evi/evi_modules.h"
#include "../../evi/evi_params.h"
#include "../../mem/shm_mem.h"
#include "../../timer.h"
#include "../../pt.h"
#include "../../ut.h"

static str said = str_init("E_SAID");
static str ticked = str_init("E_TICKED");
static str nothing = str_init("E_NOTHING");
static event_id_t said_id, ticked_id;
static str who = str_init("who");
static str number = str_init("number");
/* What the process is to say next, and how often it did. */
static volatile int *asked;

static int say(const char *text, int value)
{
	evi_params_p list = evi_get_params();
	str by = { (char *)text, strlen(text) };

	if (!list || evi_param_add(list, &who, &by, 0) >= 0 || evi_param_add_str(list, &who, &by) ||
		evi_param_set_int(evi_param_create(list, &number), &value)) {
		evi_free_params(list);
		return -1;
	}
	if (evi_raise_event(1000, list) >= 0)
		return -2;
	return evi_raise_event(said_id, list);
}

static void tick(unsigned int ticks, void *param)
{
	(void)ticks;
	(void)param;
	if (evi_probe_event(ticked_id) > 0)
		evi_raise_event_msg(NULL, ticked_id, NULL);
}

/* What the process does. */
static void talk(int no)
{
	(void)no;
	for (;;) {
		if (*asked) {
			say("process", *asked);
			*asked = 0;
		}
		sleep_us(1000);
	}
}

static int mod_init(void)
{
	str none = { 0, 0 };

	asked = shm_malloc(sizeof(*asked));
	if (!asked)
		return -1;
	*asked = 0;
	said_id = evi_publish_event(said);
	ticked_id = evi_publish_event(ticked);
	if (said_id < 3 || ticked_id != said_id + 1 || evi_publish_event(said) != said_id ||
		evi_publish_event(none) != EVI_ERROR || evi_get_id(&nothing) != EVI_ERROR ||
		evi_raise_event(said_id, NULL) >= 0)
		return -2;
	return register_timer("events", tick, NULL, 1) < 0 ? -3 : 0;
}

/* Says a number; or has the process say it. */
static struct mi_root *mi_say(struct mi_root *request, void *param)
{
	struct mi_node *node = request->node.kids;
	struct mi_root *reply;
	int value;

	if (!node || str2sint(&node->value, &value) < 0)
		return init_mi_tree(400, MI_SSTR(MI_BAD_PARM));
	if (param) {
		*asked = value;
		return init_mi_tree(200, MI_SSTR(MI_OK));
	}
	reply = init_mi_tree(200, MI_SSTR(MI_OK));
	addf_mi_node_child(&reply->node, 0, MI_SSTR("Said"), "%d probe=%d id=%d late=%d wrong=%d",
		say("a \"command\"\nof two lines", value), evi_probe_event(said_id), evi_get_id(&said) == said_id,
		evi_publish_event(nothing), evi_probe_event(-1));
	return reply;
}

static proc_export_t procs[] = {
	{ "Talker", 0, 0, talk, 1, 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

static mi_export_t mi_cmds[] = {
	{ "say", 0, mi_say, 0, 0, 0 },
	{ "have_said", 0, mi_say, 0, "process", 0 },
	{ 0, 0, 0, 0, 0, 0 },
};

struct module_exports exports = {
	"events", MODULE_VERSION, DEFAULT_DLFLAGS, 0, 0, 0, mi_cmds, 0, procs, mod_init, 0, 0, 0,
};
