/* Strings without the blanks around them: space, tabulator, and ends of lines. */
#ifndef OPENSIPS_MI_TRIM_H
#define OPENSIPS_MI_TRIM_H

#include "linkage.h"
#include "str.h"

OPENSIPS_MI_BEGIN_C

static inline int opensips_mi_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline void trim_leading(str *text)
{
	while (text->len > 0 && opensips_mi_is_blank(*text->s)) {
		text->s++;
		text->len--;
	}
}

static inline void trim_trailing(str *text)
{
	while (text->len > 0 && opensips_mi_is_blank(text->s[text->len - 1]))
		text->len--;
}

static inline void trim(str *text)
{
	trim_leading(text);
	trim_trailing(text);
}

OPENSIPS_MI_END_C

#endif
