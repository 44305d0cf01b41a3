// SPDX-License-Identifier: Apache-2.0
// Calls a server or gateway with rsocket-js and verifies every reply. Usage:
// node client.js 0.0.27|alpha HOST:PORT [--calls N] [--prefix P] [--large MIB,MIB]
//	[--fragment BYTES] [--codes] [--unknown]
// Each check prints a line; the last is a summary. Exit status 1 if anything was wrong.
'use strict';

const assert = require('node:assert/strict');
const { parseArgs } = require('node:util');

const LIMIT_MS = 120000;
const WINDOW = 64;  // calls under way at once

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Repeatable bytes that differ between calls, so that a reply given to the wrong call is seen.
function bytes(seed, length) {
	const out = Buffer.allocUnsafe(length);
	let x = (seed * 2654435761 + 12345) >>> 0;
	for (let i = 0; i < length; i++) {
		x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
		out[i] = x >>> 24;
	}
	return out;
}

// Runs make(0) to make(total - 1), WINDOW at a time.
async function each(total, window, make) {
	let next = 0;
	const lane = async () => {
		while (next < total)
			await make(next++);
	};
	await Promise.all(Array.from({ length: Math.min(window, total) }, lane));
}

// Reads a stream with the first credit `first`, then `more` whenever that is used up. Ends it after
// `cancelAfter` items. Resolves with the number of items; every item must be in order and credited.
function readStream(client, route, n, { first, more, cancelAfter = Infinity }) {
	return new Promise((resolve, reject) => {
		let credited = first;
		let seen = 0;
		let over = false;
		const stream = client.requestStream(route, Buffer.from(String(n)), first, {
			onNext: (data) => {
				if (over)
					return;
				seen++;
				try {
					assert.equal(data.toString('utf8'), String(seen), 'items out of order');
					assert.ok(seen <= credited, `item ${seen} beyond a credit of ${credited}`);
				} catch (error) {
					over = true;
					stream.cancel();
					reject(error);
					return;
				}
				if (seen === cancelAfter) {
					over = true;
					stream.cancel();
					resolve(seen);
				} else if (seen === credited && seen < n) {
					credited += more;
					setImmediate(() => stream.request(more));
				}
			},
			onComplete: () => {
				if (over)
					return;
				over = true;
				if (seen === n)
					resolve(seen);
				else
					reject(new Error(`stream of ${n} ended after ${seen} items`));
			},
			onError: (error) => {
				if (!over)
					reject(error);
			},
		});
	});
}

async function fails(promise) {
	try {
		await promise;
	} catch (error) {
		return error;
	}
	throw new Error('the call succeeded, an error was expected');
}

const checks = {
	async 'request-response'({ client, calls, route }) {
		await each(calls, WINDOW, async (i) => {
			const data = bytes(i, i % 2000);
			const reply = await client.requestResponse(route('echo'), data);
			assert.ok(reply.equals(data), `reply ${i}: ${reply.length} bytes, not those sent`);
		});
		return calls;
	},

	async 'fire-and-forget'({ client, calls, route }) {
		await each(calls, WINDOW, (i) => client.fireAndForget(route('echo'), bytes(i, 100)));
		await client.requestResponse(route('echo'), Buffer.from('after'));
		return calls;
	},

	async 'streams of 50, credits 1 to 9'({ client, calls, route }) {
		const streams = Math.ceil(calls / 10);
		await each(streams, 16, (i) => readStream(client, route('count'), 50,
			{ first: 1 + i % 5, more: 1 + i % 9 }));
		return streams;
	},

	async 'streams cancelled in the middle'({ client, calls, route }) {
		const streams = Math.ceil(calls / 10);
		await each(streams, 16, (i) => readStream(client, route('count'), 1000,
			{ first: 4, more: 3, cancelAfter: 5 + i % 20 }));
		await client.requestResponse(route('echo'), Buffer.from('after'));
		return streams;
	},

	async 'error'({ client, route }) {
		const error = await fails(client.requestResponse(route('error'), Buffer.from('513 boom')));
		assert.equal(error.code, 0x201);
		assert.equal(error.text, 'boom');
		return 1;
	},

	async 'application error code'({ client, codes, route }) {
		if (!codes)
			return 0;
		const data = Buffer.from('74565 boom');
		const error = await fails(client.requestResponse(route('error'), data));
		assert.equal(error.code, 74565);
		assert.equal(error.text, 'boom');
		return 1;
	},

	async 'delay'({ client, route }) {
		const start = Date.now();
		await client.requestResponse(route('delay'), Buffer.from('30'));
		assert.ok(Date.now() - start >= 29, 'the reply came early');
		return 1;
	},

	async 'unknown function is rejected'({ client, unknown }) {
		if (!unknown)
			return 0;
		const name = 'no-such-function';
		const error = await fails(client.requestResponse(name, Buffer.from('x')));
		assert.equal(error.code, 0x202, `code ${error.code}: ${error.text}`);
		return 1;
	},

	async 'large payloads both ways'({ client, large, route }) {
		for (const mib of large) {
			const data = bytes(mib, mib * 1024 * 1024);
			const reply = await client.requestResponse(route('echo'), data);
			assert.equal(reply.length, data.length);
			assert.ok(reply.equals(data), `${mib} MiB came back changed`);
		}
		return large.length;
	},

	async 'large and small side by side'({ client, large, route }) {
		const data = bytes(7, 1024 * 1024);
		const big = large.length ? client.requestResponse(route('echo'), data) : undefined;
		await each(200, 8, async (i) => {
			const small = bytes(i, 32);
			assert.ok((await client.requestResponse(route('echo'), small)).equals(small));
		});
		if (big)
			assert.ok((await big).equals(data));
		return 200 + (big ? 1 : 0);
	},
};

function options() {
	const { values, positionals } = parseArgs({
		allowPositionals: true,
		options: {
			calls: { type: 'string', default: '2000' },
			prefix: { type: 'string', default: '' },
			large: { type: 'string', default: '1,15' },
			fragment: { type: 'string', default: '0' },
			codes: { type: 'boolean', default: false },
			unknown: { type: 'boolean', default: false },
		},
	});
	const [generation, to = ''] = positionals;
	const colon = to.lastIndexOf(':');
	if (!['0.0.27', 'alpha'].includes(generation) || colon < 1) {
		console.error('usage: node client.js 0.0.27|alpha HOST:PORT [--calls N] [--prefix P] '
			+ '[--large MIB,MIB] [--fragment BYTES] [--codes] [--unknown]');
		process.exit(2);
	}
	return {
		generation,
		host: to.slice(0, colon),
		port: Number(to.slice(colon + 1)),
		calls: Number(values.calls),
		large: values.large.split(',').filter(Boolean).map(Number),
		fragmentBytes: Number(values.fragment),
		codes: values.codes,
		unknown: values.unknown,
		route: (name) => values.prefix + name,
	};
}

async function main() {
	const settings = options();
	const { connect } = require(`./js-${settings.generation}/peer.js`);
	const client = await connect(settings);
	let done = 0;
	let wrong = 0;
	for (const [name, check] of Object.entries(checks)) {
		const start = Date.now();
		let timer;
		const limit = new Promise((_, reject) => {
			timer = setTimeout(() => reject(new Error(`no end within ${LIMIT_MS} ms`)), LIMIT_MS);
		});
		try {
			const n = await Promise.race([check({ client, ...settings }), limit]);
			done += n;
			if (n > 0)
				console.log(`  ok    ${name}: ${n} in ${Date.now() - start} ms`);
		} catch (error) {
			wrong++;
			console.log(`  WRONG ${name}: ${error.message}`);
		}
		clearTimeout(timer);
	}
	client.close();
	console.log(`rsocket-js ${settings.generation}: ${done} calls verified, ${wrong} checks failed`);
	await sleep(50);
	process.exit(wrong ? 1 : 0);
}

main().catch((error) => {
	console.error(`rsocket-js client: ${error.message}`);
	process.exit(1);
});
