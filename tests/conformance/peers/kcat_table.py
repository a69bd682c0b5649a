"""kcat as a peer of the table of scenarios (see the README of tests/conformance).

  kcat_table.py ADDRESS

kcat is a command line over librdkafka: it sends, reads, and looks up offsets by time. Topics are made for it by a request of our own. A record's
time it cannot set: rows whose lines show times that were set are beyond it, and say so.
"""
import re
import socket
import struct
import subprocess
import sys

from python_table import Peer, Refused, record_line, serve

DEADLINE = 40
# What ends a message and a key on kcat's stdin: nothing in the table holds them.
END, KEY_END = "\x1e", "\x1f"
# In librdkafka's words, and in the protocol's.
NAMES = {
    "Message size too large": "MESSAGE_TOO_LARGE",
    "Broker failed to validate record": "INVALID_RECORD",
    "Offset out of range": "OFFSET_OUT_OF_RANGE",
    "Unknown topic or partition": "UNKNOWN_TOPIC_OR_PARTITION",
    "Invalid CRC": "CORRUPT_MESSAGE",
    "Bad message format": "CORRUPT_MESSAGE",
}
CODES = {17: "INVALID_TOPIC_EXCEPTION", 36: "TOPIC_ALREADY_EXISTS", 37: "INVALID_PARTITIONS", 40: "INVALID_CONFIG"}


def string(text):
    return struct.pack(">h", len(text.encode())) + text.encode()


class Kcat(Peer):
    def kcat(self, *words, payload=b""):
        settings = ["-X", "topic.metadata.refresh.fast.interval.ms=50", "-X", "message.timeout.ms=30000"]
        ran = subprocess.run(["kcat", "-b", self.address, *settings, *words], input=payload, capture_output=True, timeout=DEADLINE)
        told = ran.stderr.decode(errors="replace")
        for words, name in NAMES.items():
            if words in told:
                raise Refused(name)
        if ran.returncode:
            raise RuntimeError(f"kcat ended with {ran.returncode}: {told}")
        return ran.stdout, told

    def named(self, problem):
        return str(problem) if isinstance(problem, Refused) else None

    def create(self, name, partitions, replicas, configs):
        """CreateTopics 2, by hand."""
        body = struct.pack(">i", 1) + string(name) + struct.pack(">ihi", partitions, replicas, 0) + struct.pack(">i", len(configs))
        body += b"".join(string(key) + string(value) for key, value in configs.items()) + struct.pack(">ib", 30_000, 0)
        frame = struct.pack(">hhi", 19, 2, 1) + string("kcat-table") + body
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), DEADLINE) as stream:
            stream.sendall(struct.pack(">i", len(frame)) + frame)
            answer = stream.makefile("rb")
            (size,) = struct.unpack(">i", answer.read(4))
            answer = answer.read(size)
        # Correlation id, throttle time, count, name.
        (code,) = struct.unpack_from(">h", answer, 12 + 2 + len(name.encode()))
        if code:
            raise Refused(CODES.get(code, str(code)))

    def topics(self):
        out, _ = self.kcat("-L")
        return re.findall(r'^  topic "([^"]*)"', out.decode(), re.M)

    def producer(self, options):
        acks = options.get("acks", "all")
        idempotent = options.get("idempotent", "true" if acks == "all" else "false")
        return ["-z", options.get("codec", "none"), "-X", f"acks={acks}", "-X", f"enable.idempotence={idempotent}", "-X", "partitioner=murmur2_random",
                "-X", "message.max.bytes=8000000"]

    def send(self, producer, topic, record):
        words = ["-P", "-vv", "-t", topic, "-D", END, *producer]
        if record["partition"] is not None:
            words += ["-p", str(record["partition"])]
        for name, value in record["headers"]:
            words += ["-H", f"{name}={value.decode()}"]
        payload = record["value"]
        words += ["-Z"] if payload is None else []
        payload = payload or b""
        if record["key"] is not None:
            words += ["-K", KEY_END]
            payload = record["key"] + KEY_END.encode() + payload
        _, told = self.kcat(*words, payload=payload + END.encode())
        found = re.search(r"delivered to partition (\d+) \(offset (-?\d+)\)", told)
        if not found:
            raise RuntimeError(f"kcat does not tell of a delivery: {told}")
        return found[1], found[2]

    def bounds(self, topic, partition):
        return tuple(self.offset_at(topic, partition, time) for time in (-2, -1))

    def offset_at(self, topic, partition, time):
        out, _ = self.kcat("-Q", "-t", f"{topic}:{partition}:{time}")
        return int(re.search(r"offset (-?\d+)", out.decode())[1])

    def do_at(self, topic, partition, time):
        offset = self.offset_at(topic, partition, time)
        self.say_at(partition, offset)

    def records(self, topic, partition, first, end):
        form = "%p %o %T %K %S %h\\n%k%s\\n"
        words = ["-C", "-q", "-e", "-u", "-t", topic, "-p", str(partition), "-o", str(first), "-c", str(end - first), "-f", form]
        out, _ = self.kcat(*words, "-X", "check.crcs=true", "-X", "auto.offset.reset=error", "-X", "fetch.wait.max.ms=50")
        found = []
        while out:
            head, out = out.split(b"\n", 1)
            of, offset, time, key_len, value_len, headers = head.decode().split(" ", 5)
            sizes = [max(int(size), 0) for size in (key_len, value_len)]
            key, value, out = out[: sizes[0]], out[sizes[0] : sum(sizes)], out[sum(sizes) + 1 :]
            headers = [tuple(header.split("=", 1)) for header in headers.split(",") if header]
            key, value = (None if int(size) < 0 else bytes_ for size, bytes_ in ((key_len, key), (value_len, value)))
            found.append(record_line(of, offset, key, value, time, [(name, one.encode()) for name, one in headers]))
        return found


serve(Kcat(sys.argv[1], {}))
