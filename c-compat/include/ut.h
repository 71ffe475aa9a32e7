/* Numbers and strings. */
#ifndef OPENSIPS_MI_UT_H
#define OPENSIPS_MI_UT_H

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include "config.h"
#include "dprint.h"
#include "mem/mem.h"
#include "mem/shm_mem.h"
#include "sr_module.h"
#include "str.h"

#define ZSW(text) ((text) ? (text) : "")

#define str_init(text) { text, sizeof(text) - 1 }

/* Digits and sign of any 64-bit number, and a NUL. */
#define INT2STR_MAX_LEN (1 + 19 + 1 + 1)

/* Writes to the end of `buffer`, which has INT2STR_MAX_LEN bytes; gives the first digit. */
static inline char *int2bstr(unsigned long number, char *buffer, int *len)
{
	char *end = buffer + INT2STR_MAX_LEN - 1;
	char *p = end;

	*end = 0;
	do {
		*--p = '0' + number % 10;
		number /= 10;
	} while (number);
	if (len)
		*len = end - p;
	return p;
}

/* In a buffer that the next call writes again. */
static inline char *int2str(unsigned long number, int *len)
{
	static char buffer[INT2STR_MAX_LEN];

	return int2bstr(number, buffer, len);
}

static inline char *sint2str(long number, int *len)
{
	static char buffer[INT2STR_MAX_LEN];
	char *p = int2bstr(number < 0 ? -(unsigned long)number : (unsigned long)number, buffer, len);

	if (number < 0) {
		*--p = '-';
		if (len)
			++*len;
	}
	return p;
}

/* 0, or -1 for what is not all digits. A number that does not fit wraps around. */
static inline int str2int(str *text, unsigned int *number)
{
	if (!text || !text->s || text->len <= 0 || !number)
		return -1;
	*number = 0;
	for (int i = 0; i < text->len; i++) {
		if (text->s[i] < '0' || text->s[i] > '9')
			return -1;
		*number = *number * 10 + (text->s[i] - '0');
	}
	return 0;
}

/* The same with a minus before it. */
static inline int str2sint(str *text, int *number)
{
	unsigned int magnitude;
	str digits;
	int is_negative;

	if (!text || !text->s || text->len <= 0 || !number)
		return -1;
	is_negative = text->s[0] == '-';
	digits.s = text->s + is_negative;
	digits.len = text->len - is_negative;
	if (str2int(&digits, &magnitude) < 0)
		return -1;
	*number = (int)(is_negative ? -magnitude : magnitude);
	return 0;
}

/* At most five digits. `err` becomes 1 or 0. */
static inline unsigned short str2s(const char *s, unsigned int len, int *err)
{
	unsigned int number = 0;
	unsigned int i;

	for (i = 0; i < len && i < 5 && s[i] >= '0' && s[i] <= '9'; i++)
		number = number * 10 + (s[i] - '0');
	if (err)
		*err = i < len;
	return i < len ? 0 : (unsigned short)number;
}

static inline int hex2int(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

static inline int hexstr2int(char *text, int len, unsigned int *number)
{
	unsigned int value = 0;

	for (int i = 0; i < len; i++) {
		int digit = hex2int(text[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | (unsigned int)digit;
	}
	*number = value;
	return 0;
}

/* Decimal, or hexadecimal behind `0x`. */
static inline int strno2int(str *text, unsigned int *number)
{
	if (text->len > 2 && text->s[0] == '0' && text->s[1] == 'x')
		return hexstr2int(text->s + 2, text->len - 2, number);
	return str2int(text, number);
}

static inline char *q_memchr(char *p, int c, unsigned int size)
{
	return memchr(p, c, size);
}

static inline void strlower(str *text)
{
	for (int i = 0; i < text->len; i++)
		text->s[i] = tolower((unsigned char)text->s[i]);
}

static inline void sleep_us(unsigned int micros)
{
	struct timeval wait = { micros / 1000000, micros % 1000000 };

	select(0, NULL, NULL, NULL, &wait);
}

/* Copies: 0, or -1 without memory. */
static inline int pkg_str_dup(str *to, const str *from)
{
	to->len = 0;
	to->s = pkg_malloc(from->len ? from->len : 1);
	if (!to->s)
		return -1;
	memcpy(to->s, from->s, from->len);
	to->len = from->len;
	return 0;
}

static inline int shm_str_dup(str *to, const str *from)
{
	to->len = 0;
	to->s = shm_malloc(from->len ? from->len : 1);
	if (!to->s)
		return -1;
	memcpy(to->s, from->s, from->len);
	to->len = from->len;
	return 0;
}

/* Less than, equal to, or greater than 0. */
static inline int str_strcmp(const str *a, const str *b)
{
	int least = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->s, b->s, least);

	return order ? order : a->len - b->len;
}

#endif
