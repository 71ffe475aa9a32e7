/* MD5 sums, as 32 hexadecimal digits. No NUL follows them. */
#ifndef OPENSIPS_MI_MD5UTILS_H
#define OPENSIPS_MI_MD5UTILS_H

#include "linkage.h"
#include "str.h"

OPENSIPS_MI_BEGIN_C

#define MD5_LEN 32

/* Of all strings together, each without the blanks around it. */
void MD5StringArray(char *dst, str src[], unsigned int size);
/* Of a file. Less than 0: it cannot be read. */
int MD5File(char *dst, const char *name);

OPENSIPS_MI_END_C

#endif
