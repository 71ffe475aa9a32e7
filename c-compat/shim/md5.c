/* MD5 sums (RFC 1321). */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../include/md5utils.h"
#include "../include/ut.h"

#define BLOCK 64

struct sum {
	uint32_t state[4];
	uint64_t bytes;
	unsigned char block[BLOCK];
};

/* The RFC's table T: 2^32 times the sine of 1, 2 and so on. */
static const uint32_t sines[BLOCK] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
	0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
	0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
	0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const unsigned char turns[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } };

static void take_block(uint32_t state[4], const unsigned char *block)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];

	for (unsigned int i = 0; i < BLOCK; i++) {
		unsigned int turn = turns[i / 16][i % 4];
		const unsigned char *p;
		uint32_t mixed, rest;
		unsigned int at;

		switch (i / 16) {
		case 0:
			mixed = (b & c) | (~b & d);
			at = i;
			break;
		case 1:
			mixed = (d & b) | (~d & c);
			at = 5 * i + 1;
			break;
		case 2:
			mixed = b ^ c ^ d;
			at = 3 * i + 5;
			break;
		default:
			mixed = c ^ (b | ~d);
			at = 7 * i;
		}
		p = block + 4 * (at % 16);
		mixed += a + sines[i] + (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
		rest = d;
		d = c;
		c = b;
		b += mixed << turn | mixed >> (32 - turn);
		a = rest;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
}

static void begin(struct sum *sum)
{
	sum->state[0] = 0x67452301;
	sum->state[1] = 0xefcdab89;
	sum->state[2] = 0x98badcfe;
	sum->state[3] = 0x10325476;
	sum->bytes = 0;
}

static void add(struct sum *sum, const void *bytes, size_t len)
{
	const unsigned char *from = bytes;

	while (len--) {
		sum->block[sum->bytes++ % BLOCK] = *from++;
		if (sum->bytes % BLOCK == 0)
			take_block(sum->state, sum->block);
	}
}

static void end(struct sum *sum, char *to)
{
	unsigned char length[8], digest[16];

	for (int i = 0; i < 8; i++)
		length[i] = sum->bytes * 8 >> 8 * i;
	add(sum, "\x80", 1);
	while (sum->bytes % BLOCK != BLOCK - sizeof(length))
		add(sum, "", 1);
	add(sum, length, sizeof(length));
	for (int i = 0; i < 16; i++)
		digest[i] = sum->state[i / 4] >> 8 * (i % 4);
	string2hex(digest, sizeof(digest), to);
}

void MD5StringArray(char *dst, str src[], unsigned int size)
{
	struct sum sum;

	begin(&sum);
	for (unsigned int i = 0; i < size; i++) {
		char *text;
		int len;

		trim_len(len, text, src[i]);
		add(&sum, text, len);
	}
	end(&sum, dst);
}

int MD5File(char *dst, const char *name)
{
	struct sum sum;
	char piece[4096];
	size_t len;
	FILE *file;
	int failed;

	if (!dst || !name)
		return -1;
	file = fopen(name, "rb");
	if (!file) {
		LM_ERR("cannot open \"%s\": %m\n", name);
		return -1;
	}
	begin(&sum);
	while ((len = fread(piece, 1, sizeof(piece), file)) > 0)
		add(&sum, piece, len);
	failed = ferror(file);
	fclose(file);
	if (failed) {
		LM_ERR("cannot read \"%s\"\n", name);
		return -1;
	}
	end(&sum, dst);
	return 0;
}
