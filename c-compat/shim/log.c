/* Formats log lines; Rust writes them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../include/dprint.h"
#include "shim.h"

/* Longest line, in bytes. A longer line is cut. */
#define LONGEST_LINE 4096

int is_printable(int level)
{
	return opensips_mi_is_printable(level);
}

int dp_my_pid(void)
{
	return getpid();
}

void opensips_mi_log(int level, const char *module, const char *function, const char *format, ...)
{
	char line[LONGEST_LINE];
	va_list values;
	int begin, len;

	begin = snprintf(line, sizeof(line), "%.100s: ", function);
	va_start(values, format);
	len = vsnprintf(line + begin, sizeof(line) - begin, format, values);
	va_end(values);
	if (len < 0)
		return;
	opensips_mi_log_line(level, module, line, strnlen(line, sizeof(line)), format);
}
