/* Events by their numbers. */
#ifndef OPENSIPS_MI_EVI_EVI_H
#define OPENSIPS_MI_EVI_EVI_H

#define EVI_ERROR -1

typedef int event_id_t;

#endif
