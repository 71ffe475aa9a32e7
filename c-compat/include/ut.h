/* Numbers and strings. */
#ifndef OPENSIPS_MI_UT_H
#define OPENSIPS_MI_UT_H

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include "config.h"
#include "dprint.h"
#include "linkage.h"
#include "mem/mem.h"
#include "mem/shm_mem.h"
#include "sr_module.h"
#include "str.h"

OPENSIPS_MI_BEGIN_C

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
	return (char *)memchr(p, c, size);
}

/* The last occurrence of the character. */
static inline char *q_memrchr(char *p, int c, unsigned int size)
{
	while (size-- > 0)
		if ((unsigned char)p[size] == (unsigned char)c)
			return p + size;
	return NULL;
}

/* Two digits for each byte; gives how many bytes there were. No bytes are the one digit 0. */
static inline int string2hex(unsigned char *bytes, int len, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	if (!len) {
		*hex = '0';
		return 1;
	}
	for (int i = 0; i < len; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	return len;
}

/* Hexadecimal, the lowest digit first. Moves `*to` behind what it has written and takes that from `*room`; -1 when
 * there is not enough. */
static inline int int2reverse_hex(char **to, int *room, unsigned int number)
{
	do {
		if (*room <= 0)
			return -1;
		*(*to)++ = "0123456789abcdef"[number & 15];
		--*room;
		number >>= 4;
	} while (number);
	return 1;
}

static inline int reverse_hex2int(char *text, int len)
{
	int value = 0;

	while (len-- > 0) {
		int digit = hex2int(text[len]);

		if (digit < 0)
			return -1;
		value = (int)((unsigned int)value << 4) + digit;
	}
	return value;
}

static inline int calc_base64_encode_len(int len)
{
	return (len + 2) / 3 * 4;
}

static inline int calc_max_base64_decode_len(int len)
{
	return len * 3 / 4;
}

/* Writes calc_base64_encode_len(len) bytes, and no NUL. */
static inline void base64encode(unsigned char *to, unsigned char *from, int len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (int i = 0; i < len; i += 3) {
		unsigned int left = (unsigned int)(len - i);
		unsigned int group = (unsigned int)from[i] << 16;

		if (left > 1)
			group |= (unsigned int)from[i + 1] << 8;
		if (left > 2)
			group |= from[i + 2];
		*to++ = digits[group >> 18];
		*to++ = digits[group >> 12 & 63];
		*to++ = left > 1 ? digits[group >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[group & 63] : '=';
	}
}

/* Gives how many bytes it has written. Skips what is no digit, and ends at the first `=`. */
static inline int base64decode(unsigned char *to, unsigned char *from, int len)
{
	unsigned int bits = 0;
	int count = 0;
	int written = 0;

	for (int i = 0; i < len && from[i] != '='; i++) {
		unsigned char c = from[i];
		unsigned int digit;

		if (c >= 'A' && c <= 'Z')
			digit = c - 'A';
		else if (c >= 'a' && c <= 'z')
			digit = c - 'a' + 26;
		else if (c >= '0' && c <= '9')
			digit = c - '0' + 52;
		else if (c == '+' || c == '/')
			digit = c == '+' ? 62 : 63;
		else
			continue;
		bits = bits << 6 | digit;
		if (count++ % 4)
			to[written++] = (unsigned char)(bits >> (6 - (count - 1) % 4 * 2));
	}
	return written;
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
	to->s = (char *)pkg_malloc(from->len ? from->len : 1);
	if (!to->s)
		return -1;
	memcpy(to->s, from->s, from->len);
	to->len = from->len;
	return 0;
}

static inline int shm_str_dup(str *to, const str *from)
{
	to->len = 0;
	to->s = (char *)shm_malloc(from->len ? from->len : 1);
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

/* Of letters of either case: -1, 0 or 1; -2 when there is nothing to compare. */
static inline int str_strcasecmp(const str *a, const str *b)
{
	int order;

	if (!a || !b || !a->s || !b->s || a->len < 0 || b->len < 0)
		return -2;
	order = strncasecmp(a->s, b->s, a->len < b->len ? a->len : b->len);
	if (!order)
		order = a->len - b->len;
	return (order > 0) - (order < 0);
}

/* Takes the ends of lines, and NULs, from the end of a string. */
#define trim_r(text) \
	do { \
		while ((text).len > 0 && strchr("\r\n", (text).s[(text).len - 1])) \
			(text).len--; \
	} while (0)

/* Where a string begins without the blanks around it, and how long it is then. */
#define trim_len(length, begin, text) \
	do { \
		(begin) = (text).s; \
		(length) = (text).len; \
		while ((length) > 0 && strchr(" \t\r\n", (begin)[(length) - 1])) \
			(length)--; \
		while ((length) > 0 && ((begin)[0] == ' ' || (begin)[0] == '\t')) { \
			(begin)++; \
			(length)--; \
		} \
	} while (0)

/* Takes the spaces around a string from it; trim_spaces_lr writes NULs over those behind it. */
#define str_trim_spaces_lr(text) \
	do { \
		while ((text).len > 0 && (text).s[(text).len - 1] == ' ') \
			(text).len--; \
		while ((text).len > 0 && (text).s[0] == ' ') { \
			(text).s++; \
			(text).len--; \
		} \
	} while (0)

#define trim_spaces_lr(text) \
	do { \
		while ((text).len > 0 && (text).s[(text).len - 1] == ' ') \
			(text).s[--(text).len] = 0; \
		str_trim_spaces_lr(text); \
	} while (0)

OPENSIPS_MI_END_C

#endif
