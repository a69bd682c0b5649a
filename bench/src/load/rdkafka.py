"""librdkafka as its C API is used, through ctypes: the library that the wheel of confluent-kafka brings, without its Python.

  rdkafka.py ADDRESS TOPIC SECONDS RECORD_BYTES ACKS LINGER_MS

Sends records to partition 0 for so long, waits for the last delivery, and prints one JSON object: records, seconds, errors.
Only errors are reported back a record at a time, so that Python costs nothing per record.
"""
import ctypes
import glob
import json
import os
import sys
import time

import confluent_kafka

BATCH = 1000
IN_QUEUE_MAX = 400_000


class Message(ctypes.Structure):
    """rd_kafka_message_t."""

    _fields_ = [("err", ctypes.c_int), ("rkt", ctypes.c_void_p), ("partition", ctypes.c_int32), ("payload", ctypes.c_void_p),
                ("len", ctypes.c_size_t), ("key", ctypes.c_void_p), ("key_len", ctypes.c_size_t), ("offset", ctypes.c_int64),
                ("private", ctypes.c_void_p)]


def library():
    folder = os.path.join(os.path.dirname(os.path.dirname(confluent_kafka.__file__)), "confluent_kafka.libs")
    found = sorted(glob.glob(os.path.join(folder, "librdkafka*")))
    if not found:
        sys.exit(f"no librdkafka in {folder}")
    lib = ctypes.CDLL(found[0])
    for name in ["rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_topic_new"]:
        getattr(lib, name).restype = ctypes.c_void_p
    return lib


def main():
    address, topic, seconds, size, acks, linger = sys.argv[1:]
    size, seconds = int(size), float(seconds)
    lib = library()
    text = ctypes.create_string_buffer(512)
    errors = []
    report = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Message), ctypes.c_void_p)(
        lambda _client, message, _opaque: errors.append(message.contents.err))
    conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
    for key, value in {"bootstrap.servers": address, "acks": acks, "linger.ms": linger, "delivery.report.only.error": "true",
                       "queue.buffering.max.messages": "1000000", "message.timeout.ms": "30000"}.items():
        if lib.rd_kafka_conf_set(conf, key.encode(), value.encode(), text, len(text)) != 0:
            sys.exit(text.value.decode())
    lib.rd_kafka_conf_set_dr_msg_cb(conf, report)
    client = ctypes.c_void_p(lib.rd_kafka_new(0, conf, text, ctypes.c_size_t(len(text))))
    if not client:
        sys.exit(text.value.decode())
    handle = ctypes.c_void_p(lib.rd_kafka_topic_new(client, topic.encode(), None))
    payload = ctypes.create_string_buffer(os.urandom(size), size)
    messages = (Message * BATCH)()
    for message in messages:
        message.payload, message.len = ctypes.addressof(payload), size
    sent, started = 0, time.monotonic()
    while time.monotonic() - started < seconds:
        if lib.rd_kafka_outq_len(client) > IN_QUEUE_MAX:
            lib.rd_kafka_poll(client, 1)
            continue
        taken = lib.rd_kafka_produce_batch(handle, 0, 0, messages, BATCH)
        if taken != BATCH:
            sys.exit(f"librdkafka took {taken} of {BATCH}")
        sent += BATCH
    late = lib.rd_kafka_flush(client, 30_000)
    took = time.monotonic() - started
    left = lib.rd_kafka_outq_len(client)
    if late != 0 or left != 0:
        sys.exit(f"{left} records not delivered")
    print(json.dumps({"records": sent, "seconds": took, "errors": len(errors)}))


main()
