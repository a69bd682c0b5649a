// Makes kafka-embedded.txt: what Java consumers put into the classic protocol's bytes (ConsumerProtocol of kafka-clients 4.4.0), and what
// Kafka reads from it.
//
//   java -cp 'kafka_2.13-4.4.0/libs/*' EmbeddedVectors.java > kafka-embedded.txt
//
//   subscription VERSION HEX = TOPICS OWNED GENERATION RACK USERDATA
//   assignment VERSION HEX = PARTITIONS USERDATA
//
// VERSION is the one that the bytes begin with; above 3 they are those of version 3, and something unknown may follow. Topics are separated by
// commas, partitions are topic:0,1;topic:2, ~ is null, - is nothing. Kafka refuses every shorter part of bytes of version 3 and below; this
// program stops when it does not.

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.message.ConsumerProtocolAssignment;
import org.apache.kafka.common.message.ConsumerProtocolSubscription;
import org.apache.kafka.common.protocol.types.SchemaException;

public final class EmbeddedVectors {
    private static final Random RANDOM = new Random(848);

    public static void main(String[] args) {
        for (int round = 0; round < 12; round++) {
            boolean isEmpty = round == 0;
            Subscription subscription = new Subscription(isEmpty ? List.of() : names(), userData(isEmpty), isEmpty ? List.of() : partitions(),
                isEmpty ? -1 : RANDOM.nextInt(1000), isEmpty || RANDOM.nextInt(3) == 0 ? Optional.empty() : Optional.of("rack-\u00e9" + round));
            Assignment assignment = new Assignment(isEmpty ? List.of() : partitions(), userData(isEmpty));
            for (short version = 0; version <= 3; version++) {
                subscription(ConsumerProtocol.serializeSubscription(subscription, version));
                assignment(ConsumerProtocol.serializeAssignment(assignment, version));
            }
            for (int version : new int[] {4, 300, Short.MAX_VALUE}) {
                subscription(newer(ConsumerProtocol.serializeSubscription(subscription), version, round % 4));
                assignment(newer(ConsumerProtocol.serializeAssignment(assignment), version, round % 4));
            }
        }
        for (int version : new int[] {-1, Short.MIN_VALUE}) {
            mustRefuse(newer(ConsumerProtocol.serializeSubscription(new Subscription(names())), version, 0),
                ConsumerProtocol::deserializeConsumerProtocolSubscription);
            mustRefuse(newer(ConsumerProtocol.serializeAssignment(new Assignment(partitions())), version, 0),
                ConsumerProtocol::deserializeConsumerProtocolAssignment);
        }
    }

    private static List<String> names() {
        return RANDOM.ints(1 + RANDOM.nextInt(4), 0, 20).distinct().mapToObj(n -> n == 7 ? "t\u00e9\ud83d\ude00" : "topic." + n).toList();
    }

    private static List<TopicPartition> partitions() {
        List<TopicPartition> all = new ArrayList<>();
        for (String name : names()) RANDOM.ints(1 + RANDOM.nextInt(3), 0, 300).distinct().forEach(p -> all.add(new TopicPartition(name, p)));
        return all;
    }

    private static ByteBuffer userData(boolean isNull) {
        if (isNull) return null;
        byte[] bytes = new byte[RANDOM.nextInt(4)];
        RANDOM.nextBytes(bytes);
        return ByteBuffer.wrap(bytes);
    }

    private static ByteBuffer newer(ByteBuffer bytes, int version, int more) {
        ByteBuffer newer = ByteBuffer.wrap(Arrays.copyOf(array(bytes), bytes.remaining() + more));
        return newer.putShort(0, (short) version);
    }

    private static byte[] array(ByteBuffer bytes) {
        byte[] array = new byte[bytes.remaining()];
        bytes.duplicate().get(array);
        return array;
    }

    private static void mustRefuse(ByteBuffer bytes, Consumer<ByteBuffer> read) {
        try {
            read.accept(bytes.duplicate());
        } catch (SchemaException expected) {
            return;
        }
        throw new IllegalStateException("Kafka reads " + HexFormat.of().formatHex(array(bytes)));
    }

    private static void mustRefuseParts(ByteBuffer bytes, Consumer<ByteBuffer> read) {
        if (bytes.getShort(0) > 3) return;
        for (int length = 0; length < bytes.remaining(); length++) mustRefuse(bytes.duplicate().limit(length), read);
    }

    private static void subscription(ByteBuffer bytes) {
        mustRefuseParts(bytes, ConsumerProtocol::deserializeConsumerProtocolSubscription);
        ConsumerProtocolSubscription read = ConsumerProtocol.deserializeConsumerProtocolSubscription(bytes.duplicate());
        String owned = read.ownedPartitions().stream().map(tp -> topic(tp.topic(), tp.partitions())).collect(Collectors.joining(";"));
        System.out.println("subscription " + bytes.getShort(0) + " " + HexFormat.of().formatHex(array(bytes)) + " = "
            + orNothing(String.join(",", read.topics())) + " " + orNothing(owned) + " " + read.generationId() + " "
            + (read.rackId() == null ? "~" : orNothing(read.rackId())) + " " + data(read.userData()));
    }

    private static void assignment(ByteBuffer bytes) {
        mustRefuseParts(bytes, ConsumerProtocol::deserializeConsumerProtocolAssignment);
        ConsumerProtocolAssignment read = ConsumerProtocol.deserializeConsumerProtocolAssignment(bytes.duplicate());
        String assigned = read.assignedPartitions().stream().map(tp -> topic(tp.topic(), tp.partitions())).collect(Collectors.joining(";"));
        System.out.println("assignment " + bytes.getShort(0) + " " + HexFormat.of().formatHex(array(bytes)) + " = "
            + orNothing(assigned) + " " + data(read.userData()));
    }

    private static String topic(String name, List<Integer> partitions) {
        return name + ":" + partitions.stream().map(String::valueOf).collect(Collectors.joining(","));
    }

    private static String data(ByteBuffer data) {
        return data == null ? "~" : orNothing(HexFormat.of().formatHex(array(data)));
    }

    private static String orNothing(String text) {
        return text.isEmpty() ? "-" : text;
    }
}
