// SPDX-License-Identifier: Apache-2.0
// Finds out which shapes of fragmented messages rsocket-js understands, by sending them as raw bytes:
// node fragments.js 0.0.27|alpha. Prints one line a shape; README.md has what it printed.
'use strict';

const net = require('node:net');

const TYPE = { SETUP: 1, RR: 4, FNF: 5, STREAM: 6, CANCEL: 9, PAYLOAD: 10, ERROR: 11 };
const M = 0x100, F = 0x80, C = 0x40, N = 0x20;
const WAIT_MS = 700;

const u24 = (n) => Buffer.from([n >>> 16, (n >>> 8) & 255, n & 255]);

function u32(n) {
	const out = Buffer.alloc(4);
	out.writeUInt32BE(n);
	return out;
}

function frame(id, type, flags, ...parts) {
	const header = Buffer.alloc(6);
	header.writeUInt32BE(id);
	header.writeUInt16BE((type << 10) | flags, 4);
	const body = Buffer.concat([header, ...parts]);
	return Buffer.concat([u24(body.length), body]);
}

const mime = (s) => Buffer.concat([Buffer.from([s.length]), Buffer.from(s)]);
const SETUP = frame(0, TYPE.SETUP, 0, Buffer.from('00010000', 'hex'), u32(60000), u32(300000),
	mime('message/x.rsocket.composite-metadata.v0'), mime('application/octet-stream'));

function routing(name) {
	const tag = Buffer.concat([Buffer.from([name.length]), Buffer.from(name)]);
	return Buffer.concat([Buffer.from([0xfe]), u24(tag.length), tag]);
}

const withMetadata = (metadata) => Buffer.concat([u24(metadata.length), metadata]);

// Splits what a socket delivers into frames {id, type, flags, data}; metadata is cut away.
function reader(socket, onFrame) {
	let rest = Buffer.alloc(0);
	socket.on('data', (chunk) => {
		rest = Buffer.concat([rest, chunk]);
		while (rest.length >= 3 && rest.length >= 3 + rest.readUIntBE(0, 3)) {
			const end = 3 + rest.readUIntBE(0, 3);
			const body = rest.subarray(3, end);
			const word = body.readUInt16BE(4);
			const flags = word & 0x3ff;
			let at = 6 + (word >>> 10 === TYPE.STREAM ? 4 : 0);
			let metadata;
			if (flags & M) {
				metadata = body.subarray(at + 3, at + 3 + body.readUIntBE(at, 3));
				at += 3 + metadata.length;
			}
			onFrame({ id: body.readUInt32BE(0), type: word >>> 10, flags, metadata, data: body.subarray(at) });
			rest = rest.subarray(end);
		}
	});
	socket.on('error', () => {});
}

const echo = routing('echo');
const abc = ['aaa', 'bbb', 'ccc'].map((s) => Buffer.from(s));
const whole = Buffer.concat(abc);

// Each: the frames of a request to the echo function and the reply data that proves it arrived.
const toResponder = {
	'request in 3 fragments, N on continuations': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo), abc[0]),
		frame(1, TYPE.PAYLOAD, N | F, abc[1]),
		frame(1, TYPE.PAYLOAD, N, abc[2])], whole],
	'the same without N': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo), abc[0]),
		frame(1, TYPE.PAYLOAD, F, abc[1]),
		frame(1, TYPE.PAYLOAD, 0, abc[2])], whole],
	'the same, last with N|C': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo), abc[0]),
		frame(1, TYPE.PAYLOAD, N | F, abc[1]),
		frame(1, TYPE.PAYLOAD, N | C, abc[2])], whole],
	'first fragment without data': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo)),
		frame(1, TYPE.PAYLOAD, N, whole)], whole],
	'metadata over two fragments': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo.subarray(0, 5))),
		frame(1, TYPE.PAYLOAD, M | N | F, withMetadata(echo.subarray(5))),
		frame(1, TYPE.PAYLOAD, N, whole)], whole],
	'metadata over two fragments, data in the second': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo.subarray(0, 5))),
		frame(1, TYPE.PAYLOAD, M | N, withMetadata(echo.subarray(5)), whole)], whole],
	'empty last fragment': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo), whole),
		frame(1, TYPE.PAYLOAD, N)], whole],
	'two requests interleaved': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo), abc[0]),
		frame(3, TYPE.RR, M | F, withMetadata(echo), abc[2]),
		frame(1, TYPE.PAYLOAD, N | F, abc[1]),
		frame(3, TYPE.PAYLOAD, N, abc[2]),
		frame(1, TYPE.PAYLOAD, N, abc[2])], whole],
	'cancelled in the middle, then a whole request': [[
		frame(1, TYPE.RR, M | F, withMetadata(echo), abc[0]),
		frame(1, TYPE.CANCEL, 0),
		frame(3, TYPE.RR, M, withMetadata(echo), whole)], whole],
	'stream request in 2 fragments': [[
		frame(1, TYPE.STREAM, M | F, u32(5), withMetadata(routing('count'))),
		frame(1, TYPE.PAYLOAD, N, Buffer.from('1'))], Buffer.from('1')],
	'one frame of 16777215 bytes': [[
		frame(1, TYPE.RR, M, withMetadata(echo), Buffer.alloc(16777215 - 6 - 3 - echo.length, 0x61)),
	], Buffer.alloc(16777215 - 6 - 3 - echo.length, 0x61)],
};

// Each: the frames of a reply to request-response `id`.
const toRequester = {
	'reply in 3 fragments: N|F, N|F, N|C': (id) => [
		frame(id, TYPE.PAYLOAD, N | F, abc[0]), frame(id, TYPE.PAYLOAD, N | F, abc[1]),
		frame(id, TYPE.PAYLOAD, N | C, abc[2])],
	'the same, continuations without N, last C': (id) => [
		frame(id, TYPE.PAYLOAD, N | F, abc[0]), frame(id, TYPE.PAYLOAD, F, abc[1]),
		frame(id, TYPE.PAYLOAD, C, abc[2])],
	'the same, last N without C': (id) => [
		frame(id, TYPE.PAYLOAD, N | F, abc[0]), frame(id, TYPE.PAYLOAD, N | F, abc[1]),
		frame(id, TYPE.PAYLOAD, N, abc[2])],
	'the same, C on the first and last (F|C|N)': (id) => [
		frame(id, TYPE.PAYLOAD, N | F | C, abc[0]), frame(id, TYPE.PAYLOAD, N | F, abc[1]),
		frame(id, TYPE.PAYLOAD, N | C, abc[2])],
	'empty last fragment N|C': (id) => [
		frame(id, TYPE.PAYLOAD, N | F, whole), frame(id, TYPE.PAYLOAD, N | C)],
	'metadata in the first fragment': (id) => [
		frame(id, TYPE.PAYLOAD, M | N | F, withMetadata(Buffer.from('md')), abc[0]),
		frame(id, TYPE.PAYLOAD, N | C, abc[1], abc[2])],
	'whole reply N without C': (id) => [frame(id, TYPE.PAYLOAD, N, whole)],
};

function report(name, good) {
	console.log(`${good ? 'yes' : 'NO '}  ${name}`);
}

function askResponder(port, frames, expected) {
	return new Promise((resolve) => {
		const socket = net.connect(port, '127.0.0.1', () => {
			socket.write(SETUP);
			setTimeout(() => socket.write(Buffer.concat(frames)), 30);
		});
		const done = (good) => {
			clearTimeout(timer);
			socket.destroy();
			resolve(good);
		};
		const timer = setTimeout(done, WAIT_MS + (expected.length >> 9), false);
		reader(socket, (got) => {
			if (got.type === TYPE.ERROR)
				done(false);
			else if (got.type === TYPE.PAYLOAD && (got.flags & N) && got.data.equals(expected))
				done(true);
		});
		socket.on('close', () => done(false));
	});
}

async function askRequester(connect, reply) {
	const server = net.createServer((socket) => {
		reader(socket, (got) => {
			if (got.type === TYPE.RR)
				socket.write(Buffer.concat(reply(got.id)));
		});
	});
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	const client = await connect({ host: '127.0.0.1', port: server.address().port });
	const late = new Promise((resolve) => setTimeout(resolve, WAIT_MS, null));
	const call = client.requestResponse('echo', Buffer.from('x')).catch(() => null);
	const got = await Promise.race([call, late]);
	client.close();
	server.close();
	return got !== null && got.equals(whole);
}

async function main([generation]) {
	const { connect, serve } = require(`./js-${generation}/peer.js`);
	const port = 20000 + process.pid % 20000;
	const one = { next: () => Buffer.from('1'), last: () => false };
	await serve({ host: '127.0.0.1', port }, {
		requestResponse: async (route, data) => {
			if (route !== 'echo')
				throw new Error(`route ${route}`);
			return data;
		},
		requestStream: () => one,
		fireAndForget: () => {},
	});
	console.log(`rsocket-js ${generation} as responder understands`);
	for (const [name, [frames, expected]] of Object.entries(toResponder))
		report(name, await askResponder(port, frames, expected));
	console.log(`rsocket-js ${generation} as requester understands`);
	for (const [name, reply] of Object.entries(toRequester))
		report(name, await askRequester(connect, reply));
	process.exit(0);
}

main(process.argv.slice(2));
