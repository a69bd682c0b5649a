"""Python clients as black boxes: confluent-kafka (librdkafka) and kafka-python (pure Python).

  python_peer.py CLIENT produce ADDRESS TOPIC CODEC FILE    each line of FILE becomes a record of partition 0
  python_peer.py CLIENT consume ADDRESS FOLDER TOPIC..      writes partition 0 from its start to its end to FOLDER/TOPIC, a line a record

No consumer group: partitions are assigned and offsets are not committed.
"""
import sys


def confluent_produce(address, topic, codec, lines):
    from confluent_kafka import Producer

    problems = []
    producer = Producer({"bootstrap.servers": address, "compression.type": codec, "linger.ms": 5, "acks": "all",
                         "enable.idempotence": True, "message.timeout.ms": 30000})
    for line in lines:
        producer.produce(topic, line, partition=0, on_delivery=lambda error, _: problems.append(error) if error else None)
        producer.poll(0)
    left = producer.flush(30)
    if left or problems:
        sys.exit(f"{left} records not sent, {problems[:3]}")


def confluent_consume(address, topic):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False, "check.crcs": True})
    first, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
    consumer.assign([TopicPartition(topic, 0, first)])
    at = first
    while at < end:
        record = consumer.poll(30)
        if record is None or record.error():
            sys.exit(f"at offset {at} of {end}: {record and record.error()}")
        at = record.offset() + 1
        yield record.value()
    consumer.close()


def pure_produce(address, topic, codec, lines):
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=address, compression_type=None if codec == "none" else codec, acks="all",
                             linger_ms=5)
    sent = [producer.send(topic, line, partition=0) for line in lines]
    producer.flush(30)
    for one in sent:
        one.get(timeout=30)
    producer.close()


def pure_consume(address, topic):
    from kafka import KafkaConsumer, TopicPartition

    partition = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, group_id=None, check_crcs=True,
                             consumer_timeout_ms=30000)
    consumer.assign([partition])
    end = consumer.end_offsets([partition])[partition]
    consumer.seek_to_beginning(partition)
    while consumer.position(partition) < end:
        for record in consumer.poll(timeout_ms=1000).get(partition, []):
            yield record.value
    consumer.close()


def main():
    client, task, address, *rest = sys.argv[1:]
    produce, consume = {"confluent": (confluent_produce, confluent_consume), "pure": (pure_produce, pure_consume)}[client]
    if task == "produce":
        topic, codec, path = rest
        with open(path, "rb") as file:
            produce(address, topic, codec, file.read().splitlines())
    else:
        folder, *topics = rest
        for topic in topics:
            with open(f"{folder}/{topic}", "wb") as file:
                for value in consume(address, topic):
                    file.write(value + b"\n")


main()
