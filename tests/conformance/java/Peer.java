import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.internals.Exit;

/**
 * Kafka's own command line tools and clients behind one JVM, so that a test suite pays for one start and not for hundreds.
 *
 * A command is a line of URL-encoded words with tabs between; the answer is "done CODE OUT ERR\n" and then OUT bytes of what was
 * printed to stdout and ERR bytes of what was printed to stderr. It knows nothing of what a right answer is.
 */
public final class Peer {
    /** What a tool asked to exit with; an Error, so that a tool's own "catch (Exception)" lets it pass. */
    private static final class ExitAsked extends Error {
        final int code;

        ExitAsked(int code, String message) {
            super(message);
            this.code = code;
        }
    }

    private static Load load;
    private static volatile ExitAsked asked;

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((code, message) -> exit(code, message));
        Exit.setHaltProcedure((code, message) -> exit(code, message));
        PrintStream answers = System.out;
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            List<String> words = new ArrayList<>();
            for (String word : line.split("\t", -1)) {
                words.add(URLDecoder.decode(word, StandardCharsets.UTF_8));
            }
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            PrintStream realErr = System.err;
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            int code = answer(words);
            System.out.flush();
            System.err.flush();
            System.setOut(answers);
            System.setErr(realErr);
            answers.println("done " + code + " " + out.size() + " " + err.size());
            out.writeTo(answers);
            err.writeTo(answers);
            answers.flush();
        }
    }

    /** Exactly the first exit counts: a tool that catches every Throwable would have been gone by then. */
    private static void exit(int code, String message) {
        if (asked == null) {
            asked = new ExitAsked(code, message);
            if (message != null) {
                System.err.println(message);
            }
        }
        throw asked;
    }

    private static int answer(List<String> words) {
        asked = null;
        int code = run(words);
        return asked == null ? code : asked.code;
    }

    private static int run(List<String> words) {
        try {
            String[] rest = words.subList(1, words.size()).toArray(new String[0]);
            switch (words.get(0)) {
                case "tool" -> tool(rest[0], rest[1], Arrays.copyOfRange(rest, 2, rest.length));
                case "produce-rich" -> produceRich(rest[0], rest[1], Integer.parseInt(rest[2]), Integer.parseInt(rest[3]), rest[4]);
                case "check-rich" -> checkRich(rest[0], rest[1], Integer.parseInt(rest[2]), Integer.parseInt(rest[3]));
                case "create" -> create(rest);
                case "load-start" -> load = new Load(rest[0], rest[1], Integer.parseInt(rest[2]), rest.length > 3 ? Long.parseLong(rest[3]) : 0, rest.length > 4 ? rest[4] : "5");
                case "load-await" -> load.await(Long.parseLong(rest[0]), Long.parseLong(rest[1]));
                case "load-stop" -> load.stop();
                case "load-control" -> load.control(rest[0]);
                case "load-check" -> load.check(rest[0]);
                case "group-script" -> GroupScript.run(rest[0]);
                case "member-start" -> Members.start(rest);
                case "member-lines" -> Members.lines(rest[0], Integer.parseInt(rest[1]), Long.parseLong(rest[2]));
                case "member-stop" -> Members.stop(rest[0], rest[1]);
                default -> throw new IllegalArgumentException("no command " + words.get(0));
            }
            return 0;
        } catch (ExitAsked exit) {
            return exit.code;
        } catch (Throwable problem) {
            problem.printStackTrace();
            return 99;
        }
    }

    private static void tool(String stdin, String name, String[] args) throws Throwable {
        InputStream before = System.in;
        try (InputStream in = stdin.isEmpty() ? new ByteArrayInputStream(new byte[0]) : new FileInputStream(stdin)) {
            System.setIn(in);
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause();
        } finally {
            System.setIn(before);
        }
    }

    private static Properties producer(String address) {
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("key.serializer", ByteArraySerializer.class.getName());
        config.put("value.serializer", ByteArraySerializer.class.getName());
        config.put("acks", "all");
        config.put("enable.idempotence", "true");
        config.put("delivery.timeout.ms", "120000");
        config.put("reconnect.backoff.ms", "20");
        config.put("reconnect.backoff.max.ms", "200");
        config.put("retry.backoff.ms", "20");
        return config;
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String address) {
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("key.deserializer", ByteArrayDeserializer.class.getName());
        config.put("value.deserializer", ByteArrayDeserializer.class.getName());
        config.put("check.crcs", "true");
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "none");
        return new KafkaConsumer<>(config);
    }

    /** ADDRESS TOPIC PARTITIONS REPLICAS [key=value]: a topic without the checks that kafka-topics makes itself. */
    private static void create(String[] words) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int i = 4; i < words.length; i++) {
            configs.put(words[i].substring(0, words[i].indexOf('=')), words[i].substring(words[i].indexOf('=') + 1));
        }
        NewTopic topic = new NewTopic(words[1], Integer.parseInt(words[2]), Short.parseShort(words[3])).configs(configs);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", words[0]))) {
            admin.createTopics(List.of(topic)).all().get();
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Record i of a rich topic: a function of i alone, so that whoever wrote it, anyone can check it. */
    private static ProducerRecord<byte[], byte[]> rich(String topic, int partitions, int i) {
        byte[] key = i % 7 == 0 ? null : bytes("key-" + i % 97);
        byte[] value = i % 11 == 0 ? null : bytes(("value " + i + " ").repeat(1 + i % 40));
        if (i % 11 == 0 && key == null) {
            key = bytes("tombstone");
        }
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, i % partitions, 1_790_000_000_000L + i * 10L, key, value);
        for (int header = 0; header < i % 3; header++) {
            record.headers().add("h" + header, header == 1 ? null : bytes("header " + i));
        }
        return record;
    }

    private static void produceRich(String address, String topic, int partitions, int count, String codec) throws Exception {
        Properties config = producer(address);
        config.put("compression.type", codec);
        config.put("linger.ms", "5");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
            List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                java.util.concurrent.Future<?> one = producer.send(rich(topic, partitions, i));
                sent.add(one);
                if (i < partitions) {
                    // Kafka takes a second batch of a producer that it does not know where the first one came too early for a new
                    // partition, and then refuses the first one for ever: so the first batch of each waits for its answer.
                    one.get();
                }
            }
            for (java.util.concurrent.Future<?> one : sent) {
                one.get();
            }
        }
        System.out.println("produced " + count);
    }

    private static void checkRich(String address, String topic, int partitions, int count) {
        Map<Integer, List<ConsumerRecord<byte[], byte[]>>> read = readAll(address, topic, partitions);
        for (int i = 0; i < count; i++) {
            ProducerRecord<byte[], byte[]> want = rich(topic, partitions, i);
            List<ConsumerRecord<byte[], byte[]>> log = read.get(want.partition());
            int at = i / partitions;
            check(at < log.size(), "partition " + want.partition() + " ends before record " + i);
            ConsumerRecord<byte[], byte[]> got = log.get(at);
            String where = topic + "-" + want.partition() + " offset " + got.offset() + ", record " + i + ": ";
            check(got.offset() == at, where + "want offset " + at);
            check(Arrays.equals(got.key(), want.key()), where + "another key");
            check(Arrays.equals(got.value(), want.value()), where + "another value");
            check(got.timestamp() == want.timestamp(), where + "another timestamp, " + got.timestamp());
            Header[] wantHeaders = want.headers().toArray();
            Header[] gotHeaders = got.headers().toArray();
            check(Arrays.equals(wantHeaders, gotHeaders), where + "other headers");
        }
        int total = read.values().stream().mapToInt(List::size).sum();
        check(total == count, topic + " holds " + total + " records, want " + count);
        System.out.println("checked " + count);
    }

    private static Map<Integer, List<ConsumerRecord<byte[], byte[]>>> readAll(String address, String topic, int partitions) {
        Map<Integer, List<ConsumerRecord<byte[], byte[]>>> read = new HashMap<>();
        List<TopicPartition> assigned = new ArrayList<>();
        for (int partition = 0; partition < partitions; partition++) {
            assigned.add(new TopicPartition(topic, partition));
            read.put(partition, new ArrayList<>());
        }
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(address)) {
            consumer.assign(assigned);
            consumer.seekToBeginning(assigned);
            Map<TopicPartition, Long> ends = consumer.endOffsets(assigned);
            long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            while (!assigned.stream().allMatch(one -> consumer.position(one) >= ends.get(one))) {
                check(System.nanoTime() < deadline, "could not read " + topic + " to its end offsets " + ends);
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    read.get(record.partition()).add(record);
                }
            }
        }
        return read;
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    /** An idempotent acks=all producer that runs until stopped and remembers every acknowledgement. */
    private static final class Load {
        private record Ack(int partition, long offset, long number) {}

        private final String topic;
        private final int partitions;
        private final ConcurrentLinkedQueue<Ack> acks = new ConcurrentLinkedQueue<>();
        private final AtomicLong acked = new AtomicLong();
        private final AtomicLong failed = new AtomicLong();
        private final Thread thread;
        private volatile boolean stopping;
        private volatile long sent;

        /** As fast as it can, or with `perSecond` records in each second; with so many requests in flight. */
        Load(String address, String topic, int partitions, long perSecond, String inFlight) {
            this.topic = topic;
            this.partitions = partitions;
            Properties config = producer(address);
            config.put("linger.ms", "1");
            config.put("max.in.flight.requests.per.connection", inFlight);
            config.put("buffer.memory", "4000000");
            config.put("max.block.ms", "120000");
            KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config);
            thread = new Thread(() -> {
                for (long number = 0; !stopping; number++) {
                    long mine = number;
                    int partition = (int) (number % partitions);
                    sent = number + 1;
                    if (perSecond > 0) {
                        LockSupport.parkNanos(1_000_000_000L / perSecond);
                    }
                    java.util.concurrent.Future<?> one = producer.send(new ProducerRecord<>(topic, partition, null, bytes("load-" + number)), (metadata, problem) -> {
                        if (problem == null) {
                            acks.add(new Ack(metadata.partition(), metadata.offset(), mine));
                            synchronized (acked) {
                                acked.incrementAndGet();
                                acked.notifyAll();
                            }
                        } else if (failed.incrementAndGet() <= 3) {
                            problem.printStackTrace();
                        }
                    });
                    if (number < partitions) {
                        // As in produceRich: Kafka itself wants the first batch of each partition to be alone.
                        await(one);
                    }
                }
                producer.close(Duration.ofSeconds(120));
            });
            thread.start();
            System.out.println("started");
        }

        /** Until it is acked, or failed: the callback has counted it. */
        private static void await(java.util.concurrent.Future<?> one) {
            try {
                one.get();
            } catch (java.util.concurrent.ExecutionException | InterruptedException counted) {
                System.err.println(counted);
            }
        }

        /** Until `more` further acks have come. */
        void await(long more, long seconds) throws InterruptedException {
            long want = acked.get() + more;
            long deadline = System.nanoTime() + Duration.ofSeconds(seconds).toNanos();
            synchronized (acked) {
                while (acked.get() < want) {
                    long left = (deadline - System.nanoTime()) / 1_000_000;
                    Peer.check(left > 0, "only " + acked.get() + " acks of " + want + ", " + failed.get() + " failed");
                    acked.wait(left);
                }
            }
            System.out.println(acked.get());
        }

        void stop() throws InterruptedException {
            stopping = true;
            thread.join();
            System.out.println("sent " + sent + " acked " + acked.get() + " failed " + failed.get());
        }

        /** The negative control: with one ack more than was given, the check must find a loss. */
        void control(String address) {
            Ack never = new Ack(0, Long.MAX_VALUE, sent + 1);
            acks.add(never);
            try {
                check(address);
            } catch (IllegalStateException found) {
                System.out.println("noticed");
                return;
            } finally {
                acks.remove(never);
            }
            throw new IllegalStateException("a record that was never stored was taken for kept");
        }

        /** Every acked record is at the offset that the ack named; nothing stands twice; each partition keeps the order sent. */
        void check(String address) {
            Map<Integer, List<ConsumerRecord<byte[], byte[]>>> read = readAll(address, topic, partitions);
            Map<String, String> at = new HashMap<>();
            Set<String> seen = new HashSet<>();
            long total = 0;
            for (Map.Entry<Integer, List<ConsumerRecord<byte[], byte[]>>> log : read.entrySet()) {
                long before = -1;
                for (ConsumerRecord<byte[], byte[]> record : log.getValue()) {
                    String value = new String(record.value(), StandardCharsets.UTF_8);
                    long number = Long.parseLong(value.substring("load-".length()));
                    Peer.check(seen.add(value), value + " stands twice in partition " + log.getKey());
                    Peer.check(number > before, value + " stands after load-" + before + " in partition " + log.getKey());
                    before = number;
                    at.put(log.getKey() + ":" + record.offset(), value);
                    total++;
                }
            }
            for (Ack ack : acks) {
                String got = at.get(ack.partition() + ":" + ack.offset());
                Peer.check(("load-" + ack.number()).equals(got),
                    "acked load-" + ack.number() + " at " + ack.partition() + ":" + ack.offset() + " is lost; there stands " + got);
            }
            System.out.println("kept " + acked.get() + " acked of " + total + " stored");
        }
    }
}
