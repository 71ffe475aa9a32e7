/* A string with its length. No NUL follows its last byte. */
#ifndef OPENSIPS_MI_STR_H
#define OPENSIPS_MI_STR_H

struct _str {
	char *s;
	int len;
};

typedef struct _str str;

#endif
