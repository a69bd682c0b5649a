import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Members of consumer groups, each on a thread of its own. A member tells in lines what it does, in the order in which it does it:
 *
 *   generation G | assigned P | read P FROM TO | committed P OFFSET | refused WHY | revoked P | lost P | end | failed WHY
 *
 * FROM is the first offset of what a poll gave, TO the one after the last. It commits after each poll, synchronously.
 */
final class Members {
    private static final Map<String, Member> MEMBERS = new HashMap<>();
    private static final Duration POLL = Duration.ofMillis(50);

    private Members() {}

    /** NAME ADDRESS GROUP TOPIC [key=value]: a member that runs until it is told to stop; `seek=MS` begins at that time. */
    static void start(String[] words) {
        Properties config = new Properties();
        config.put("bootstrap.servers", words[1]);
        config.put("group.id", words[2]);
        config.put("client.id", words[0]);
        config.put("key.deserializer", ByteArrayDeserializer.class.getName());
        config.put("value.deserializer", ByteArrayDeserializer.class.getName());
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        config.put("reconnect.backoff.ms", "20");
        config.put("reconnect.backoff.max.ms", "200");
        config.put("retry.backoff.ms", "20");
        for (int i = 4; i < words.length; i++) {
            config.put(words[i].substring(0, words[i].indexOf('=')), words[i].substring(words[i].indexOf('=') + 1));
        }
        Object seek = config.remove("seek");
        Member member = new Member(config, words[3], seek == null ? null : Long.valueOf((String) seek));
        MEMBERS.put(words[0], member);
        member.thread.start();
    }

    /** NAME FROM SECONDS: the lines from number FROM on, when there is one or the time is over. */
    static void lines(String name, int from, long seconds) throws InterruptedException {
        Member member = MEMBERS.get(name);
        long deadline = System.nanoTime() + Duration.ofSeconds(seconds).toNanos();
        synchronized (member.lines) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            while (member.lines.size() <= from && left > 0) {
                member.lines.wait(left);
                left = (deadline - System.nanoTime()) / 1_000_000;
            }
            member.lines.subList(Math.min(from, member.lines.size()), member.lines.size()).forEach(System.out::println);
        }
    }

    /** NAME leave|vanish: it commits and says goodbye, or is gone without a word. */
    static void stop(String name, String how) throws InterruptedException {
        Member member = MEMBERS.get(name);
        member.vanishes = how.equals("vanish");
        member.stopping = true;
        member.thread.join();
    }

    private static final class Member implements ConsumerRebalanceListener {
        final List<String> lines = new ArrayList<>();
        final Thread thread;
        volatile boolean stopping;
        volatile boolean vanishes;
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final String topic;
        private final Long seek;
        /** What was read and not committed: a commit that is refused in a rebalance is repeated for the partitions that stay. */
        private final Map<TopicPartition, OffsetAndMetadata> uncommitted = new HashMap<>();

        Member(Properties config, String topic, Long seek) {
            this.topic = topic;
            this.seek = seek;
            this.consumer = new KafkaConsumer<>(config);
            this.thread = new Thread(this::run);
            this.thread.setDaemon(true);
        }

        private void say(String line) {
            synchronized (lines) {
                lines.add(line);
                lines.notifyAll();
            }
        }

        private void run() {
            try {
                consumer.subscribe(List.of(topic), this);
                while (!stopping) {
                    turn();
                }
                CloseOptions.GroupMembershipOperation how = vanishes
                    ? CloseOptions.GroupMembershipOperation.REMAIN_IN_GROUP : CloseOptions.GroupMembershipOperation.DEFAULT;
                consumer.close(CloseOptions.groupMembershipOperation(how).withTimeout(Duration.ofSeconds(30)));
                say("end");
            } catch (Throwable problem) {
                say("failed " + problem);
            }
        }

        private void turn() {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
            for (TopicPartition partition : records.partitions()) {
                List<ConsumerRecord<byte[], byte[]>> some = records.records(partition);
                long first = some.get(0).offset();
                for (int i = 0; i < some.size(); i++) {
                    if (some.get(i).offset() != first + i) {
                        throw new IllegalStateException(partition + ": " + some.get(i).offset() + " after " + (first + i - 1));
                    }
                }
                say("read " + partition.partition() + " " + first + " " + (first + some.size()));
                uncommitted.put(partition, new OffsetAndMetadata(first + some.size()));
            }
            if (!uncommitted.isEmpty() && !vanishes) {
                commit();
            }
        }

        private void commit() {
            try {
                consumer.commitSync(uncommitted);
                uncommitted.forEach((partition, at) -> say("committed " + partition.partition() + " " + at.offset()));
                uncommitted.clear();
            } catch (RetriableException | RebalanceInProgressException | CommitFailedException late) {
                say("refused " + late.getClass().getSimpleName());
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            say("generation " + consumer.groupMetadata().generationId());
            partitions.forEach(partition -> say("assigned " + partition.partition()));
            if (seek != null) {
                Map<TopicPartition, Long> times = new HashMap<>();
                partitions.forEach(partition -> times.put(partition, seek));
                consumer.offsetsForTimes(times).forEach((partition, found) -> consumer.seek(partition, found.offset()));
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            // Everything that poll gave is committed already; what was refused then is read again by the next owner.
            partitions.forEach(partition -> gone("revoked ", partition));
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            partitions.forEach(partition -> gone("lost ", partition));
        }

        private void gone(String how, TopicPartition partition) {
            uncommitted.remove(partition);
            say(how + partition.partition());
        }
    }
}
