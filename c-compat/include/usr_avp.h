/* The value that variables of the routing script have. The variables themselves are not here. */
#ifndef OPENSIPS_MI_USR_AVP_H
#define OPENSIPS_MI_USR_AVP_H

#include "str.h"

/* Of a variable's name, and of its value: a string, not a number. */
#define AVP_NAME_STR (1 << 0)
#define AVP_VAL_STR (1 << 1)

typedef union {
	int n;
	str s;
} int_str;

#endif
