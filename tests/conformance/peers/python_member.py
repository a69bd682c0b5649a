"""A member of a consumer group, by a Python client: confluent-kafka (librdkafka) or kafka-python (pure Python).

  python_member.py confluent|pure ADDRESS GROUP TOPIC [KEY=VALUE]..

It says in lines what it does, in the order in which it does it, and ends at SIGTERM after it has said goodbye to its group:

  assigned P | read P FROM TO | committed P OFFSET | refused WHY | revoked P | lost P | end

With seek=MS it begins at that time. FROM is the first offset of what a poll gave, TO the one after the last. It commits after each poll, synchronously.
"""
import signal
import sys

stopping = False


def stop(*_):
    global stopping
    stopping = True


def say(*words):
    print(*words, flush=True)


def ranges(records):
    """Records by partition as (partition, first, end); a gap is a bug."""
    read = {}
    for partition, offset in records:
        first, end = read.get(partition, (offset, offset))
        if offset != end:
            sys.exit(f"partition {partition}: {offset} after {end - 1}")
        read[partition] = (first, offset + 1)
    return read


def confluent(address, group, topic, seek, options):
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
                         "fetch.wait.max.ms": 50, "fetch.error.backoff.ms": 20, **options})

    # What was read and not committed: a commit that is refused in a rebalance is repeated for the partitions that stay.
    uncommitted = {}

    def tell(word):
        def told(_, partitions):
            for one in partitions:
                uncommitted.pop(one.partition, None)
                say(word, one.partition)
        return told

    def assigned(_, partitions):
        tell("assigned")(_, partitions)
        if seek is not None:
            asked = [TopicPartition(topic, one.partition, seek) for one in partitions]
            found = consumer.offsets_for_times(asked, timeout=30)
            (consumer.incremental_assign if options.get("group.protocol") == "consumer" else consumer.assign)(found)

    consumer.subscribe([topic], on_assign=assigned, on_revoke=tell("revoked"), on_lost=tell("lost"))
    while not stopping:
        polled = consumer.consume(500, 0.05)
        records = [(one.partition(), one.offset()) for one in polled if not one.error()]
        for problem in [one.error() for one in polled if one.error()]:
            if not problem.retriable():
                say("refused", problem)
        read = ranges(records)
        for partition, (first, end) in read.items():
            say("read", partition, first, end)
            uncommitted[partition] = end
        if not uncommitted:
            continue
        try:
            done = consumer.commit(offsets=[TopicPartition(topic, *one) for one in uncommitted.items()], asynchronous=False)
        except KafkaException as problem:
            say("refused", problem)
            continue
        for one in done:
            if one.error:
                say("refused", one.error)
            else:
                say("committed", one.partition, one.offset)
                uncommitted.pop(one.partition, None)
    consumer.close()


def pure(address, group, topic, seek, options):
    from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
    from kafka.errors import KafkaError

    uncommitted = {}
    # The client takes no questions in its callbacks.
    to_seek = []

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            for one in assigned:
                say("assigned", one.partition)
            if seek is not None:
                to_seek.extend(assigned)

        def on_partitions_revoked(self, revoked):
            for one in revoked:
                uncommitted.pop(one.partition, None)
                say("revoked", one.partition)

    consumer = None
    while consumer is None:
        try:
            consumer = KafkaConsumer(bootstrap_servers=address, group_id=group, enable_auto_commit=False,
                                     auto_offset_reset="earliest", reconnect_backoff_ms=20, reconnect_backoff_max_ms=200,
                                     fetch_max_wait_ms=50, **options)
        except KafkaError as problem:
            say("refused", problem)
    consumer.subscribe([topic], listener=Listener())
    while not stopping:
        try:
            polled = consumer.poll(timeout_ms=50)
        except KafkaError as problem:
            # Of a broker that is away for a moment: the client says so and leaves it to its user to go on.
            say("refused", problem)
            continue
        if to_seek:
            for one, found in consumer.offsets_for_times({one: seek for one in to_seek}).items():
                consumer.seek(one, found.offset)
            to_seek.clear()
            continue
        read = ranges((where.partition, one.offset) for where, some in polled.items() for one in some)
        for partition, (first, end) in read.items():
            say("read", partition, first, end)
            uncommitted[partition] = end
        if not uncommitted:
            continue
        offsets = {TopicPartition(topic, p): OffsetAndMetadata(end, "", -1) for p, end in uncommitted.items()}
        try:
            consumer.commit(offsets)
        except KafkaError as problem:
            say("refused", problem)
            continue
        for partition, end in uncommitted.items():
            say("committed", partition, end)
        uncommitted.clear()
    consumer.close()


def main():
    client, address, group, topic, *options = sys.argv[1:]
    signal.signal(signal.SIGTERM, stop)
    settings = dict(one.split("=", 1) for one in options)
    numbers = {key: int(value) if value.isdigit() else value for key, value in settings.items()}
    {"confluent": confluent, "pure": pure}[client](address, group, topic, numbers.pop("seek", None), numbers)
    say("end")


main()
