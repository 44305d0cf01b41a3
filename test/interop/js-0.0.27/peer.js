// SPDX-License-Identifier: Apache-2.0
// rsocket-js 0.0.27 behind the small interface that client.js and server.js use:
// connect() -> {requestResponse, fireAndForget, requestStream, close}, serve() -> {close}.
'use strict';

const {
	BufferEncoders, MESSAGE_RSOCKET_COMPOSITE_METADATA, MESSAGE_RSOCKET_ROUTING, RSocketClient,
	RSocketServer, decodeCompositeMetadata, decodeRoutes, encodeCompositeMetadata, encodeRoute,
} = require('rsocket-core');
const { Flowable, Single } = require('rsocket-flowable');
const RSocketTcpClient = require('rsocket-tcp-client').default;
const RSocketTcpServer = require('rsocket-tcp-server').default;

function withRoute(route, data) {
	return {
		data,
		metadata: encodeCompositeMetadata([
			[MESSAGE_RSOCKET_ROUTING, encodeRoute(route)],
		]),
	};
}

function routeOf(payload) {
	for (const entry of decodeCompositeMetadata(payload.metadata)) {
		if (entry.mimeType === MESSAGE_RSOCKET_ROUTING.string)
			return decodeRoutes(entry.content).next().value;
	}
	return '';
}

// This generation gives the code only inside an object it hangs on the error.
function told(error) {
	error.code = error.source ? error.source.code : undefined;
	error.text = error.source ? error.source.message : error.message;
	return error;
}

class Client {
	constructor(socket, client) {
		this.socket = socket;
		this.client = client;
	}

	requestResponse(route, data) {
		return new Promise((resolve, reject) => {
			this.socket.requestResponse(withRoute(route, data)).subscribe({
				onComplete: (payload) => resolve(payload.data || Buffer.alloc(0)),
				onError: (error) => reject(told(error)),
				onSubscribe: () => {},
			});
		});
	}

	fireAndForget(route, data) {
		this.socket.fireAndForget(withRoute(route, data));
		return Promise.resolve();
	}

	// Returns {request(n), cancel()}; the first n items are asked for at once.
	requestStream(route, data, n, { onNext, onComplete, onError }) {
		let subscription;
		this.socket.requestStream(withRoute(route, data)).subscribe({
			onNext: (payload) => onNext(payload.data),
			onComplete,
			onError: (error) => onError(told(error)),
			onSubscribe: (given) => {
				subscription = given;
				subscription.request(n);
			},
		});
		return subscription;
	}

	close() {
		this.client.close();
	}
}

function connect({ host, port, mime = MESSAGE_RSOCKET_COMPOSITE_METADATA.string }) {
	const client = new RSocketClient({
		setup: {
			keepAlive: 5000,
			lifetime: 60000,
			dataMimeType: 'application/octet-stream',
			metadataMimeType: mime,
		},
		transport: new RSocketTcpClient({ host, port }, BufferEncoders),
	});
	return new Promise((resolve, reject) => {
		client.connect().subscribe({
			onComplete: (socket) => resolve(new Client(socket, client)),
			onError: reject,
			onSubscribe: () => {},
		});
	});
}

// functions: {fireAndForget(route, data), requestResponse(route, data) -> Promise<Buffer>,
// requestStream(route, data) -> {next() -> Buffer, last() -> was it the last}}
function serve({ host, port }, functions) {
	const responder = {
		fireAndForget: (payload) => functions.fireAndForget(routeOf(payload), payload.data),
		requestResponse: (payload) => new Single((subscriber) => {
			subscriber.onSubscribe();
			functions.requestResponse(routeOf(payload), payload.data || Buffer.alloc(0))
				.then((data) => subscriber.onComplete({ data }), (e) => subscriber.onError(e));
		}),
		requestStream: (payload) => new Flowable((subscriber) => {
			const items = functions.requestStream(routeOf(payload), payload.data);
			let ended = false;
			subscriber.onSubscribe({
				cancel: () => { ended = true; },
				request: (n) => {
					while (n-- > 0 && !ended && !items.last())
						subscriber.onNext({ data: items.next() });
					if (!ended && items.last()) {
						ended = true;
						subscriber.onComplete();
					}
				},
			});
		}),
	};
	const server = new RSocketServer({
		getRequestHandler: () => responder,
		transport: new RSocketTcpServer({ host, port }, BufferEncoders),
	});
	server.start();
	return Promise.resolve({ close: () => server.stop() });
}

module.exports = { connect, serve };
