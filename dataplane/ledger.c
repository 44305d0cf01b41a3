// SPDX-License-Identifier: Apache-2.0
// Credit of a stream: see ledger.h. Pure.
//
// No stall: while something is wanted, either items are outstanding (ledger_arrived follows), or
// bytes are queued (the caller asks again when they leave), or ledger_pass() gives at least one.

#include "dataplane/ledger.h"

#include "dataplane/capacity.h"

#define CREDIT_MAX 0x7fffffffu // sums stop here (rule 54)
// Two of the largest messages fit a stream's queue, so a stream can safely begin with them.
#define FIRST_ITEMS 2u
// An estimate falls by this fraction of the difference to a smaller item.
#define DECAY 8u

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t ledger_open(struct ledger *l, uint32_t credit, uint32_t item_bytes, size_t window_bytes)
{
	size_t fit = item_bytes ? window_bytes / item_bytes : 0;

	*l = (struct ledger){.item_bytes = item_bytes, .burst = FIRST_ITEMS};
	if (item_bytes)
		l->burst = fit < STREAM_FIRST_ITEMS ? (uint32_t)fit : STREAM_FIRST_ITEMS;
	if (l->burst == 0)
		l->burst = 1;
	l->outstanding = min_u32(credit, l->burst);
	l->wanted = credit - l->outstanding;
	l->low_water = l->outstanding / 2;
	return l->outstanding;
}

void ledger_grant(struct ledger *l, uint32_t n)
{
	l->wanted = n < CREDIT_MAX - l->wanted ? l->wanted + n : CREDIT_MAX;
}

// Grows at once with a larger item, and forgets it slowly.
void ledger_arrived(struct ledger *l, size_t bytes)
{
	uint32_t size = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;

	if (l->outstanding > 0)
		l->outstanding--;
	else if (l->surplus < CREDIT_MAX)
		l->surplus++;
	if (l->burst < CREDIT_MAX)
		l->burst++;
	if (size >= l->item_bytes)
		l->item_bytes = size;
	else
		l->item_bytes -= (l->item_bytes - size) / DECAY;
}

uint32_t ledger_pass(struct ledger *l, size_t queued_bytes, size_t window_bytes)
{
	// Of unknown size: as if each filled the window.
	size_t size = l->item_bytes ? l->item_bytes : window_bytes;
	size_t used = queued_bytes + (size_t)l->outstanding * size;
	size_t items = used < window_bytes ? (window_bytes - used) / size : 0;
	uint32_t room = l->burst > l->outstanding ? l->burst - l->outstanding : 0;
	uint32_t n, came;

	// An item larger than the window goes alone.
	if (items == 0 && l->outstanding == 0 && queued_bytes == 0)
		items = 1;
	if (items < room)
		room = (uint32_t)items;
	// What came uncalled for needs no room any more.
	came = min_u32(l->surplus, l->wanted);
	n = came + min_u32(room, l->wanted - came);
	if (n == 0)
		return 0;
	l->surplus -= came;
	l->wanted -= n;
	l->outstanding += n - came;
	l->low_water = l->outstanding / 2;
	return n;
}
