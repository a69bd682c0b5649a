// Makes and reads the batches of kafka-batches.txt with Apache Kafka's own classes (kafka-clients 4.4.0).
//
//   javac -cp 'LIBS/*' -d OUT BatchVectors.java
//   java -cp 'LIBS/*:OUT' BatchVectors write > kafka-batches.txt
//   java -cp 'LIBS/*:OUT' BatchVectors read < FILE        (lines of the same form, one line printed per record)
//
// LIBS holds kafka-clients with its codecs: lz4-java, snappy-java, zstd-jni, slf4j-api. A line is a name and a batch in base64.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Consumer;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.compress.GzipCompression;
import org.apache.kafka.common.compress.Lz4Compression;
import org.apache.kafka.common.compress.ZstdCompression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.internals.ByteBufferOutputStream;

public final class BatchVectors {
    private static final long NOW = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("read")) {
            read();
            return;
        }
        for (CompressionType type : CompressionType.values()) {
            Compression codec = Compression.of(type).build();
            emit("small-" + type.name, codec, TimestampType.CREATE_TIME, Plain.INSTANCE, BatchVectors::small);
            if (type != CompressionType.NONE)
                emit("large-" + type.name, codec, TimestampType.CREATE_TIME, Plain.INSTANCE, BatchVectors::large);
        }
        for (int level : new int[] {1, 9})
            emit("large-gzip-" + level, new GzipCompression.Builder().level(level).build(), TimestampType.CREATE_TIME, Plain.INSTANCE, BatchVectors::large);
        for (int level : new int[] {1, 12, 17})
            emit("large-lz4-" + level, new Lz4Compression.Builder().level(level).build(), TimestampType.CREATE_TIME, Plain.INSTANCE, BatchVectors::large);
        for (int level : new int[] {-5, 19, 22})
            emit("large-zstd-" + level, new ZstdCompression.Builder().level(level).build(), TimestampType.CREATE_TIME, Plain.INSTANCE, BatchVectors::large);
        emit("appendtime", Compression.NONE, TimestampType.LOG_APPEND_TIME, Plain.INSTANCE, BatchVectors::small);
        emit("transactional", Compression.NONE, TimestampType.CREATE_TIME, new Plain(77L, (short) 3, Integer.MAX_VALUE - 1, true, false), BatchVectors::small);
        control();
    }

    private record Plain(long producerId, short epoch, int sequence, boolean transactional, boolean control) {
        static final Plain INSTANCE = new Plain(-1L, (short) -1, -1, false, false);
    }

    private static void emit(String name, Compression codec, TimestampType type, Plain producer, Consumer<MemoryRecordsBuilder> fill) {
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(new ByteBufferOutputStream(1024), RecordBatch.MAGIC_VALUE_V2, codec, type,
            5L, NOW, producer.producerId, producer.epoch, producer.sequence, producer.transactional, producer.control, 9, Integer.MAX_VALUE);
        fill.accept(builder);
        print(name, builder.build());
    }

    private static void print(String name, MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        System.out.println(name + " " + Base64.getEncoder().withoutPadding().encodeToString(bytes));
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static void small(MemoryRecordsBuilder builder) {
        Header[] headers = {new RecordHeader("trace", utf8("1")), new RecordHeader("trace", (byte[]) null), new RecordHeader("", new byte[0])};
        builder.append(NOW, utf8("key"), utf8("value"), headers);
        builder.append(NOW - 1_000_000_000L, null, utf8(""), Record.EMPTY_HEADERS);
        builder.append(NOW + 86_400_000L, utf8(""), null, new Header[] {new RecordHeader("\u00e4\ud83d\ude80", new byte[] {0, (byte) 255})});
    }

    // Over 64 KiB, so that every codec with blocks writes several.
    private static void large(MemoryRecordsBuilder builder) {
        for (int i = 0; i < 160; i++) {
            StringBuilder value = new StringBuilder();
            for (int word = 0; word < 60; word++)
                value.append("zone ").append((i * 7 + word) % 13).append(';');
            builder.append(NOW + i, utf8("k" + i), utf8(value.toString()), Record.EMPTY_HEADERS);
        }
    }

    private static void control() {
        Uuid directory = new Uuid(0x0102030405060708L, 0x1112131415161718L);
        print("commit", MemoryRecords.withEndTransactionMarker(40L, NOW, 9, 77L, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 12)));
        print("abort", MemoryRecords.withEndTransactionMarker(41L, NOW, 9, 77L, (short) 3, new EndTransactionMarker(ControlRecordType.ABORT, -1)));
        LeaderChangeMessage change = leaderChange((short) 0, Uuid.ZERO_UUID, Uuid.ZERO_UUID);
        print("leader-change-0", MemoryRecords.withLeaderChangeMessage(42L, NOW, 9, ByteBuffer.allocate(512), change));
        // Kafka writes and reads version 0 only, so far: of version 1 there is the value alone.
        ByteBuffer value = MessageUtil.toByteBufferAccessor(leaderChange((short) 1, directory, Uuid.ONE_UUID), (short) 1).buffer();
        System.out.println("leader-change-1-value " + Base64.getEncoder().withoutPadding().encodeToString(bytes(value)));
        SnapshotHeaderRecord header = new SnapshotHeaderRecord().setVersion((short) 0).setLastContainedLogTimestamp(NOW - 5);
        print("snapshot-header", MemoryRecords.withSnapshotHeaderRecord(0L, NOW, 9, ByteBuffer.allocate(256), header));
        print("snapshot-footer", MemoryRecords.withSnapshotFooterRecord(1L, NOW, 9, ByteBuffer.allocate(256), new SnapshotFooterRecord().setVersion((short) 0)));
        print("kraft-version", MemoryRecords.withKRaftVersionRecord(2L, NOW, 9, ByteBuffer.allocate(256), new KRaftVersionRecord().setVersion((short) 0).setKRaftVersion((short) 1)));
        VotersRecord.EndpointCollection endpoints = new VotersRecord.EndpointCollection();
        endpoints.add(new VotersRecord.Endpoint().setName("CONTROLLER").setHost("localhost").setPort(65_000));
        VotersRecord.Voter voter = new VotersRecord.Voter().setVoterId(1).setVoterDirectoryId(directory).setEndpoints(endpoints)
            .setKRaftVersionFeature(new VotersRecord.KRaftVersionFeature().setMinSupportedVersion((short) 0).setMaxSupportedVersion((short) 1));
        print("voters", MemoryRecords.withVotersRecord(3L, NOW, 9, ByteBuffer.allocate(512), new VotersRecord().setVersion((short) 0).setVoters(List.of(voter))));
    }

    private static LeaderChangeMessage leaderChange(short version, Uuid first, Uuid second) {
        LeaderChangeMessage.Voter one = new LeaderChangeMessage.Voter().setVoterId(1).setVoterDirectoryId(first);
        LeaderChangeMessage.Voter two = new LeaderChangeMessage.Voter().setVoterId(2).setVoterDirectoryId(second);
        return new LeaderChangeMessage().setVersion(version).setLeaderId(2).setVoters(List.of(one, two)).setGrantingVoters(List.of(two.duplicate()));
    }

    private static void read() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split(" ");
            MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Base64.getDecoder().decode(parts[1])));
            for (RecordBatch batch : records.batches()) {
                batch.ensureValid();
                for (Record record : batch) {
                    StringBuilder out = new StringBuilder(parts[0]);
                    out.append(' ').append(record.offset()).append(' ').append(record.timestamp());
                    out.append(' ').append(hex(record.hasKey() ? bytes(record.key()) : null)).append(' ').append(hex(record.hasValue() ? bytes(record.value()) : null));
                    for (Header header : record.headers())
                        out.append(' ').append(hex(utf8(header.key()))).append('=').append(hex(header.value()));
                    System.out.println(out);
                }
            }
        }
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "null" : "x" + HexFormat.of().formatHex(bytes);
    }
}
