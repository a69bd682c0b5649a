"""Python clients as peers of the table of scenarios: commands in, canonical lines out (see the README of tests/conformance).

  python_table.py confluent|pure ADDRESS [partitioner=NAME]

`confluent` is confluent-kafka (librdkafka), `pure` is kafka-python. A partitioner that is not Java's is for the tests of the rig.
"""
import hashlib
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, unquote_to_bytes

DEADLINE = 40
FIRST_TIME = 1_700_000_000_000
lines = []


def say(*words):
    lines.append(" ".join(str(word) for word in words))


class Refused(Exception):
    """A broker's refusal by its name in the protocol."""


def unshown(word):
    """`~` is null, `*N` is N times x."""
    if word == "~":
        return None
    if word.startswith("*"):
        return b"x" * int(word[1:])
    return unquote_to_bytes(word)


def shown(value):
    if value is None:
        return "~"
    if len(value) > 64:
        return f"*{len(value)}:{hashlib.sha256(value).hexdigest()[:8]}"
    return "".join(chr(b) if b < 128 and (chr(b).isalnum() or chr(b) in "._-") else f"%{b:02X}" for b in value)


def record_line(partition, offset, key, value, timestamp, headers):
    shown_headers = ",".join(f"{shown(name.encode())}:{shown(header)}" for name, header in headers or [])
    return f"record {partition} {offset} key={shown(key)} value={shown(value)} ts={timestamp} headers={shown_headers}"


def parsed(word):
    record = {"partition": None, "ts": None, "key": None, "value": None, "headers": []}
    for piece in word.split(";"):
        name, value = piece.split("=", 1)
        if name in ("partition", "ts"):
            record[name] = int(value)
        elif name == "header":
            header, value = value.split(":", 1)
            record["headers"].append((unquote(header), unshown(value)))
        else:
            record[name] = unshown(value)
    return record


def options_of(words):
    return dict(word.split("=", 1) for word in words if "=" in word and ";" not in word)


def until(what, done):
    deadline = time.monotonic() + DEADLINE
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {what} in time")


class Peer:
    """What both clients have in common: the commands in terms of a few steps that each client does in its own way."""

    def __init__(self, address, settings):
        self.address = address
        self.settings = settings
        self.members = {}
        self.producers = {}

    def answer(self, command, words):
        known = getattr(self, "do_" + command.replace("-", "_"), None)
        if known is None:
            say("unsupported")
        else:
            known(*words)

    def do_create(self, name, partitions, *further):
        configs = dict(word.split("=", 1) for word in further)
        replicas = int(configs.pop("replicas", 1))
        self.create(unquote(name), int(partitions), replicas, configs)
        say("created")

    def do_list(self, prefix):
        for name in sorted(name for name in self.topics() if name.startswith(prefix)):
            say("topic", name)

    def do_digest(self, topic, partitions):
        for partition in range(int(partitions)):
            first, end = self.bounds(topic, partition)
            found = self.records(topic, partition, first, end) if end > first else []
            text = "".join(line + "\n" for line in found).encode()
            say("digest", partition, len(found), hashlib.sha256(text).hexdigest()[:16])

    def do_read(self, topic, partition, first, end):
        for line in self.records(topic, int(partition), int(first), int(end)):
            say(line)

    def do_offsets(self, topic, partition):
        say("offsets", partition, *self.bounds(topic, int(partition)))

    def do_send(self, topic, *words):
        options = options_of(words)
        producer = self.producer(options)
        for word in words:
            if ";" in word:
                partition, offset = self.send(producer, topic, parsed(word))
                say("sent", partition, "unknown" if options.get("acks") == "0" else offset)

    def do_fill(self, topic, count, size, *words):
        producer = self.producer(options_of(words))
        made = []
        for i in range(int(count)):
            value = f"value-{i}-"
            value += "x" * max(0, int(size) - len(value))
            made.append((f"key-{i % 23}".encode(), value.encode(), FIRST_TIME + i * 1000))
        self.fill(producer, topic, made)
        say("filled", count)

    def say_at(self, partition, offset):
        say("at", partition, "none" if offset < 0 else offset)

    def do_shares(self, names, wanted):
        want = sorted(int(word) for word in wanted.split(","))
        last = []

        def done():
            have, distinct = [], set()
            self.poll_all([self.members[name] for name in names.split(",")])
            for name in names.split(","):
                assigned = self.assigned(self.members[name])
                have.append(len(assigned))
                distinct.update(assigned)
            last[:] = [sorted(have), len(distinct)]
            return sorted(have) == want and len(distinct) == sum(want)

        try:
            until("shares", done)
        except RuntimeError as late:
            raise RuntimeError(f"{late}: {last}")
        say("shares", wanted)

    def poll_all(self, members):
        for member in members:
            self.poll(member, 0.02)

    def do_take(self, names, count):
        taken = []

        def done():
            for name in names.split(","):
                member = self.members[name]
                if not member.buffer and len(taken) < int(count):
                    self.poll(member, 0.05)
                while member.buffer and len(taken) < int(count):
                    taken.append(member.buffer.pop(0)[1])
            return len(taken) == int(count)

        until(f"{count} records", done)
        for line in sorted(taken):
            say(line)

    def do_idle(self, name):
        member = self.members[name]
        for _ in range(5):
            if not member.buffer:
                self.poll(member, 0.04)
        say(*(["something:", member.buffer[0][1]] if member.buffer else ["nothing"]))

    def do_commit(self, names):
        for name in names.split(","):
            self.commit(self.members[name])
        say("committed")

    def do_leave(self, name):
        self.members.pop(name).consumer.close()
        say("left")

    def do_committed(self, group, topic, partitions):
        found = self.committed(group, topic, int(partitions))
        for partition in range(int(partitions)):
            say("committed", partition, found.get(partition, "none"))


class Member:
    """A consumer with its records that were polled and not yet taken, as (partition, line)."""

    def __init__(self, consumer, topic):
        self.consumer = consumer
        self.topic = topic
        self.buffer = []


class Confluent(Peer):
    def __init__(self, address, settings):
        super().__init__(address, settings)
        from confluent_kafka import admin
        import confluent_kafka

        self.ck = confluent_kafka
        self.admin_module = admin
        self.admin = admin.AdminClient({"bootstrap.servers": address})

    def named(self, problem):
        error = problem.args[0] if problem.args and isinstance(problem.args[0], self.ck.KafkaError) else None
        if error is None:
            return None
        if error.code() == self.ck.KafkaError._AUTO_OFFSET_RESET:
            return "OFFSET_OUT_OF_RANGE"
        # The client's own words for what the broker has a name for.
        own = {self.ck.KafkaError._BAD_MSG: "CORRUPT_MESSAGE", self.ck.KafkaError.MSG_SIZE_TOO_LARGE: "MESSAGE_TOO_LARGE",
               self.ck.KafkaError.UNKNOWN_TOPIC_OR_PART: "UNKNOWN_TOPIC_OR_PARTITION",
               self.ck.KafkaError._UNKNOWN_PARTITION: "UNKNOWN_TOPIC_OR_PARTITION",
               self.ck.KafkaError.TOPIC_EXCEPTION: "INVALID_TOPIC_EXCEPTION"}
        return own.get(error.code(), error.name())

    def one(self, futures):
        for future in futures.values():
            return future.result(DEADLINE)

    def create(self, name, partitions, replicas, configs):
        self.one(self.admin.create_topics([self.admin_module.NewTopic(name, partitions, replicas, config=configs)]))

    def do_grow(self, name, count):
        self.one(self.admin.create_partitions([self.admin_module.NewPartitions(name, int(count))]))
        say("grown")

    def do_describe(self, name):
        found = self.one(self.admin.describe_topics(self.ck.TopicCollection([name])))
        for one in found.partitions:
            say("partition", one.id, f"leader={one.leader.id} replicas={len(one.replicas)} isr={len(one.isr)}")

    def do_delete(self, name):
        self.one(self.admin.delete_topics([name]))
        say("deleted")

    def topics(self):
        return self.admin.list_topics(timeout=DEADLINE).topics

    def do_configs(self, name, *wanted):
        resource = self.admin_module.ConfigResource(self.admin_module.ConfigResource.Type.TOPIC, name)
        found = self.one(self.admin.describe_configs([resource]))
        for config in wanted:
            source = "topic" if found[config].source == self.admin_module.ConfigSource.DYNAMIC_TOPIC_CONFIG.value else "default"
            say("config", f"{config}={found[config].value}", source)

    def do_alter(self, name, *changes):
        entries = []
        for change in changes:
            config, value = change.split("=", 1)
            operation = self.admin_module.AlterConfigOpType.SET if value else self.admin_module.AlterConfigOpType.DELETE
            entries.append(self.admin_module.ConfigEntry(config, value or None, incremental_operation=operation))
        resource = self.admin_module.ConfigResource(self.admin_module.ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        self.one(self.admin.incremental_alter_configs([resource]))
        say("altered")

    def do_cut(self, topic, partition, offset):
        deleted = self.one(self.admin.delete_records([self.ck.TopicPartition(topic, int(partition), int(offset))]))
        say("low", partition, deleted.low_watermark)

    def producer(self, options):
        acks, codec = options.get("acks", "all"), options.get("codec", "none")
        idempotent = options.get("idempotent", "true" if acks == "all" else "false")
        name = (acks, codec, idempotent)
        if name not in self.producers:
            self.producers[name] = self.ck.Producer({
                "bootstrap.servers": self.address, "acks": acks, "compression.type": codec, "enable.idempotence": idempotent,
                "partitioner": self.settings.get("partitioner", "murmur2_random"), "linger.ms": 5, "message.max.bytes": 8_000_000,
                "message.timeout.ms": 30_000})
        return self.producers[name]

    def deliver(self, producer, topic, records):
        done = []
        for key, value, ts, partition, headers in records:
            further = {name: one for name, one in [("timestamp", ts), ("partition", partition), ("headers", headers or None)] if one is not None}
            producer.produce(topic, value, key, on_delivery=lambda error, message: done.append((error, message)), **further)
            producer.poll(0)
        if producer.flush(DEADLINE):
            raise RuntimeError("not everything was sent in time")
        for error, _ in done:
            if error is not None:
                raise self.ck.KafkaException(error)
        return done

    def send(self, producer, topic, record):
        one = (record["key"], record["value"], record["ts"], record["partition"], record["headers"])
        _, message = self.deliver(producer, topic, [one])[0]
        return message.partition(), message.offset()

    def fill(self, producer, topic, made):
        self.deliver(producer, topic, [(key, value, ts, None, None) for key, value, ts in made])

    def consumer(self, further):
        return self.ck.Consumer({"bootstrap.servers": self.address, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True,
                                 "auto.offset.reset": "error", "fetch.wait.max.ms": 50, "topic.metadata.refresh.fast.interval.ms": 50,
                                 **further})

    def bounds(self, topic, partition):
        of = self.ck.TopicPartition(topic, partition)
        spec = self.admin_module.OffsetSpec
        return (self.one(self.admin.list_offsets({of: spec.earliest()})).offset, self.one(self.admin.list_offsets({of: spec.latest()})).offset)

    def line(self, record):
        return record_line(record.partition(), record.offset(), record.key(), record.value(), record.timestamp()[1], record.headers())

    def records(self, topic, partition, first, end):
        consumer = self.consumer({})
        found = []
        at = [first]

        def done():
            record = consumer.poll(0.2)
            if record is not None and record.error():
                raise self.ck.KafkaException(record.error())
            if record is not None:
                at[0] = record.offset() + 1
                if record.offset() < end:
                    found.append(self.line(record))
            return at[0] >= end

        try:
            consumer.assign([self.ck.TopicPartition(topic, partition, first)])
            until(f"records up to {end}", done)
        finally:
            consumer.close()
        return found

    def do_at(self, topic, partition, ts):
        consumer = self.consumer({})
        found = consumer.offsets_for_times([self.ck.TopicPartition(topic, int(partition), int(ts))], timeout=DEADLINE)[0]
        consumer.close()
        self.say_at(partition, found.offset)

    def do_open(self, name, topic, partitions):
        consumer = self.consumer({})
        consumer.assign([self.ck.TopicPartition(topic, int(word), self.ck.OFFSET_BEGINNING) for word in partitions.split(",")])
        self.members[name] = Member(consumer, topic)
        say("opened")

    def do_join(self, name, group, topic, *words):
        options = options_of(words)
        config = {"group.id": group, "auto.offset.reset": "earliest"}
        if options.get("protocol") == "consumer":
            config["group.protocol"] = "consumer"
        else:
            assignor = {"cooperative": "cooperative-sticky"}.get(options.get("assignor"), options.get("assignor", "range"))
            config |= {"heartbeat.interval.ms": 100, "session.timeout.ms": 10_000, "partition.assignment.strategy": assignor}
        consumer = self.consumer(config)
        consumer.subscribe([topic])
        self.members[name] = Member(consumer, topic)
        say("joined")

    def assigned(self, member):
        return {one.partition for one in member.consumer.assignment()}

    def poll(self, member, seconds):
        record = member.consumer.poll(seconds)
        if record is not None and record.error():
            if not record.error().retriable():
                raise self.ck.KafkaException(record.error())
        elif record is not None:
            member.buffer.append((record.partition(), self.line(record)))
        member.buffer = [one for one in member.buffer if one[0] in self.assigned(member)]

    def do_pause(self, name, partition):
        self.members[name].consumer.pause([self.ck.TopicPartition(self.members[name].topic, int(partition))])
        say("paused")

    def do_resume(self, name, partition):
        self.members[name].consumer.resume([self.ck.TopicPartition(self.members[name].topic, int(partition))])
        say("resumed")

    def do_seek(self, name, partition, offset):
        self.members[name].consumer.seek(self.ck.TopicPartition(self.members[name].topic, int(partition), int(offset)))
        say("sought")

    def do_position(self, name, partition):
        say("position", partition, self.members[name].consumer.position([self.ck.TopicPartition(self.members[name].topic, int(partition))])[0].offset)

    def commit(self, member):
        positions = member.consumer.position(member.consumer.assignment())
        for one in member.consumer.commit(offsets=[one for one in positions if one.offset >= 0], asynchronous=False):
            if one.error:
                raise self.ck.KafkaException(one.error)

    def committed(self, group, topic, partitions):
        asked = self.ck.ConsumerGroupTopicPartitions(group)
        found = self.one(self.admin.list_consumer_group_offsets([asked]))
        return {one.partition: one.offset for one in found.topic_partitions if one.topic == topic and one.offset >= 0}

    def do_reset(self, group, topic, partition, offset):
        asked = self.ck.ConsumerGroupTopicPartitions(group, [self.ck.TopicPartition(topic, int(partition), int(offset))])
        for one in self.one(self.admin.alter_consumer_group_offsets([asked])).topic_partitions:
            if one.error:
                raise self.ck.KafkaException(one.error)
        say("reset")

    def do_groups(self, prefix):
        listed = self.admin.list_consumer_groups().result(DEADLINE)
        for one in sorted(listed.valid, key=lambda one: one.group_id):
            if one.group_id.startswith(prefix):
                say("group", one.group_id, one.state.name.title().replace("_", ""))

    def do_group(self, group):
        found = self.one(self.admin.describe_consumer_groups([group]))
        say("group", found.state.name.title().replace("_", ""), f"members={len(found.members)}")

    def do_delete_group(self, group):
        self.one(self.admin.delete_consumer_groups([group]))
        say("deleted")


class Pure(Peer):
    def __init__(self, address, settings):
        super().__init__(address, settings)
        import kafka
        from kafka.admin import ConfigResource, KafkaAdminClient
        from kafka.errors import NoError

        self.kafka = kafka
        self.resource = ConfigResource
        self.no_error = NoError
        self.admin = KafkaAdminClient(bootstrap_servers=address)

    def named(self, problem):
        from kafka.errors import BrokerResponseError, CorruptRecordError, OffsetOutOfRangeError

        if isinstance(problem, CorruptRecordError):
            return "CORRUPT_MESSAGE"
        if isinstance(problem, OffsetOutOfRangeError):
            return "OFFSET_OUT_OF_RANGE"
        own = {"INVALID_TOPIC": "INVALID_TOPIC_EXCEPTION", "MESSAGE_SIZE_TOO_LARGE": "MESSAGE_TOO_LARGE"}
        return own.get(problem.message, problem.message) if isinstance(problem, BrokerResponseError) else None

    def told(self, answer):
        """Raises what an admin call only tells, as the text or the name of an error."""
        from kafka import errors

        if answer == "OK":
            return
        found = re.match(r"\[Error (\d+)\]", answer)
        raise (errors.for_code(int(found[1])) if found else getattr(errors, answer))()

    def create(self, name, partitions, replicas, configs):
        self.admin.create_topics({name: {"num_partitions": partitions, "replication_factor": replicas, "configs": configs}})

    def do_grow(self, name, count):
        self.admin.create_partitions({name: int(count)})
        say("grown")

    def do_describe(self, name):
        from kafka.errors import for_code

        found = self.admin.describe_topics([name])[0]
        if found["error_code"]:
            raise for_code(found["error_code"])()
        for one in sorted(found["partitions"], key=lambda one: one["partition_index"]):
            say("partition", one["partition_index"],
                f"leader={one['leader_id']} replicas={len(one['replica_nodes'])} isr={len(one['isr_nodes'])}")

    def do_delete(self, name):
        self.admin.delete_topics([name])
        say("deleted")

    def topics(self):
        return self.admin.list_topics()

    def do_configs(self, name, *wanted):
        found = self.admin.describe_configs([self.resource("TOPIC", name)], config_filter="all")["topic"][name]
        for config in wanted:
            say("config", f"{config}={found[config]['value']}", "topic" if "TOPIC" in str(found[config]["config_source"]).upper() else "default")

    def do_alter(self, name, *changes):
        from kafka.admin import AlterConfigOp

        ops = {}
        for change in changes:
            config, value = change.split("=", 1)
            ops[config] = (AlterConfigOp.SET, value) if value else (AlterConfigOp.DELETE, None)
        answer = self.admin.alter_configs([self.resource("TOPIC", name, ops)], raise_on_unknown=False)
        self.told(answer["topic"][name])
        say("altered")

    def do_cut(self, topic, partition, offset):
        of = self.kafka.TopicPartition(topic, int(partition))
        say("low", partition, self.admin.delete_records({of: int(offset)})[of]["low_watermark"])

    def producer(self, options):
        acks, codec = options.get("acks", "all"), options.get("codec", "none")
        idempotent = options.get("idempotent", "true" if acks == "all" else "false") == "true"
        name = (acks, codec, idempotent)
        if name not in self.producers:
            self.producers[name] = self.kafka.KafkaProducer(
                bootstrap_servers=self.address, acks=acks if acks == "all" else int(acks), compression_type=None if codec == "none" else codec,
                enable_idempotence=idempotent, max_request_size=8_000_000)
        return self.producers[name]

    def send(self, producer, topic, record):
        try:
            sent = producer.send(topic, value=record["value"], key=record["key"], headers=record["headers"], partition=record["partition"],
                                 timestamp_ms=record["ts"]).get(DEADLINE)
        except Exception:
            # An idempotent producer of this client is of no more use after a refusal.
            self.producers = {name: one for name, one in self.producers.items() if one is not producer}
            producer.close()
            raise
        return sent.partition, sent.offset

    def fill(self, producer, topic, made):
        sent = [producer.send(topic, value=value, key=key, timestamp_ms=ts) for key, value, ts in made]
        producer.flush(DEADLINE)
        for one in sent:
            one.get(DEADLINE)

    def consumer(self, further):
        return self.kafka.KafkaConsumer(**{"bootstrap_servers": self.address, "group_id": None, "enable_auto_commit": False, "check_crcs": True,
                                           "auto_offset_reset": "none", "fetch_max_wait_ms": 50, "reconnect_backoff_ms": 20,
                                           # A broker may not know a new topic yet, and this is how soon it is asked again.
                                           "metadata_max_age_ms": 200, **further})

    def bounds(self, topic, partition):
        of = self.kafka.TopicPartition(topic, partition)
        return self.admin.list_partition_offsets({of: -2})[of].offset, self.admin.list_partition_offsets({of: -1})[of].offset

    def line(self, record):
        return record_line(record.partition, record.offset, record.key, record.value, record.timestamp, record.headers)

    def records(self, topic, partition, first, end):
        consumer = self.consumer({})
        of = self.kafka.TopicPartition(topic, partition)
        found = []

        def done():
            for record in consumer.poll(timeout_ms=200).get(of, []):
                if record.offset < end:
                    found.append(self.line(record))
            return consumer.position(of) >= end

        try:
            consumer.assign([of])
            consumer.seek(of, first)
            until(f"records up to {end}", done)
        finally:
            consumer.close()
        return found

    def do_at(self, topic, partition, ts):
        consumer = self.consumer({})
        of = self.kafka.TopicPartition(topic, int(partition))
        found = consumer.offsets_for_times({of: int(ts)})[of]
        consumer.close()
        say("at", partition, "none" if found is None else found.offset)

    def do_open(self, name, topic, partitions):
        consumer = self.consumer({"max_poll_records": 1})
        of = [self.kafka.TopicPartition(topic, int(word)) for word in partitions.split(",")]
        consumer.assign(of)
        consumer.seek_to_beginning(*of)
        self.members[name] = Member(consumer, topic)
        say("opened")

    def do_join(self, name, group, topic, *words):
        from kafka.coordinator.assignors.range import RangePartitionAssignor
        from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

        assignors = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}
        assignor = options_of(words).get("assignor", "range")
        if assignor == "cooperative":
            from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

            assignors["cooperative"] = CooperativeStickyAssignor
        consumer = self.consumer({"group_id": group, "auto_offset_reset": "earliest", "max_poll_records": 1, "heartbeat_interval_ms": 100,
                                  "session_timeout_ms": 10_000, "partition_assignment_strategy": [assignors[assignor]]})
        consumer.subscribe([topic])
        self.members[name] = Member(consumer, topic)
        say("joined")

    def assigned(self, member):
        return {one.partition for one in member.consumer.assignment()}

    def poll(self, member, seconds):
        for of, records in member.consumer.poll(timeout_ms=int(seconds * 1000)).items():
            member.buffer += [(of.partition, self.line(record)) for record in records]
        member.buffer = [one for one in member.buffer if one[0] in self.assigned(member)]

    def poll_all(self, members):
        """All at once and not for short: this client forgets an assignment that comes when its poll is over."""
        with ThreadPoolExecutor(len(members)) as threads:
            list(threads.map(lambda member: self.poll(member, 1), members))

    def of(self, name, partition):
        return self.kafka.TopicPartition(self.members[name].topic, int(partition))

    def do_pause(self, name, partition):
        self.members[name].consumer.pause(self.of(name, partition))
        say("paused")

    def do_resume(self, name, partition):
        self.members[name].consumer.resume(self.of(name, partition))
        say("resumed")

    def do_seek(self, name, partition, offset):
        self.members[name].consumer.seek(self.of(name, partition), int(offset))
        say("sought")

    def do_position(self, name, partition):
        say("position", partition, self.members[name].consumer.position(self.of(name, partition)))

    def commit(self, member):
        member.consumer.commit()

    def committed(self, group, topic, partitions):
        found = self.admin.list_group_offsets({group: None})[group]
        return {of.partition: one.offset for of, one in found.items() if of.topic == topic and one.offset >= 0}

    def do_reset(self, group, topic, partition, offset):
        of = self.kafka.TopicPartition(topic, int(partition))
        answer = self.admin.alter_group_offsets(group, {of: self.kafka.OffsetAndMetadata(int(offset), "", -1)})
        if answer[of] is not self.no_error:
            raise answer[of]()
        say("reset")

    def do_groups(self, prefix):
        for one in sorted(self.admin.list_groups(), key=lambda one: one["group_id"]):
            if one["group_id"].startswith(prefix):
                say("group", one["group_id"], one["group_state"])

    def do_group(self, group):
        found = self.admin.describe_groups([group])[group]
        say("group", found["group_state"], f"members={len(found['members'])}")

    def do_delete_group(self, group):
        self.told(self.admin.delete_groups([group])[group])
        say("deleted")


def main():
    client, address, *settings = sys.argv[1:]
    serve({"confluent": Confluent, "pure": Pure}[client](address, options_of(settings)))


def serve(peer):
    """Answers the commands on stdin until they end."""
    for command in sys.stdin:
        lines.clear()
        word, *words = command.rstrip("\n").split(" ")
        try:
            peer.answer(word, words)
        except Exception as problem:
            name = peer.named(problem)
            say(f"error {name}" if name else f"failed {type(problem).__name__}: {problem}".replace("\n", " "))
        for line in lines:
            print(line)
        print(".", flush=True)


if __name__ == "__main__":
    main()
