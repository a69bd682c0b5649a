import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's Java clients as a peer of the table of scenarios: commands in, canonical lines out (see the README of tests/conformance).
 */
public final class TablePeer {
    private static final long DEADLINE_MS = 40_000;
    private static final long FIRST_TIME = 1_700_000_000_000L;
    private static String address;
    private static Admin admin;
    private static final Map<String, Member> MEMBERS = new HashMap<>();
    private static final Map<String, KafkaProducer<byte[], byte[]>> PRODUCERS = new HashMap<>();
    private static final List<String> LINES = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        address = args[0];
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        admin = Admin.create(Map.of("bootstrap.servers", address, "default.api.timeout.ms", "30000"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            LINES.clear();
            try {
                String[] words = line.split(" ");
                run(words[0], Arrays.copyOfRange(words, 1, words.length));
            } catch (Throwable problem) {
                say(error(problem));
            }
            LINES.forEach(out::println);
            out.println(".");
            out.flush();
        }
        System.exit(0);
    }

    private static void say(String line) {
        LINES.add(line);
    }

    /** A broker's refusal by its name in the protocol. */
    private static String error(Throwable problem) {
        Throwable cause = problem;
        while ((cause instanceof ExecutionException || cause.getClass() == KafkaException.class) && cause.getCause() != null) {
            cause = cause.getCause();
        }
        if (cause instanceof OffsetOutOfRangeException) {
            return "error OFFSET_OUT_OF_RANGE";
        }
        if (cause instanceof KafkaException && cause.getMessage() != null && cause.getMessage().contains("Record is corrupt")) {
            return "error CORRUPT_MESSAGE";
        }
        Errors known = Errors.forException(cause);
        if (known != Errors.UNKNOWN_SERVER_ERROR) {
            return "error " + known.name();
        }
        return "failed " + cause.toString().replace('\n', ' ');
    }

    private static void run(String command, String[] words) throws Exception {
        switch (command) {
            case "create" -> create(words);
            case "grow" -> grow(words[0], Integer.parseInt(words[1]));
            case "describe" -> describe(words[0]);
            case "delete" -> {
                admin.deleteTopics(List.of(words[0])).all().get();
                say("deleted");
            }
            case "list" -> new TreeSet<>(admin.listTopics().names().get()).stream().filter(name -> name.startsWith(words[0])).forEach(name -> say("topic " + name));
            case "configs" -> configs(words);
            case "alter" -> alter(words);
            case "cut" -> cut(words[0], Integer.parseInt(words[1]), Long.parseLong(words[2]));
            case "send" -> send(words);
            case "fill" -> fill(words);
            case "read" -> read(words[0], Integer.parseInt(words[1]), Long.parseLong(words[2]), Long.parseLong(words[3])).forEach(record -> say(shown(record)));
            case "digest" -> digest(words[0], Integer.parseInt(words[1]));
            case "offsets" -> offsets(words[0], Integer.parseInt(words[1]));
            case "at" -> at(words[0], Integer.parseInt(words[1]), Long.parseLong(words[2]));
            case "open" -> open(words);
            case "join" -> join(words);
            case "shares" -> shares(words[0].split(","), words[1]);
            case "take" -> take(words[0].split(","), Integer.parseInt(words[1]));
            case "idle" -> idle(member(words[0]));
            case "pause" -> {
                member(words[0]).consumer.pause(Set.of(member(words[0]).partition(words[1])));
                say("paused");
            }
            case "resume" -> {
                member(words[0]).consumer.resume(Set.of(member(words[0]).partition(words[1])));
                say("resumed");
            }
            case "seek" -> {
                member(words[0]).consumer.seek(member(words[0]).partition(words[1]), Long.parseLong(words[2]));
                say("sought");
            }
            case "position" -> say("position " + words[1] + " " + member(words[0]).consumer.position(member(words[0]).partition(words[1])));
            case "commit" -> {
                for (String name : words[0].split(",")) {
                    member(name).consumer.commitSync(Duration.ofSeconds(30));
                }
                say("committed");
            }
            case "leave" -> {
                MEMBERS.remove(words[0]).consumer.close();
                say("left");
            }
            case "committed" -> committed(words[0], words[1], Integer.parseInt(words[2]));
            case "reset" -> {
                admin.alterConsumerGroupOffsets(words[0], Map.of(new TopicPartition(words[1], Integer.parseInt(words[2])),
                    new OffsetAndMetadata(Long.parseLong(words[3])))).all().get();
                say("reset");
            }
            case "groups" -> admin.listGroups(new ListGroupsOptions()).all().get().stream().filter(group -> group.groupId().startsWith(words[0]))
                .map(TablePeer::listed).sorted().forEach(TablePeer::say);
            case "group" -> {
                ConsumerGroupDescription group = admin.describeConsumerGroups(List.of(words[0])).all().get().get(words[0]);
                say("group " + group.groupState() + " members=" + group.members().size());
            }
            case "delete-group" -> {
                admin.deleteConsumerGroups(List.of(words[0])).all().get();
                say("deleted");
            }
            default -> say("unsupported");
        }
    }

    private static String listed(GroupListing group) {
        return "group " + group.groupId() + " " + group.groupState().map(Object::toString).orElse("?");
    }

    private static void create(String[] words) throws Exception {
        Map<String, String> configs = new HashMap<>();
        short replicas = 1;
        for (int i = 2; i < words.length; i++) {
            String[] pair = words[i].split("=", 2);
            if (pair[0].equals("replicas")) {
                replicas = Short.parseShort(pair[1]);
            } else {
                configs.put(pair[0], pair[1]);
            }
        }
        admin.createTopics(List.of(new NewTopic(text(words[0]), Integer.parseInt(words[1]), replicas).configs(configs))).all().get();
        say("created");
    }

    private static void grow(String topic, int count) throws Exception {
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(count))).all().get();
        say("grown");
    }

    private static void describe(String topic) throws Exception {
        TopicDescription found = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        for (TopicPartitionInfo one : found.partitions()) {
            say("partition " + one.partition() + " leader=" + one.leader().id() + " replicas=" + one.replicas().size() + " isr=" + one.isr().size());
        }
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private static void configs(String[] words) throws Exception {
        var found = admin.describeConfigs(List.of(resource(words[0]))).all().get().get(resource(words[0]));
        for (String name : Arrays.copyOfRange(words, 1, words.length)) {
            ConfigEntry entry = found.get(name);
            say("config " + name + "=" + entry.value() + " " + (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG ? "topic" : "default"));
        }
    }

    private static void alter(String[] words) throws Exception {
        List<AlterConfigOp> ops = new ArrayList<>();
        for (String word : Arrays.copyOfRange(words, 1, words.length)) {
            String[] pair = word.split("=", 2);
            boolean unset = pair[1].isEmpty();
            ops.add(new AlterConfigOp(new ConfigEntry(pair[0], pair[1]), unset ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET));
        }
        admin.incrementalAlterConfigs(Map.of(resource(words[0]), (Collection<AlterConfigOp>) ops)).all().get();
        say("altered");
    }

    private static void cut(String topic, int partition, long offset) throws Exception {
        TopicPartition of = new TopicPartition(topic, partition);
        long low = admin.deleteRecords(Map.of(of, RecordsToDelete.beforeOffset(offset))).lowWatermarks().get(of).get().lowWatermark();
        say("low " + partition + " " + low);
    }

    private static String text(String word) {
        return URLDecoder.decode(word.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    /** `~` is null, `*N` is N times x. */
    private static byte[] bytes(String word) {
        if (word.equals("~")) {
            return null;
        }
        if (word.startsWith("*")) {
            return "x".repeat(Integer.parseInt(word.substring(1))).getBytes(StandardCharsets.UTF_8);
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (int i = 0; i < word.length(); i++) {
            boolean escaped = word.charAt(i) == '%';
            out.write(escaped ? Integer.parseInt(word.substring(i + 1, i + 3), 16) : word.charAt(i));
            i += escaped ? 2 : 0;
        }
        return out.toByteArray();
    }

    private static String shown(byte[] bytes) throws IllegalStateException {
        if (bytes == null) {
            return "~";
        }
        if (bytes.length > 64) {
            return "*" + bytes.length + ":" + sha256(bytes).substring(0, 8);
        }
        StringBuilder out = new StringBuilder();
        for (byte one : bytes) {
            char c = (char) (one & 0xff);
            boolean plain = c < 128 && (Character.isLetterOrDigit(c) || c == '.' || c == '_' || c == '-');
            out.append(plain ? String.valueOf(c) : String.format("%%%02X", (int) c));
        }
        return out.toString();
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (java.security.NoSuchAlgorithmException never) {
            throw new IllegalStateException(never);
        }
    }

    private static String shown(ConsumerRecord<byte[], byte[]> record) {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(shown(header.key().getBytes(StandardCharsets.UTF_8)) + ":" + shown(header.value()));
        }
        return "record " + record.partition() + " " + record.offset() + " key=" + shown(record.key()) + " value=" + shown(record.value())
            + " ts=" + record.timestamp() + " headers=" + String.join(",", headers);
    }

    /** A producer per set of options, kept: what a program would do. */
    private static KafkaProducer<byte[], byte[]> producer(Map<String, String> options) {
        String acks = options.getOrDefault("acks", "all");
        String idempotent = options.getOrDefault("idempotent", acks.equals("all") ? "true" : "false");
        String codec = options.getOrDefault("codec", "none");
        return PRODUCERS.computeIfAbsent(acks + idempotent + codec, absent -> {
            Properties config = new Properties();
            config.put("bootstrap.servers", address);
            config.put("key.serializer", ByteArraySerializer.class.getName());
            config.put("value.serializer", ByteArraySerializer.class.getName());
            config.put("acks", acks);
            config.put("enable.idempotence", idempotent);
            config.put("compression.type", codec);
            config.put("linger.ms", "0");
            config.put("max.request.size", "8000000");
            config.put("retry.backoff.ms", "20");
            return new KafkaProducer<>(config);
        });
    }

    private static Map<String, String> options(String[] words) {
        Map<String, String> options = new HashMap<>();
        for (String word : words) {
            if (!word.contains(";") && word.contains("=") && !word.startsWith("value=") && !word.startsWith("partition=")) {
                options.put(word.substring(0, word.indexOf('=')), word.substring(word.indexOf('=') + 1));
            }
        }
        return options;
    }

    private static ProducerRecord<byte[], byte[]> parsed(String topic, String word) {
        Integer partition = null;
        Long ts = null;
        byte[] key = null;
        byte[] value = null;
        List<String[]> headers = new ArrayList<>();
        for (String piece : word.split(";")) {
            String[] pair = piece.split("=", 2);
            switch (pair[0]) {
                case "partition" -> partition = Integer.valueOf(pair[1]);
                case "ts" -> ts = Long.valueOf(pair[1]);
                case "key" -> key = bytes(pair[1]);
                case "value" -> value = bytes(pair[1]);
                default -> headers.add(pair[1].split(":", 2));
            }
        }
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, ts, key, value);
        headers.forEach(header -> record.headers().add(text(header[0]), bytes(header[1])));
        return record;
    }

    /** One after the other, each answered before the next is sent; a record has a `;` in it. */
    private static void send(String[] words) throws Exception {
        KafkaProducer<byte[], byte[]> producer = producer(options(words));
        for (String word : Arrays.copyOfRange(words, 1, words.length)) {
            if (word.contains(";")) {
                RecordMetadata sent = producer.send(parsed(words[0], word)).get();
                say("sent " + sent.partition() + " " + (sent.hasOffset() ? sent.offset() : "unknown"));
            }
        }
    }

    private static void fill(String[] words) throws Exception {
        KafkaProducer<byte[], byte[]> producer = producer(options(words));
        int count = Integer.parseInt(words[1]);
        int size = Integer.parseInt(words[2]);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String value = "value-" + i + "-";
            value += "x".repeat(Math.max(0, size - value.length()));
            byte[] key = ("key-" + i % 23).getBytes(StandardCharsets.UTF_8);
            sent.add(producer.send(new ProducerRecord<>(words[0], null, FIRST_TIME + i * 1000L, key, value.getBytes(StandardCharsets.UTF_8))));
        }
        producer.flush();
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
        say("filled " + count);
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Map<String, String> further) {
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("key.deserializer", ByteArrayDeserializer.class.getName());
        config.put("value.deserializer", ByteArrayDeserializer.class.getName());
        config.put("check.crcs", "true");
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "none");
        config.put("fetch.max.wait.ms", "50");
        config.put("retry.backoff.ms", "20");
        config.put("reconnect.backoff.ms", "20");
        config.putAll(further);
        return new KafkaConsumer<>(config);
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(String topic, int partition, long from, long to) {
        TopicPartition of = new TopicPartition(topic, partition);
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            consumer.assign(List.of(of));
            consumer.seek(of, from);
            until("records up to " + to, () -> {
                consumer.poll(Duration.ofMillis(100)).records(of).forEach(records::add);
                return consumer.position(of) >= to;
            });
        }
        records.removeIf(record -> record.offset() >= to);
        return records;
    }

    private static void until(String what, BooleanSupplier done) {
        long deadline = System.nanoTime() + DEADLINE_MS * 1_000_000;
        while (!done.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("no " + what + " in time");
            }
        }
    }

    private static long[] bounds(String topic, int partition) throws Exception {
        TopicPartition of = new TopicPartition(topic, partition);
        return new long[] {
            admin.listOffsets(Map.of(of, OffsetSpec.earliest())).all().get().get(of).offset(),
            admin.listOffsets(Map.of(of, OffsetSpec.latest())).all().get().get(of).offset()};
    }

    private static void digest(String topic, int partitions) throws Exception {
        for (int partition = 0; partition < partitions; partition++) {
            long[] bounds = bounds(topic, partition);
            StringBuilder all = new StringBuilder();
            List<ConsumerRecord<byte[], byte[]>> records = bounds[0] == bounds[1] ? List.of() : read(topic, partition, bounds[0], bounds[1]);
            records.forEach(record -> all.append(shown(record)).append('\n'));
            say("digest " + partition + " " + records.size() + " " + sha256(all.toString().getBytes(StandardCharsets.UTF_8)).substring(0, 16));
        }
    }

    private static void offsets(String topic, int partition) throws Exception {
        long[] bounds = bounds(topic, partition);
        say("offsets " + partition + " " + bounds[0] + " " + bounds[1]);
    }

    private static void at(String topic, int partition, long time) {
        TopicPartition of = new TopicPartition(topic, partition);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(of, time)).get(of);
            say("at " + partition + " " + (found == null ? "none" : found.offset()));
        }
    }

    /** A consumer with its records that were polled and not yet taken. */
    private static final class Member {
        final KafkaConsumer<byte[], byte[]> consumer;
        final String topic;
        final Deque<ConsumerRecord<byte[], byte[]>> buffer = new ArrayDeque<>();

        Member(KafkaConsumer<byte[], byte[]> consumer, String topic) {
            this.consumer = consumer;
            this.topic = topic;
        }

        TopicPartition partition(String number) {
            return new TopicPartition(topic, Integer.parseInt(number));
        }

        /** At most one record a poll, so that the position is right behind what was taken. */
        void poll(int ms) {
            ConsumerRecords<byte[], byte[]> polled = consumer.poll(Duration.ofMillis(ms));
            polled.forEach(buffer::add);
            buffer.removeIf(record -> !consumer.assignment().contains(new TopicPartition(record.topic(), record.partition())));
        }
    }

    private static Member member(String name) {
        return MEMBERS.get(name);
    }

    private static void open(String[] words) {
        Member member = new Member(consumer(Map.of("max.poll.records", "1")), words[1]);
        List<TopicPartition> assigned = new ArrayList<>();
        for (String number : words[2].split(",")) {
            assigned.add(member.partition(number));
        }
        member.consumer.assign(assigned);
        member.consumer.seekToBeginning(assigned);
        MEMBERS.put(words[0], member);
        say("opened");
    }

    private static void join(String[] words) {
        Map<String, String> config = new HashMap<>(Map.of("group.id", words[1], "max.poll.records", "1", "auto.offset.reset", "earliest"));
        boolean consumerProtocol = false;
        for (String word : Arrays.copyOfRange(words, 3, words.length)) {
            String[] pair = word.split("=", 2);
            switch (pair[0]) {
                case "protocol" -> {
                    consumerProtocol = pair[1].equals("consumer");
                    config.put("group.protocol", pair[1]);
                }
                case "instance" -> config.put("group.instance.id", pair[1]);
                default -> config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + switch (pair[1]) {
                    case "roundrobin" -> "RoundRobinAssignor";
                    case "cooperative" -> "CooperativeStickyAssignor";
                    default -> "RangeAssignor";
                });
            }
        }
        if (!consumerProtocol) {
            config.put("heartbeat.interval.ms", "100");
            config.put("session.timeout.ms", "10000");
        }
        Member member = new Member(consumer(config), words[2]);
        member.consumer.subscribe(List.of(words[2]));
        MEMBERS.put(words[0], member);
        say("joined");
    }

    /** Until the members have so many partitions each, in any order, and none is had twice. */
    private static void shares(String[] names, String wanted) {
        List<Integer> want = new ArrayList<>(Arrays.stream(wanted.split(",")).map(Integer::valueOf).sorted().toList());
        int all = want.stream().mapToInt(Integer::intValue).sum();
        String[] last = {""};
        try {
            until("shares", () -> {
                List<Integer> have = new ArrayList<>();
                Set<TopicPartition> distinct = new java.util.HashSet<>();
                for (String name : names) {
                    member(name).poll(20);
                    have.add(member(name).consumer.assignment().size());
                    distinct.addAll(member(name).consumer.assignment());
                }
                have.sort(null);
                last[0] = have + " of " + distinct.size();
                return have.equals(want) && distinct.size() == all;
            });
        } catch (IllegalStateException late) {
            throw new IllegalStateException(late.getMessage() + ": " + last[0]);
        }
        say("shares " + wanted);
    }

    private static void take(String[] names, int count) {
        List<String> taken = new ArrayList<>();
        until(count + " records", () -> {
            for (String name : names) {
                Member member = member(name);
                if (member.buffer.isEmpty() && taken.size() < count) {
                    member.poll(50);
                }
                while (!member.buffer.isEmpty() && taken.size() < count) {
                    taken.add(shown(member.buffer.poll()));
                }
            }
            return taken.size() == count;
        });
        taken.stream().sorted().forEach(TablePeer::say);
    }

    private static void idle(Member member) {
        for (int i = 0; i < 5 && member.buffer.isEmpty(); i++) {
            member.poll(40);
        }
        say(member.buffer.isEmpty() ? "nothing" : "something: " + shown(member.buffer.peek()));
    }

    private static void committed(String group, String topic, int partitions) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        Map<Integer, OffsetAndMetadata> sorted = new TreeMap<>();
        found.forEach((of, offset) -> sorted.put(of.partition(), offset));
        for (int partition = 0; partition < partitions; partition++) {
            OffsetAndMetadata offset = sorted.get(partition);
            say("committed " + partition + " " + (offset == null ? "none" : offset.offset()));
        }
    }
}
