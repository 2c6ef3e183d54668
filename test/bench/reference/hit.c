/*
 * The hit path of the datapath in C, as a yardstick for the same work in TypeScript: prefetch
 * (datapath/pipeline/prefetch.ts) and fast path (datapath/pipeline/fast-path.ts) over the same
 * layout of flow lines, index and batch, measured as test/bench/core/measure.ts measures.
 *
 * Usage: hit FLOWS SLICES. Prints ns a packet.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { BATCH = 64, SLICE_PACKETS = 640000, FLOWS_MAX = 1 << 20, SLOTS = FLOWS_MAX * 4 };
enum { VNET = 10, PACKET = 52, FRAME = VNET + PACKET, STRIDE = 128, OWN_WORDS = 6 };
enum { CLIENTS = 200, ENDPOINTS = 10, PROBES_MAX = 256, TCP = 6, ACK = 0x10, LEAP_MAX = 1 << 24 };
/* Words of a line. */
enum {
	SRC, DST, PORTS, META, NEW_SRC, NEW_DST, NEW_PORTS, SUMS,
	SEEN, PACKETS, BYTES, BYTES_HIGH, SEQ_END, LAST_ACK, SERVICE, BORN, LINE_WORDS
};
/* Words of a packet's record. */
enum { P_START, P_LENGTH, P_HASH = 11, P_VERDICT = 13, P_SIDE = 14, P_WORDS = 16 };

#define FLAG_DNAT (1 << 16)
#define FLAG_SNAT (1 << 17)
#define FLAG_ASSURED (1 << 20)
#define FLAG_TTL_BACK (1 << 21)
#define EPOCH (1u << 23)
#define STATE_ESTABLISHED (3 << 8)
#define META_MASK (0xffu | 0xff00u | FLAG_ASSURED | (~0u << 22))
#define META_WANTED (TCP | STATE_ESTABLISHED | FLAG_ASSURED | EPOCH)

static uint32_t (*lines)[LINE_WORDS];
static uint32_t *slots;
static uint32_t records[BATCH][P_WORDS];
static _Alignas(64) uint8_t buffer[BATCH * STRIDE];
static uint32_t *prebuilt;
static const uint32_t seed = 12345, slot_mask = SLOTS - 1;
static uint32_t now_ms = 1000;

static uint32_t get32(const uint8_t *at)
{
	uint32_t word;
	memcpy(&word, at, 4);
	return __builtin_bswap32(word);
}

static void put32(uint8_t *at, uint32_t word)
{
	word = __builtin_bswap32(word);
	memcpy(at, &word, 4);
}

static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static void put16(uint8_t *at, uint32_t half) { at[0] = half >> 8; at[1] = half; }

static uint32_t hash_tuple(uint32_t src, uint32_t dst, uint32_t ports, uint32_t proto)
{
	uint32_t h = (src ^ seed) * 0x9e3779b1u;
	h ^= h >> 15;
	h = (h ^ dst) * 0x85ebca6bu;
	h ^= h >> 13;
	h = (h ^ ports ^ (proto << 24)) * 0xc2b2ae35u;
	h ^= h >> 16;
	h *= 0x27d4eb2fu;
	return h ^ (h >> 15);
}

static uint32_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static uint32_t add_sums(uint32_t a, uint32_t b)
{
	uint32_t sum = a + b;
	return (sum & 0xffff) + (sum >> 16);
}

static uint32_t patch_full(uint32_t field, uint32_t delta)
{
	return ~add_sums(~field & 0xffff, delta) & 0xffff;
}

static uint32_t delta_of(uint32_t from, uint32_t to)
{
	return fold((~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16));
}

static void prefetch(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t *r = records[i];
		const uint8_t *ip = buffer + r[P_START] + VNET;
		r[P_HASH] = hash_tuple(get32(ip + 12), get32(ip + 16), get32(ip + 20), ip[9]);
		__builtin_prefetch(&slots[r[P_HASH] & slot_mask]);
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t *r = records[i], hash = r[P_HASH], slot = hash & slot_mask, side = ~0u;
		for (uint32_t probes = 0; probes < PROBES_MAX; probes++) {
			uint32_t entry = slots[slot];
			if (entry == 0)
				break;
			if (((entry ^ hash) & ~slot_mask) == 0) {
				side = (entry & slot_mask) - 1;
				__builtin_prefetch(lines[side], 1);
				break;
			}
			slot = (slot + 1) & slot_mask;
		}
		r[P_SIDE] = side;
	}
}

/* The side of a packet, where prefetch met the tag of another one. */
static uint32_t find(const uint32_t *r)
{
	const uint8_t *ip = buffer + r[P_START] + VNET;
	uint32_t hash = r[P_HASH], slot = hash & slot_mask;
	for (uint32_t probes = 0; probes < PROBES_MAX && slots[slot] != 0; probes++) {
		uint32_t side = (slots[slot] & slot_mask) - 1;
		if (((slots[slot] ^ hash) & ~slot_mask) == 0 && lines[side][SRC] == get32(ip + 12) &&
		    lines[side][DST] == get32(ip + 16) && lines[side][PORTS] == get32(ip + 20))
			return side;
		slot = (slot + 1) & slot_mask;
	}
	return ~0u;
}

/* Takes one packet; 1 if it is forwarded. */
static int take(uint32_t *r)
{
	uint32_t side = r[P_SIDE], room = r[P_LENGTH] - VNET;
	if (side == ~0u || room < 40)
		return 0;
	uint8_t *vnet = buffer + r[P_START], *ip = vnet + VNET;
	uint32_t w0 = get32(ip), w1 = get32(ip + 4), w2 = get32(ip + 8), w8 = get32(ip + 32);
	uint32_t src = get32(ip + 12), dst = get32(ip + 16), ports = get32(ip + 20);
	uint32_t tcp_bytes = (w8 >> 26) & 0x3c;
	if (w0 >> 24 != 0x45 || (w0 & 0xffff) != room || (w1 & 0x3fff) != 0 ||
	    (w2 & 0x00ff0000) != TCP << 16 || (w8 & 0x00370000) != 0x00100000 ||
	    tcp_bytes < 20 || 20 + tcp_bytes > room)
		return 0;
	uint32_t low = (w0 & 0xffff) + (w1 & 0xffff) + (w2 & 0xffff) + (src & 0xffff) + (dst & 0xffff);
	uint32_t high = (w0 >> 16) + (w1 >> 16) + (w2 >> 16) + (src >> 16) + (dst >> 16);
	if (fold(low + high) != 0xffff)
		return 0;
	uint32_t *line = lines[side], meta = line[META];
	if (line[SRC] != src || line[DST] != dst || line[PORTS] != ports ||
	    (meta & META_MASK) != META_WANTED)
		return 0;
	uint32_t csum;
	memcpy(&csum, vnet + 6, 4);
	int partial = vnet[0] & 1;
	if (partial && csum != (20 | 16 << 16))
		return 0;

	uint32_t seq_end = get32(ip + 24) + room - 20 - tcp_bytes, ack = get32(ip + 28);
	int32_t sent = seq_end - line[SEQ_END], acked = ack - line[LAST_ACK];
	if (sent > 0 && sent < LEAP_MAX)
		line[SEQ_END] = seq_end;
	if (acked > 0 && acked < LEAP_MAX)
		line[LAST_ACK] = ack;
	line[SEEN] = now_ms;
	line[PACKETS]++;
	line[BYTES] += room;
	if (line[BYTES] < room)
		line[BYTES_HIGH]++;

	uint32_t word = w2, delta = 0;
	if ((meta & FLAG_TTL_BACK) && w2 >> 24 != 255) {
		word += 1 << 24;
		delta = 0x0100;
	}
	if (meta & (FLAG_DNAT | FLAG_SNAT)) {
		uint32_t sums = line[SUMS], sum = get16(ip + 36);
		delta = add_sums(delta, sums & 0xffff);
		put32(ip + 12, line[NEW_SRC]);
		put32(ip + 16, line[NEW_DST]);
		put32(ip + 20, line[NEW_PORTS]);
		put16(ip + 36, partial ? add_sums(sum, sums & 0xffff) : patch_full(sum, sums >> 16));
	}
	put32(ip + 8, (word & ~0xffffu) | patch_full(word & 0xffff, delta));
	r[P_VERDICT] = 0;
	return 1;
}

static uint32_t run(uint32_t count)
{
	uint32_t forwarded = 0;
	prefetch(count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t *r = records[i];
		if (take(r)) {
			forwarded++;
			continue;
		}
		r[P_SIDE] = find(r);
		forwarded += take(r);
	}
	return forwarded;
}

static void fill(uint32_t from, uint32_t flows)
{
	const uint32_t *own = prebuilt + (size_t)(from % flows) * OWN_WORDS;
	const uint32_t *end = prebuilt + (size_t)flows * OWN_WORDS;
	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t *ip = buffer + records[i][P_START] + VNET;
		for (uint32_t word = 0; word < OWN_WORDS; word++)
			put32(ip + word * 4, own[word]);
		own += OWN_WORDS;
		if (own == end)
			own = prebuilt;
	}
}

static void open_flow(uint32_t flow, uint32_t *own)
{
	uint32_t client = 0x0af40101 + flow % CLIENTS, vip = 0x0a600032;
	uint32_t endpoint = 0x0af4020a + flow % ENDPOINTS;
	uint32_t ports = (1024 + flow / CLIENTS) << 16 | 80, to = (ports & ~0xffffu) | 8080;
	uint32_t side = flow * 2, *line = lines[side];
	uint32_t addresses = delta_of(vip, endpoint);
	uint32_t sums = addresses | add_sums(addresses, delta_of(ports, to)) << 16;
	const uint32_t key[LINE_WORDS] = {
		[SRC] = client, [DST] = vip, [PORTS] = ports,
		[META] = META_WANTED | FLAG_DNAT | FLAG_TTL_BACK,
		[NEW_SRC] = client, [NEW_DST] = endpoint, [NEW_PORTS] = to, [SUMS] = sums,
		[SEQ_END] = 2, [LAST_ACK] = 7001,
	};
	memcpy(line, key, sizeof key);
	uint32_t hash = hash_tuple(client, vip, ports, TCP), slot = hash & slot_mask;
	while (slots[slot] != 0)
		slot = (slot + 1) & slot_mask;
	slots[slot] = (hash & ~slot_mask) | (side + 1);
	/* The other side, for the same load of the index. */
	hash = hash_tuple(endpoint, client, to << 16 | to >> 16, TCP);
	for (slot = hash & slot_mask; slots[slot] != 0;)
		slot = (slot + 1) & slot_mask;
	slots[slot] = (hash & ~slot_mask) | (side + 2);
	const uint32_t header[OWN_WORDS] = {
		0x45000000 | PACKET, 0x4000, 63u << 24 | TCP << 16, client, vip, ports };
	uint32_t sum = 0;
	memcpy(own, header, sizeof header);
	for (uint32_t i = 0; i < 5; i++)
		sum += (own[i] & 0xffff) + (own[i] >> 16);
	own[2] |= ~fold(sum) & 0xffff;
}

static void *map(size_t bytes)
{
	/* As the datapath's arena: shared, so that its pages are of the same kind. */
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memset(at, 0, bytes);
	return at;
}

static void build(uint32_t flows)
{
	lines = map((size_t)FLOWS_MAX * 2 * sizeof *lines);
	slots = map((size_t)SLOTS * sizeof *slots);
	prebuilt = map((size_t)flows * OWN_WORDS * sizeof *prebuilt);
	uint32_t *order = map((size_t)flows * sizeof *order), x = 1;
	for (uint32_t i = 0; i < flows; i++)
		order[i] = i;
	for (uint32_t i = flows - 1; i > 0; i--) {
		x = x * 1103515245u + 12345;
		uint32_t j = (x >> 3) % (i + 1), kept = order[i];
		order[i] = order[j];
		order[j] = kept;
	}
	for (uint32_t i = 0; i < flows; i++)
		open_flow(order[i], prebuilt + (size_t)i * OWN_WORDS);
	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t *vnet = buffer + i * STRIDE, *tcp = vnet + VNET + 20;
		records[i][P_START] = i * STRIDE;
		records[i][P_LENGTH] = FRAME;
		vnet[0] = 1;
		vnet[6] = 20;
		vnet[8] = 16;
		put32(tcp + 4, 2);
		put32(tcp + 8, 7001);
		put16(tcp + 12, 0x8000 | ACK);
		put32(tcp + 16, 0x12340000);
	}
}

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	uint32_t flows = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	uint32_t slices = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, from = 0;
	double both = 1e18, filling = 1e18;
	if (flows < 1 || flows > FLOWS_MAX || slices < 1) {
		fprintf(stderr, "usage: hit FLOWS SLICES, FLOWS up to %d\n", FLOWS_MAX);
		return 2;
	}
	build(flows);
	for (uint32_t slice = 0; slice < slices; slice++, from += SLICE_PACKETS) {
		uint32_t forwarded = 0;
		double begun = now_ns(), ns;
		for (uint32_t n = 0; n < SLICE_PACKETS; n += BATCH) {
			fill(from + n, flows);
			forwarded += run(BATCH);
		}
		if ((ns = now_ns() - begun) < both)
			both = ns;
		if (forwarded != SLICE_PACKETS) {
			fprintf(stderr, "%u of %d packets were forwarded\n", forwarded, SLICE_PACKETS);
			return 1;
		}
		begun = now_ns();
		for (uint32_t n = 0; n < SLICE_PACKETS; n += BATCH) {
			fill(from + n, flows);
			/* The packets are observed: the compiler keeps the filling. */
			__asm__ volatile("" ::: "memory");
		}
		if ((ns = now_ns() - begun) < filling)
			filling = ns;
	}
	printf("%.2f\n", (both - filling) / SLICE_PACKETS);
	return 0;
}
