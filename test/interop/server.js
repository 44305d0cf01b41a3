// SPDX-License-Identifier: Apache-2.0
// A backend on rsocket-js with the functions of the test backends: echo, count, delay, error.
// node server.js 0.0.27|alpha PORT [HOST]. Prints "ready" when it listens and its counts when it is
// told to end (SIGTERM, SIGINT).
'use strict';

const calls = { rr: 0, fnf: 0, streams: 0, items: 0 };

function decimal(data) {
	const text = data ? data.toString('utf8') : '';
	if (!/^[0-9]{1,9}$/.test(text))
		throw new Error(`not a decimal number: ${text.slice(0, 40)}`);
	return Number(text);
}

// "CODE text". 0.0.27 cannot say another code than APPLICATION_ERROR.
function errorFrom(data) {
	const [, code, text] = /^([0-9]+) ?(.*)$/s.exec(data.toString('utf8')) || [];
	const error = new Error(text);
	error.code = Number(code);
	return error;
}

const replies = {
	echo: async (data) => data,
	delay: (data) => new Promise((resolve) => {
		setTimeout(() => resolve(Buffer.alloc(0)), decimal(data));
	}),
	error: async (data) => { throw errorFrom(data); },
};

// peer.js asks `last` so that the stream ends with its last item, not with the next credit.
function count(data) {
	const n = decimal(data);
	let i = 0;
	return {
		next: () => {
			calls.items++;
			return Buffer.from(String(++i));
		},
		last: () => i >= n,
	};
}

// js.echo is echo: routes may carry a prefix.
const plain = (route) => route.slice(route.lastIndexOf('.') + 1);

const functions = {
	fireAndForget: () => { calls.fnf++; },
	requestResponse: async (route, data) => {
		calls.rr++;
		const reply = replies[plain(route)];
		if (!reply)
			throw new Error(`no function ${route}`);
		return reply(data);
	},
	requestStream: (route, data) => {
		calls.streams++;
		if (plain(route) !== 'count')
			throw new Error(`no stream ${route}`);
		return count(data);
	},
};

async function main([generation, port, host = '127.0.0.1']) {
	if (!['0.0.27', 'alpha'].includes(generation) || !(port > 0)) {
		console.error('usage: node server.js 0.0.27|alpha PORT [HOST]');
		process.exit(2);
	}
	const { serve } = require(`./js-${generation}/peer.js`);
	await serve({ host, port: Number(port) }, functions);
	console.log('ready');
	for (const signal of ['SIGTERM', 'SIGINT']) {
		process.on(signal, () => {
			console.log(JSON.stringify(calls));
			process.exit(0);
		});
	}
}

main(process.argv.slice(2));
