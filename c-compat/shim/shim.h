/* What the C and the Rust side of the border say to each other; modules do not see it. The Rust side: src/capi. */
#ifndef OPENSIPS_MI_SHIM_H
#define OPENSIPS_MI_SHIM_H

#include "../include/mi/mi.h"
#include "../include/statistics.h"

/* In Rust: whether a line of that level is to be written, and the line. */
int opensips_mi_is_printable(int level);
void opensips_mi_log_line(int level, const char *module, const char *text, unsigned long len);

/* A statistic that was registered. */
struct opensips_mi_stat {
	stat_var var;
	const char *module;
	struct opensips_mi_stat *next;
};

struct opensips_mi_stat *opensips_mi_stats(void);
int opensips_mi_add_parameter(struct mi_root *root, const char *name, int name_len, const char *value, int value_len);
void opensips_mi_start(void);
void opensips_mi_begin_process(int number);

#endif
