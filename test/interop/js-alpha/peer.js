// SPDX-License-Identifier: Apache-2.0
// rsocket-js 1.0.0-alpha.3 behind the small interface that client.js and server.js use:
// connect() -> {requestResponse, fireAndForget, requestStream, close}, serve() -> {close}.
'use strict';

const {
	WellKnownMimeType, decodeCompositeMetadata, decodeRoutes, encodeCompositeMetadata, encodeRoute,
} = require('rsocket-composite-metadata');
const { RSocketConnector, RSocketError, RSocketServer } = require('rsocket-core');
const { TcpClientTransport } = require('rsocket-tcp-client');
const { TcpServerTransport } = require('rsocket-tcp-server');

const ROUTING = WellKnownMimeType.MESSAGE_RSOCKET_ROUTING;
const COMPOSITE = WellKnownMimeType.MESSAGE_RSOCKET_COMPOSITE_METADATA;

function withRoute(route, data) {
	return { data, metadata: encodeCompositeMetadata([[ROUTING, encodeRoute(route)]]) };
}

function routeOf(payload) {
	for (const entry of decodeCompositeMetadata(payload.metadata)) {
		if (entry.mimeType === ROUTING.string)
			return decodeRoutes(entry.content).next().value;
	}
	return '';
}

function told(error) {
	error.text = error.message;
	return error;
}

class Client {
	constructor(rsocket) {
		this.rsocket = rsocket;
	}

	requestResponse(route, data) {
		return new Promise((resolve, reject) => {
			this.rsocket.requestResponse(withRoute(route, data), {
				onNext: (payload) => resolve(payload.data || Buffer.alloc(0)),
				onComplete: () => resolve(Buffer.alloc(0)),
				onError: (error) => reject(told(error)),
				onExtension: () => {},
			});
		});
	}

	fireAndForget(route, data) {
		return new Promise((resolve, reject) => {
			this.rsocket.fireAndForget(withRoute(route, data), {
				onComplete: resolve,
				onError: reject,
			});
			resolve();
		});
	}

	// Returns {request(n), cancel()}; the first n items are asked for at once.
	requestStream(route, data, n, { onNext, onComplete, onError }) {
		return this.rsocket.requestStream(withRoute(route, data), n, {
			onNext: (payload, complete) => {
				onNext(payload.data);
				if (complete)
					onComplete();
			},
			onComplete,
			onError: (error) => onError(told(error)),
			onExtension: () => {},
		});
	}

	close() {
		this.rsocket.close();
	}
}

async function connect({ host, port, fragmentBytes = 0, mime = COMPOSITE.string }) {
	const connector = new RSocketConnector({
		setup: {
			keepAlive: 5000,
			lifetime: 60000,
			dataMimeType: 'application/octet-stream',
			metadataMimeType: mime,
		},
		fragmentation: { maxOutboundFragmentSize: fragmentBytes },
		transport: new TcpClientTransport({ connectionOptions: { host, port } }),
	});
	return new Client(await connector.connect());
}

// functions: {fireAndForget(route, data), requestResponse(route, data) -> Promise<Buffer>,
// requestStream(route, data) -> {next() -> Buffer, last() -> was it the last}}
function serve({ host, port }, functions) {
	const nothing = { cancel: () => {}, onExtension: () => {} };
	// The library sends the code of an RSocketError only if `instanceof` says that it is one, which its
	// own constructor, compiled to ES5, does not achieve.
	const fail = (stream, error) => {
		if (error.code)
			Object.setPrototypeOf(error, RSocketError.prototype);
		stream.onError(error);
	};
	const responder = {
		fireAndForget: (payload) => {
			functions.fireAndForget(routeOf(payload), payload.data);
			return nothing;
		},
		requestResponse: (payload, stream) => {
			functions.requestResponse(routeOf(payload), payload.data || Buffer.alloc(0))
				.then((data) => stream.onNext({ data }, true), (e) => fail(stream, e));
			return nothing;
		},
		requestStream: (payload, n, stream) => {
			const items = functions.requestStream(routeOf(payload), payload.data);
			let ended = false;
			const request = (more) => {
				while (more-- > 0 && !ended && !items.last())
					stream.onNext({ data: items.next() }, false);
				if (!ended && items.last()) {
					ended = true;
					stream.onComplete();
				}
			};
			setImmediate(request, n);
			return { request, cancel: () => { ended = true; }, onExtension: () => {} };
		},
	};
	const server = new RSocketServer({
		acceptor: { accept: async () => responder },
		transport: new TcpServerTransport({ listenOptions: { host, port } }),
	});
	return server.bind();
}

module.exports = { connect, serve };
