/* Recurring times, which modules compare with the present in the routing script. This server runs no script, and none
 * of the functions is called. */
#ifndef OPENSIPS_MI_TIME_REC_H
#define OPENSIPS_MI_TIME_REC_H

#include <string.h>
#include <time.h>

#include "dprint.h"
#include "linkage.h"
#include "pvar.h"

OPENSIPS_MI_BEGIN_C

#define SHM_ALLOC 0
#define PKG_ALLOC 1

#define TR_SEPARATOR '|'

typedef struct _ac_tm {
	time_t time;
	struct tm t;
	int mweek;
	int yweek;
	int ywday;
	int mwday;
	char flags;
} ac_tm_t, *ac_tm_p;

/* A recurring time. Its parts are the functions' own, but for when it begins and ends. */
typedef struct _tmrec {
	time_t dtstart;
	struct tm ts;
	time_t dtend;
	time_t duration;
	time_t until;
	int freq;
	int interval;
} tmrec_t, *tmrec_p;

typedef struct _tr_res {
	int flag;
	time_t rest;
} tr_res_t, *tr_res_p;

tmrec_p tmrec_new(char memory) OPENSIPS_MI_SCRIPT_ONLY_POINTER;
int tmrec_free(tmrec_p times) OPENSIPS_MI_SCRIPT_ONLY;
int check_tmrec(tmrec_p times, ac_tm_p now, tr_res_p result) OPENSIPS_MI_SCRIPT_ONLY;
int ac_tm_set_time(ac_tm_p times, time_t now) OPENSIPS_MI_SCRIPT_ONLY;

#define PART(name) int name(tmrec_p times, char *text) OPENSIPS_MI_SCRIPT_ONLY
PART(tr_parse_dtstart);
PART(tr_parse_dtend);
PART(tr_parse_duration);
PART(tr_parse_until);
PART(tr_parse_freq);
PART(tr_parse_interval);
PART(tr_parse_byday);
PART(tr_parse_bymday);
PART(tr_parse_byyday);
PART(tr_parse_bymonth);
PART(tr_parse_byweekno);
PART(tr_parse_wkst);
#undef PART

/* Has one part of `text` read, which ends where the next begins; goes to `done` behind the last one. */
#define load_TR_value(text, end, times, parse, failed, done) \
	do { \
		int is_bad; \
		end = strchr(text, TR_SEPARATOR); \
		if (end) \
			*end = 0; \
		is_bad = *text && parse(times, text); \
		if (end) \
			*end = TR_SEPARATOR; \
		if (is_bad) \
			goto failed; \
		if (!end || !end[1]) \
			goto done; \
		text = end + 1; \
	} while (0)

OPENSIPS_MI_END_C

#endif
