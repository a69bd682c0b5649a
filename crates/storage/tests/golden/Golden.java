// Writes the topics of the golden data dir to a running broker (`write`, `write-again` after a restart) and prints what that broker
// says of them (`expect`). Run by make.sh with the broker's own jars.

import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class Golden {
    static final long EPOCH = 1_700_000_000_000L;
    static final List<String> TOPICS = List.of("codecs", "compacted", "epochs", "rolled", "trimmed", "txn");
    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            switch (args[1]) {
                case "write" -> write(admin);
                case "write-again" -> epochs();
                case "expect" -> expect(admin);
                case "drop" -> admin.deleteTopics(List.of("gone")).all().get();
                default -> throw new IllegalArgumentException(args[1]);
            }
        }
    }

    static NewTopic topic(String name, String... configs) {
        Map<String, String> map = new HashMap<>(Map.of("retention.ms", "-1"));
        for (int i = 0; i < configs.length; i += 2) map.put(configs[i], configs[i + 1]);
        return new NewTopic(name, 1, (short) 1).configs(map);
    }

    static KafkaProducer<String, String> producer(String... configs) {
        Map<String, Object> map = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 10_000, "batch.size", 1 << 20));
        for (int i = 0; i < configs.length; i += 2) map.put(configs[i], configs[i + 1]);
        return new KafkaProducer<>(map, new StringSerializer(), new StringSerializer());
    }

    /** One batch of records whose timestamps begin at `time` and move by `step`. */
    static void batch(KafkaProducer<String, String> to, String topic, String name, int count, long time, long step) {
        for (int i = 0; i < count; i++) {
            String text = name + " " + i + " " + "abc".repeat(i % 5);
            to.send(new ProducerRecord<>(topic, 0, EPOCH + time + i * step, "k" + i % 7, text));
        }
        to.flush();
    }

    static void write(Admin admin) throws Exception {
        admin.createTopics(List.of(
            topic("codecs", "index.interval.bytes", "100"),
            topic("compacted", "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "1000", "index.interval.bytes", "100"),
            topic("epochs", "index.interval.bytes", "300"),
            topic("gone"),
            topic("rolled", "index.interval.bytes", "500", "segment.ms", "20000", "segment.index.bytes", "96"),
            topic("trimmed"),
            topic("txn", "segment.ms", "5000", "index.interval.bytes", "100"))).all().get();
        long time = 0;
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (var to = producer("compression.type", codec, "enable.idempotence", "false")) {
                batch(to, "codecs", codec, 20, time, 10);
                batch(to, "codecs", codec + " again", 5, time + 100, -7);
            }
            time += 1_000;
        }
        try (var to = producer("compression.type", "none"); var other = producer("compression.type", "lz4")) {
            for (int i = 0; i < 90; i++) {
                // Now and then a batch is older than the one before.
                long at = i * 1_000L - (i % 4 == 3 ? 2_500 : 0);
                batch(i % 3 == 2 ? other : to, "rolled", "batch " + i, 1 + i % 6, at, 5);
            }
        }
        try (var to = producer()) {
            for (int i = 0; i < 12; i++) batch(to, "compacted", "round " + i, 7, i * 600L, 1);
            for (int i = 0; i < 5; i++) batch(to, "trimmed", "batch " + i, 4, i * 100L, 1);
            batch(to, "gone", "gone", 3, 0, 1);
        }
        admin.deleteRecords(Map.of(new TopicPartition("trimmed", 0), RecordsToDelete.beforeOffset(9))).all().get();
        transactions();
        epochs();
    }

    static void transactions() {
        try (var to = producer("transactional.id", "golden"); var plain = producer("enable.idempotence", "false")) {
            to.initTransactions();
            for (int i = 0; i < 6; i++) {
                to.beginTransaction();
                batch(to, "txn", "transaction " + i, 3, i * 2_000L, 1);
                batch(plain, "txn", "beside " + i, 2, i * 2_000L + 500, 1);
                if (i % 2 == 0) to.commitTransaction(); else to.abortTransaction();
            }
            to.beginTransaction();
            batch(to, "txn", "open", 2, 20_000, 1);
            batch(plain, "txn", "after", 2, 20_100, 1);
            to.commitTransaction();
        }
    }

    static void epochs() {
        try (var to = producer()) {
            for (int i = 0; i < 4; i++) batch(to, "epochs", "batch " + i, 5, i * 50L, 3);
        }
    }

    static void expect(Admin admin) throws Exception {
        for (String name : TOPICS) {
            TopicPartition tp = new TopicPartition(name, 0);
            var out = new StringBuilder();
            long start = offset(admin, tp, OffsetSpec.earliest()).offset();
            long end = offset(admin, tp, OffsetSpec.latest()).offset();
            out.append("partition ").append(tp).append(" start ").append(start).append(" end ").append(end).append('\n');
            var newest = offset(admin, tp, OffsetSpec.maxTimestamp());
            out.append("newest ").append(newest.offset()).append(' ').append(newest.timestamp()).append('\n');
            TreeSet<Long> times = new TreeSet<>();
            for (var record : records(tp, start, end)) {
                out.append("record ").append(record.offset()).append(' ').append(record.timestamp()).append(' ')
                    .append(record.leaderEpoch().orElse(-1)).append(' ').append(record.key()).append(' ').append(record.value().trim()).append('\n');
                times.addAll(List.of(record.timestamp(), record.timestamp() + 1));
            }
            times.add(0L);
            for (long time : times) {
                var at = offset(admin, tp, OffsetSpec.forTimestamp(time));
                out.append("time ").append(time).append(' ').append(at.offset()).append(' ').append(at.timestamp()).append('\n');
            }
            var producers = new ArrayList<>(admin.describeProducers(List.of(tp)).partitionResult(tp).get().activeProducers());
            producers.sort(Comparator.comparing(ProducerState::producerId));
            for (var p : producers) {
                out.append("producer ").append(p.producerId()).append(' ').append(p.producerEpoch()).append(' ').append(p.lastSequence()).append(' ')
                    .append(p.lastTimestamp()).append(' ').append(p.coordinatorEpoch().orElse(-1)).append(' ').append(p.currentTransactionStartOffset().orElse(-1)).append('\n');
            }
            System.out.print(out);
        }
    }

    static ListOffsetsResult.ListOffsetsResultInfo offset(Admin admin, TopicPartition tp, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(tp, spec)).partitionResult(tp).get(30, TimeUnit.SECONDS);
    }

    static List<ConsumerRecord<String, String>> records(TopicPartition tp, long start, long end) {
        List<ConsumerRecord<String, String>> all = new ArrayList<>();
        Map<String, Object> map = Map.of("bootstrap.servers", bootstrap, "auto.offset.reset", "earliest");
        try (var from = new KafkaConsumer<>(map, new StringDeserializer(), new StringDeserializer())) {
            from.assign(List.of(tp));
            from.seek(tp, start);
            while (from.position(tp) < end) from.poll(java.time.Duration.ofMillis(200)).forEach(all::add);
        }
        return all;
    }
}
