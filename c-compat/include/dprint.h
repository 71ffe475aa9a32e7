/* The log. A line goes where the server's own lines go, under the module's name, if its level is to be written. */
#ifndef OPENSIPS_MI_DPRINT_H
#define OPENSIPS_MI_DPRINT_H

#include "linkage.h"

OPENSIPS_MI_BEGIN_C

#define L_ALERT -3
#define L_CRIT -2
#define L_ERR -1
#define L_WARN 1
#define L_NOTICE 2
#define L_INFO 3
#define L_DBG 4

#ifndef MOD_NAME
#define MOD_NAME "core"
#endif

/* True when a line of that level would be written. */
int is_printable(int level);

/* Behind the macros below. */
void opensips_mi_log(int level, const char *module, const char *function, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

int dp_my_pid(void);

/* The arguments are looked at only when the line is to be written. */
#define LM_GEN1(level, format, args...) \
	do { \
		if (is_printable(level)) \
			opensips_mi_log(level, MOD_NAME, __func__, format, ##args); \
	} while (0)
#define LM_GEN2(facility, level, format, args...) LM_GEN1(level, format, ##args)

#define LM_ALERT(format, args...) LM_GEN1(L_ALERT, format, ##args)
#define LM_CRIT(format, args...) LM_GEN1(L_CRIT, format, ##args)
#define LM_BUG(format, args...) LM_GEN1(L_CRIT, "bug: " format, ##args)
#define LM_ERR(format, args...) LM_GEN1(L_ERR, format, ##args)
#define LM_WARN(format, args...) LM_GEN1(L_WARN, format, ##args)
#define LM_NOTICE(format, args...) LM_GEN1(L_NOTICE, format, ##args)
#define LM_INFO(format, args...) LM_GEN1(L_INFO, format, ##args)
#define LM_DBG(format, args...) LM_GEN1(L_DBG, format, ##args)

OPENSIPS_MI_END_C

#endif
