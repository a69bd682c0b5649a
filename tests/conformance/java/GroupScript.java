import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * One session of groups in which nothing depends on who is faster, so that two brokers must write the same records about it: a static
 * and a dynamic member that join, commit, come back and leave, offsets without members, their change and their deletion.
 *
 * It leaves: "scripted" without members and with offsets, "simple" with one offset; "gone" is deleted, as is the topic "script-b". Of the
 * consumer protocol (KIP-848): "modern" without members and with offsets, "pattern" without members, "deleted" is deleted; "migrating" was
 * upgraded and downgraded under its members and is an empty classic group.
 */
final class GroupScript {
    private static final Duration POLL = Duration.ofMillis(20);
    private static final String TOPIC = "script-a";
    private static final String DELETED = "script-b";

    private GroupScript() {}

    static void run(String address) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.createTopics(List.of(new NewTopic(TOPIC, 3, (short) 1), new NewTopic(DELETED, 1, (short) 1))).all().get();
            members(address);
            offsets(address, admin);
            consumers(address, admin);
            migration(address);
        }
        System.out.println("done");
    }

    private static void members(String address) {
        KafkaConsumer<byte[], byte[]> one = consumer(address, "scripted", "one", "static-one");
        one.subscribe(List.of(TOPIC));
        poll(one, 3, null, 0);
        one.commitSync(Map.of(at(TOPIC, 0), new OffsetAndMetadata(5, Optional.of(0), "first"), at(TOPIC, 1), new OffsetAndMetadata(7)));
        // A static member that comes back has another member id and the same assignment (KIP-345, KIP-814).
        one.close();
        one = consumer(address, "scripted", "one", "static-one");
        one.subscribe(List.of(TOPIC));
        poll(one, 3, null, 0);
        KafkaConsumer<byte[], byte[]> two = consumer(address, "scripted", "two", null);
        two.subscribe(List.of(TOPIC));
        poll(one, 2, two, 1);
        two.commitSync(Map.of(at(TOPIC, 2), new OffsetAndMetadata(9, Optional.of(0), "")));
        two.close();
        poll(one, 3, null, 0);
        one.commitSync(Map.of(at(TOPIC, 2), new OffsetAndMetadata(10)));
        one.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
    }

    private static void offsets(String address, Admin admin) throws Exception {
        try (KafkaConsumer<byte[], byte[]> simple = consumer(address, "simple", "simple", null)) {
            simple.assign(List.of(at(TOPIC, 0), at(DELETED, 0)));
            simple.commitSync(Map.of(at(TOPIC, 0), new OffsetAndMetadata(1)));
            simple.commitSync(Map.of(at(TOPIC, 1), new OffsetAndMetadata(2, "m".repeat(100))));
            simple.commitSync(Map.of(at(DELETED, 0), new OffsetAndMetadata(3)));
        }
        admin.alterConsumerGroupOffsets("scripted", Map.of(at(TOPIC, 0), new OffsetAndMetadata(4))).all().get();
        admin.alterConsumerGroupOffsets("gone", Map.of(at(TOPIC, 0), new OffsetAndMetadata(4))).all().get();
        admin.deleteConsumerGroupOffsets("simple", Set.of(at(TOPIC, 1))).all().get();
        admin.deleteConsumerGroups(List.of("gone")).all().get();
        admin.deleteTopics(List.of(DELETED)).all().get();
        long deadline = deadline();
        while (admin.listConsumerGroupOffsets("simple").partitionsToOffsetAndMetadata().get().containsKey(at(DELETED, 0))) {
            check(deadline, "an offset of a deleted topic is kept");
        }
    }

    /** KIP-848: members that join, commit, leave for a while and come back, and leave; a pattern; a group that is deleted. */
    private static void consumers(String address, Admin admin) throws Exception {
        KafkaConsumer<byte[], byte[]> one = modern(address, "modern", "m-one", "fixed");
        one.subscribe(List.of(TOPIC));
        poll(one, 3, null, 0);
        one.commitSync(Map.of(at(TOPIC, 0), new OffsetAndMetadata(5, Optional.of(0), "first"), at(TOPIC, 1), new OffsetAndMetadata(7)));
        KafkaConsumer<byte[], byte[]> two = modern(address, "modern", "m-two", null);
        two.subscribe(List.of(TOPIC));
        poll(one, 2, two, 1);
        // It goes for a while: nobody gets its partitions.
        one.close();
        one = modern(address, "modern", "m-one", "fixed");
        one.subscribe(List.of(TOPIC));
        poll(one, 2, two, 1);
        two.close();
        poll(one, 3, null, 0);
        one.commitSync(Map.of(at(TOPIC, 2), new OffsetAndMetadata(10)));
        one.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
        try (KafkaConsumer<byte[], byte[]> pattern = modern(address, "pattern", "m-pattern", null)) {
            pattern.subscribe(new SubscriptionPattern("script-[a-b]"));
            poll(pattern, 3, null, 0);
        }
        try (KafkaConsumer<byte[], byte[]> deleted = modern(address, "deleted", "m-deleted", null)) {
            deleted.subscribe(List.of(TOPIC));
            poll(deleted, 3, null, 0);
            deleted.commitSync(Map.of(at(TOPIC, 0), new OffsetAndMetadata(1)));
        }
        admin.deleteConsumerGroups(List.of("deleted")).all().get();
    }

    /** A classic group that becomes a consumer group under its member, and a classic one again. */
    private static void migration(String address) {
        KafkaConsumer<byte[], byte[]> old = consumer(address, "migrating", "old", null);
        old.subscribe(List.of(TOPIC));
        poll(old, 3, null, 0);
        old.commitSync(Map.of(at(TOPIC, 0), new OffsetAndMetadata(3)));
        KafkaConsumer<byte[], byte[]> young = modern(address, "migrating", "young", null);
        young.subscribe(List.of(TOPIC));
        poll(old, 2, young, 1);
        young.commitSync(Map.of(at(TOPIC, 2), new OffsetAndMetadata(4)));
        young.close();
        poll(old, 3, null, 0);
        old.close();
    }

    private static KafkaConsumer<byte[], byte[]> modern(String address, String group, String client, String instance) {
        return consumer(address, group, client, instance, "consumer");
    }

    private static TopicPartition at(String topic, int partition) {
        return new TopicPartition(topic, partition);
    }

    private static long deadline() {
        return System.nanoTime() + Duration.ofSeconds(60).toNanos();
    }

    private static void check(long deadline, String otherwise) {
        if (System.nanoTime() > deadline) {
            throw new IllegalStateException(otherwise);
        }
    }

    /** Until both have so many partitions. */
    private static void poll(KafkaConsumer<?, ?> one, int ones, KafkaConsumer<?, ?> two, int twos) {
        long deadline = deadline();
        while (one.assignment().size() != ones || (two != null && two.assignment().size() != twos)) {
            check(deadline, "assigned: " + one.assignment() + (two == null ? "" : " and " + two.assignment()));
            one.poll(POLL);
            if (two != null) {
                two.poll(POLL);
            }
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String address, String group, String client, String instance) {
        return consumer(address, group, client, instance, "classic");
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String address, String group, String client, String instance, String protocol) {
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("group.id", group);
        config.put("group.protocol", protocol);
        config.put("client.id", client);
        if (protocol.equals("classic")) {
            config.put("heartbeat.interval.ms", "100");
        }
        config.put("key.deserializer", ByteArrayDeserializer.class.getName());
        config.put("value.deserializer", ByteArrayDeserializer.class.getName());
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        if (instance != null) {
            config.put("group.instance.id", instance);
        }
        return new KafkaConsumer<>(config);
    }
}
