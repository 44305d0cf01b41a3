# SPDX-License-Identifier: Apache-2.0
# Instances that misbehave, for fnhost_hostile.sh: rogue.py MODE. Speaks just enough RSocket to be taken for a function.
import os, random, signal, socket, struct, sys, time

mode = sys.argv[1]
SETUP, KEEPALIVE, CALL, FNF, STREAM, PAYLOAD, ERROR, PUSH = 1, 3, 4, 5, 6, 10, 11, 12
NEXT, COMPLETE, METADATA = 0x20, 0x40, 0x100


def frame(stream, kind, flags, body):
    data = struct.pack(">IH", stream, kind << 10 | flags) + body
    return len(data).to_bytes(3, "big") + data


def garbage(n):
    return random.Random(n).randbytes(n)


# What follows a request, by mode. Each is legal nowhere, or too much of what is.
def answer(stream, kind):
    reply = frame(stream, PAYLOAD, NEXT | COMPLETE, b"rogue")
    return {
        "good": reply,
        "twice": reply + reply + frame(stream, ERROR, 0, struct.pack(">I", 0x301) + b"late"),
        "strange": frame(stream + 1000, PAYLOAD, NEXT | COMPLETE, b"x") + frame(2, PAYLOAD, NEXT, b"y") + reply,
        "items": frame(stream, PAYLOAD, NEXT, b"item") * 50,
        "code": frame(stream, ERROR, 0, struct.pack(">I", 0xffffffff) + b"\xff\xfe\x00"),
        "zero": frame(0, ERROR, 0, struct.pack(">I", 0x101) + b"bye"),
        "garbage": garbage(4096),
        "half": frame(stream, PAYLOAD, NEXT | COMPLETE, b"x" * 100)[:20],
        "flood": frame(stream, PAYLOAD, NEXT, b"x" * 60000) * 200,
        "silent": b"",
    }.get(mode, reply)


def serve(conn):
    buffer = b""
    while True:
        data = conn.recv(65536)
        if not data:
            return
        buffer += data
        while len(buffer) >= 3 and len(buffer) >= 3 + int.from_bytes(buffer[:3], "big"):
            size = int.from_bytes(buffer[:3], "big")
            body, buffer = buffer[3:3 + size], buffer[3 + size:]
            stream, kind_flags = struct.unpack(">IH", body[:6])
            kind = kind_flags >> 10
            if kind == KEEPALIVE and kind_flags & 0x80:
                conn.sendall(frame(0, KEEPALIVE, 0, body[6:14]))
            elif kind == PUSH:
                conn.sendall(frame(0, PUSH, METADATA, b"\x01" + body[7:11] + struct.pack(">I", 0)))
                if mode == "flap":
                    conn.sendall(b"\0\0\1\0")  # a frame without a header
            elif kind in (CALL, STREAM):
                conn.sendall(answer(stream, kind))


def main():
    if mode == "loud":
        for _ in range(3000):
            os.write(1, b"l" * 16383 + b"\n")
    if mode in ("stubborn", "forks"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "forks":
        for _ in range(20):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    signal.signal(signal.SIGHUP, signal.SIG_IGN)
                    time.sleep(600)
                os._exit(0)
    path = os.environ["PENSTOCK_SOCKET"]
    if mode != "deaf":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path + ".new")
        listener.listen(8)
        os.rename(path + ".new", path)
    while True:
        if mode == "deaf":  # never listens
            time.sleep(60)
            continue
        conn = listener.accept()[0]
        try:
            if mode == "blind":  # never reads
                time.sleep(600)
            elif mode == "noise":
                while True:
                    conn.sendall(garbage(65536))
            elif mode == "closes":  # its socket, but lives
                os.unlink(path)
                listener.close()
                conn.close()
                time.sleep(600)
            else:
                serve(conn)
        except OSError:
            pass
        conn.close()


main()
