/* Hashes of one or two strings. */
#ifndef OPENSIPS_MI_HASH_FUNC_H
#define OPENSIPS_MI_HASH_FUNC_H

#include "linkage.h"
#include "str.h"

OPENSIPS_MI_BEGIN_C

/* Four bytes at a time, the last ones in what remains; bytes from 128 on count as negative. */
static inline unsigned int opensips_mi_hash_more(unsigned int hash, const str *text, int ignores_case)
{
	unsigned int word = 0;
	int i;

	for (i = 0; i < text->len; i++) {
		signed char c = text->s[i];

		if (ignores_case && c >= 'A' && c <= 'Z')
			c |= 0x20;
		word = (word << 8) + (unsigned int)c;
		if (i % 4 == 3) {
			hash += word ^ (word >> 3);
			word = 0;
		}
	}
	return hash + (word ^ (word >> 3));
}

static inline unsigned int opensips_mi_hash(const str *first, const str *second, unsigned int size, int ignores_case)
{
	unsigned int hash = opensips_mi_hash_more(0, first, ignores_case);

	if (second)
		hash = opensips_mi_hash_more(hash, second, ignores_case);
	hash = hash + (hash >> 11) + (hash >> 13) + (hash >> 23);
	return size ? hash & (size - 1) : hash;
}

/* `second` may be NULL. Less than `size`, which is a power of two; 0: any number. */
static inline unsigned int core_hash(const str *first, const str *second, const unsigned int size)
{
	return opensips_mi_hash(first, second, size, 0);
}

/* The same for letters of either case. */
static inline unsigned int core_case_hash(str *first, str *second, unsigned int size)
{
	return opensips_mi_hash(first, second, size, 1);
}

OPENSIPS_MI_END_C

#endif
