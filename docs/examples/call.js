// SPDX-License-Identifier: Apache-2.0
// Calls a function with rsocket-js, as `penstock call` does:
//
//   node call.js HOST:PORT NAME [-d TEXT | -f FILE] [-o FILE] [--stream]
//
// Needs, from npm: rsocket-core, rsocket-tcp-client and rsocket-composite-metadata, all 1.0.0-alpha.3.
'use strict';

const { readFileSync, writeFileSync } = require('node:fs');
const { parseArgs } = require('node:util');
const {
	WellKnownMimeType, encodeCompositeMetadata, encodeRoute,
} = require('rsocket-composite-metadata');
const { RSocketConnector } = require('rsocket-core');
const { TcpClientTransport } = require('rsocket-tcp-client');

const GIVE_UP_MS = 30000;
const ITEMS_MAX = 2147483647;

const { values: options, positionals: [address = '', name] } = parseArgs({
	allowPositionals: true,
	options: {
		data: { type: 'string', short: 'd', default: '' },
		file: { type: 'string', short: 'f' },
		output: { type: 'string', short: 'o' },
		stream: { type: 'boolean', default: false },
	},
});

function connect() {
	const [, host, port] = /^(.+):([0-9]+)$/.exec(address) || [];
	if (!host || !name) {
		console.error('usage: node call.js HOST:PORT NAME [-d TEXT | -f FILE] [-o FILE] [--stream]');
		process.exit(2);
	}
	return new RSocketConnector({
		setup: {
			dataMimeType: 'application/octet-stream',
			metadataMimeType: WellKnownMimeType.MESSAGE_RSOCKET_COMPOSITE_METADATA.string,
			keepAlive: 20000,
			lifetime: 90000,
		},
		transport: new TcpClientTransport({ connectionOptions: { host, port: Number(port) } }),
	}).connect();
}

// The first routing tag names the function.
function request() {
	return {
		data: options.file ? readFileSync(options.file) : Buffer.from(options.data),
		metadata: encodeCompositeMetadata([
			[WellKnownMimeType.MESSAGE_RSOCKET_ROUTING, encodeRoute(name)],
		]),
	};
}

// All items: one of request-response, any number of a stream.
function call(rsocket) {
	return new Promise((resolve, reject) => {
		const items = [];
		const responder = {
			onNext: (payload, complete) => {
				items.push(payload.data || Buffer.alloc(0));
				if (complete)
					resolve(items);
			},
			onComplete: () => resolve(items),
			onError: reject,
			onExtension: () => {},
		};
		if (options.stream)
			rsocket.requestStream(request(), ITEMS_MAX, responder);
		else
			rsocket.requestResponse(request(), responder);
	});
}

async function main() {
	const rsocket = await connect();
	const start = process.hrtime.bigint();
	const items = await call(rsocket);
	const ms = Number(process.hrtime.bigint() - start) / 1e6;

	if (options.output)
		writeFileSync(options.output, Buffer.concat(items));
	else
		items.forEach((item) => console.log(item.toString()));
	console.error(`${ms.toFixed(2)} ms`);
	rsocket.close();
}

setTimeout(() => {
	console.error(`no answer within ${GIVE_UP_MS} ms`);
	process.exit(1);
}, GIVE_UP_MS).unref();
main().catch((error) => {
	console.error(error.message);
	process.exit(1);
});
