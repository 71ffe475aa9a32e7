/* Events of a module. They are published in its init function, and raised in any process but the main one. Transports
 * of events are not written in C: there is no register_event_mod. */
#ifndef OPENSIPS_MI_EVI_EVI_MODULES_H
#define OPENSIPS_MI_EVI_EVI_MODULES_H

#include "../linkage.h"
#include "../str.h"
#include "evi.h"
#include "evi_params.h"

OPENSIPS_MI_BEGIN_C

struct sip_msg;

/* Returns the number of the event, which may exist already. EVI_ERROR after the fork, and without a name. */
event_id_t evi_publish_event(str name);
/* EVI_ERROR when no event has this name. */
event_id_t evi_get_id(str *name);
/* More than 0 when the event has subscribers, 0 when it has none, less than 0 when there is no such event. */
int evi_probe_event(event_id_t id);
/* Returns 0, and frees a list of evi_get_params; less than 0 when there is no such event. Waits for no subscriber. */
int evi_raise_event(event_id_t id, evi_params_t *params);

/* The same; the SIP message is ignored. */
static inline int evi_raise_event_msg(struct sip_msg *msg, event_id_t id, evi_params_t *params)
{
	(void)msg;
	return evi_raise_event(id, params);
}

OPENSIPS_MI_END_C

#endif
