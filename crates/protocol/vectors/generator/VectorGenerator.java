import java.io.File;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.jar.JarFile;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.internals.ImplicitLinkedHashCollection;

/**
 * Writes what Kafka's own message classes write, for every message and version that the class path holds. See ../README.md for
 * how to run it and for the form of the files. Which fields a version has, and which of them may be null, is asked from the
 * schemas that Kafka's classes carry, so nothing here knows a message by name.
 */
public final class VectorGenerator {
    /** What stands in the fields of one vector. */
    enum Kind {
        /** Nothing was set. */
        DEFAULT,
        /** Everything is set; in the second element of an array, what may be null is null. */
        FILLED,
        /** As filled, but everything that may be null is null. */
        NULLS,
        /** Everything that the newest version has is set and nothing is null, then written in an older version. */
        OLDER
    }

    /** In place of bytes: the version cannot carry the message. */
    private static final String REFUSED = "refused";

    /** A tag that no schema uses: readers must keep or skip it. */
    private static final int UNKNOWN_TAG = 9_999;

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            throw new IllegalArgumentException("usage: java -cp 'KAFKA/libs/*' VectorGenerator.java OUTPUT_FOLDER");
        }
        Map<String, StringBuilder> files = new TreeMap<>();
        StringBuilder values = new StringBuilder();
        for (Map.Entry<String, Class<?>> message : messages().entrySet()) {
            StringBuilder out = files.computeIfAbsent(family(message.getValue()), name -> new StringBuilder());
            write(message.getKey(), message.getValue(), out, values);
        }
        files.put("values", values);
        for (Map.Entry<String, StringBuilder> file : files.entrySet()) {
            Files.writeString(Path.of(args[0], file.getKey() + ".txt"), file.getValue());
        }
    }

    /** Every generated message of the class path by Kafka's name; a generated class has a JSON converter beside it. */
    private static Map<String, Class<?>> messages() throws Exception {
        Map<String, Class<?>> found = new TreeMap<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!entry.endsWith(".jar")) {
                continue;
            }
            try (JarFile jar = new JarFile(entry)) {
                List<String> names = jar.stream().map(item -> item.getName()).toList();
                for (String name : names) {
                    String base = name.replace("JsonConverter.class", "");
                    if (base.equals(name) || name.contains("$") || !names.contains(base + ".class")) {
                        continue;
                    }
                    Class<?> type = Class.forName(base.replace('/', '.'));
                    if (ApiMessage.class.isAssignableFrom(type)) {
                        found.put(type.getSimpleName().replaceFirst("(Request|Response|Header)Data$", "$1"), type);
                    }
                }
            }
        }
        return found;
    }

    private static String family(Class<?> type) {
        String name = type.getSimpleName();
        if (type.getPackageName().endsWith(".common.metadata")) {
            return "metadata";
        }
        return name.endsWith("RequestData") ? "requests" : name.endsWith("ResponseData") ? "responses" : "log";
    }

    /** One vector, and the first and last version that have exactly it. */
    private record Vector(Kind kind, int from, int to, String bytes, String values) {
        boolean same(Vector other) {
            return kind == other.kind && bytes.equals(other.bytes) && values.equals(other.values);
        }
    }

    private static void write(String name, Class<?> type, StringBuilder out, StringBuilder values) throws Exception {
        ApiMessage sample = (ApiMessage) type.getDeclaredConstructor().newInstance();
        short low = sample.lowestSupportedVersion();
        short high = sample.highestSupportedVersion();
        out.append(name).append(' ').append(low).append('-').append(high).append('\n');
        for (Kind kind : Kind.values()) {
            List<Vector> vectors = new ArrayList<>();
            for (short version = low; version <= high; version++) {
                Vector next = vector(type, version, kind);
                if (kind == Kind.OLDER && low == high) {
                    continue;
                }
                if (kind == Kind.NULLS && next.bytes.equals(vector(type, version, Kind.FILLED).bytes)) {
                    continue; // nothing in this version may be null
                }
                Vector last = vectors.isEmpty() ? null : vectors.get(vectors.size() - 1);
                if (last != null && last.to == version - 1 && last.same(next)) {
                    vectors.set(vectors.size() - 1, new Vector(kind, last.from, version, next.bytes, next.values));
                } else {
                    vectors.add(next);
                }
            }
            for (Vector vector : vectors) {
                out.append(String.format("  %s %d-%d %s %016x%n", kind.name().toLowerCase(Locale.ROOT), vector.from, vector.to,
                    vector.bytes.isEmpty() ? "-" : vector.bytes, fnv1a(vector.values)));
            }
            if (kind == Kind.FILLED) {
                values.append(name).append(' ').append(high).append(' ')
                    .append(vectors.get(vectors.size() - 1).values).append('\n');
            }
        }
    }

    private static Vector vector(Class<?> type, short version, Kind kind) throws Exception {
        ApiMessage message = (ApiMessage) type.getDeclaredConstructor().newInstance();
        if (kind != Kind.DEFAULT) {
            fill(message, kind == Kind.OLDER ? message.highestSupportedVersion() : version, type.getSimpleName(), kind);
        }
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer;
        try {
            buffer = ByteBuffer.allocate(message.size(cache, version));
            message.write(new ByteBufferAccessor(buffer), cache, version);
        } catch (UnsupportedVersionException refused) {
            if (kind != Kind.OLDER) {
                throw refused;
            }
            return new Vector(kind, version, version, REFUSED, "");
        }
        if (buffer.hasRemaining()) {
            throw new IllegalStateException(type + " v" + version + ": " + buffer.remaining() + " bytes fewer than announced");
        }
        // What a version does not carry is gone: the values are those that Kafka itself reads back.
        buffer.flip();
        Message read = (Message) type.getDeclaredConstructor().newInstance();
        read.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException(type + " v" + version + ": " + buffer.remaining() + " bytes were not read");
        }
        StringBuilder values = new StringBuilder();
        print(read, values);
        return new Vector(kind, version, version, HexFormat.of().formatHex(buffer.array()), values.toString());
    }

    // -- Filling

    private static void fill(Message message, short version, String path, Kind kind) throws Exception {
        for (BoundField bound : schemas(message.getClass())[version].fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (org.apache.kafka.common.protocol.types.Field field : tagged.fields().values()) {
                    fillField(message, field.name, field.type, version, path, kind);
                }
                if (kind != Kind.OLDER) { // a version without tagged fields would refuse it
                    byte[] value = {(byte) hash(path), 1, 2};
                    message.unknownTaggedFields().add(new RawTaggedField(UNKNOWN_TAG, value));
                }
            } else {
                fillField(message, bound.def.name, bound.def.type, version, path, kind);
            }
        }
    }

    private static void fillField(Message message, String name, org.apache.kafka.common.protocol.types.Type type,
                                  short version, String path, Kind kind) throws Exception {
        Field field = field(message.getClass(), name);
        boolean absent = kind == Kind.NULLS && type.isNullable();
        Object old = field.get(message);
        Object value = absent ? null : value(field.getGenericType(), old, type, version, path + "." + plain(name), kind);
        field.set(message, value);
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Object value(Type type, Object old, org.apache.kafka.common.protocol.types.Type wire, short version, String path,
                                Kind kind) throws Exception {
        if (type instanceof ParameterizedType list) {
            return fillList(new ArrayList<>(), list.getActualTypeArguments()[0], wire, version, path, kind);
        }
        Class<?> plain = (Class<?>) type;
        if (ImplicitLinkedHashCollection.class.isAssignableFrom(plain)) {
            Type element = ((ParameterizedType) plain.getGenericSuperclass()).getActualTypeArguments()[0];
            Collection empty = (Collection) plain.getConstructor(int.class).newInstance(2);
            return fillList(empty, element, wire, version, path, kind);
        }
        if (Message.class.isAssignableFrom(plain)) {
            Message inner = (Message) plain.getDeclaredConstructor().newInstance();
            fill(inner, version, path, kind);
            return inner;
        }
        return leaf(plain, old, wire, path);
    }

    private static Collection<Object> fillList(Collection<Object> list, Type element, org.apache.kafka.common.protocol.types.Type wire,
                                               short version, String path, Kind kind) throws Exception {
        org.apache.kafka.common.protocol.types.Type inner = wire.arrayElementType().orElseThrow();
        list.add(value(element, null, inner, version, path + "[0]", kind));
        list.add(value(element, null, inner, version, path + "[1]", kind == Kind.FILLED ? Kind.NULLS : kind));
        return list;
    }

    /** A value that depends on the path alone, and is not the field's default. */
    private static Object leaf(Class<?> type, Object old, org.apache.kafka.common.protocol.types.Type wire, String path) {
        long hash = hash(path);
        if (type == boolean.class) {
            return !((Boolean) old);
        } else if (type == byte.class || type == Byte.class) {
            return other((byte) hash, (byte) (hash >> 8), old);
        } else if (type == short.class || type == Short.class) {
            return other((short) hash, (short) (hash >> 16), old);
        } else if (type == int.class || type == Integer.class) {
            boolean unsigned = wire == org.apache.kafka.common.protocol.types.Type.UINT16;
            int mask = unsigned ? 0xffff : -1;
            return other((int) hash & mask, (int) (hash >> 16) & mask, old);
        } else if (type == long.class || type == Long.class) {
            boolean unsigned = wire == org.apache.kafka.common.protocol.types.Type.UNSIGNED_INT32;
            return unsigned ? (Object) (hash & 0xffffffffL) : (Object) hash;
        } else if (type == double.class) {
            return (hash & 0xffff) / 8.0 + 0.5;
        } else if (type == String.class) {
            String name = path.substring(path.lastIndexOf('.') + 1);
            // Elements of one array differ, and one text in four has a character of two bytes.
            return name + String.format("%02x", (hash >> 8) & 0xff) + ((hash & 3) == 0 ? "é" : "");
        } else if (type == byte[].class) {
            return bytes(hash);
        } else if (type == ByteBuffer.class) {
            return ByteBuffer.wrap(bytes(hash));
        } else if (type == Uuid.class) {
            return new Uuid(hash, hash(path + "'"));
        } else if (type == BaseRecords.class) {
            return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(1_700_000_000_000L, bytes(hash), null));
        }
        throw new IllegalStateException(path + ": no value for " + type);
    }

    private static Object other(Object first, Object second, Object than) {
        return first.equals(than) ? second : first;
    }

    private static byte[] bytes(long hash) {
        return new byte[] {(byte) hash, (byte) (hash >> 8), (byte) (hash >> 16)};
    }

    // -- Printing

    /** The message as `{field=value,..}`: the form that the test brings decoded messages into as well. */
    private static void print(Message message, StringBuilder out) throws Exception {
        out.append('{');
        String comma = "";
        for (Field field : message.getClass().getDeclaredFields()) {
            // Left out: constants, places in a collection, and fields of versions that Kafka 4.4 has no more.
            if (Modifier.isStatic(field.getModifiers()) || !written(message.getClass()).contains(plain(field.getName()))) {
                continue;
            }
            field.setAccessible(true);
            out.append(comma).append(plain(field.getName())).append('=');
            printValue(field.get(message), out);
            comma = ",";
        }
        // Asking makes an empty list where there was none, so it is asked last.
        for (RawTaggedField tag : message.unknownTaggedFields()) {
            out.append(comma).append("tag").append(tag.tag()).append('=');
            printValue(tag.data(), out);
            comma = ",";
        }
        out.append('}');
    }

    private static void printValue(Object value, StringBuilder out) throws Exception {
        if (value instanceof Message message) {
            print(message, out);
        } else if (value instanceof Collection<?> list) {
            String comma = "[";
            for (Object element : list) {
                out.append(comma);
                printValue(element, out);
                comma = ",";
            }
            out.append(list.isEmpty() ? "[]" : "]");
        } else if (value instanceof byte[] bytes) {
            List<Object> numbers = new ArrayList<>();
            for (byte one : bytes) {
                numbers.add(one & 0xff);
            }
            printValue(numbers, out);
        } else if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            printValue(bytes, out);
        } else if (value instanceof MemoryRecords records) {
            printValue(records.buffer(), out);
        } else if (value instanceof String) {
            out.append('"').append(value).append('"');
        } else {
            out.append(value);
        }
    }

    // -- Names and hashes

    /** Kafka's schemas, its classes and our structures write one name in three ways; this is what is common to them. */
    private static String plain(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    private static Field field(Class<?> type, String name) {
        Map<String, Field> fields = new LinkedHashMap<>();
        Arrays.stream(type.getDeclaredFields()).forEach(field -> fields.put(plain(field.getName()), field));
        Field field = fields.get(plain(name));
        field.setAccessible(true);
        return field;
    }

    private static Schema[] schemas(Class<?> type) throws Exception {
        return (Schema[]) type.getDeclaredField("SCHEMAS").get(null);
    }

    /** The fields that any version has. */
    private static Set<String> written(Class<?> type) throws Exception {
        Set<String> names = new HashSet<>();
        for (Schema schema : schemas(type)) {
            for (BoundField bound : schema == null ? new BoundField[0] : schema.fields()) {
                if (bound.def.type instanceof TaggedFields tagged) {
                    tagged.fields().values().forEach(field -> names.add(plain(field.name)));
                } else {
                    names.add(plain(bound.def.name));
                }
            }
        }
        return names;
    }

    /** FNV-1a with 64 bits. */
    private static long fnv1a(String text) {
        long hash = 0xcbf29ce484222325L;
        for (byte one : text.getBytes(StandardCharsets.UTF_8)) {
            hash = (hash ^ (one & 0xff)) * 0x100000001b3L;
        }
        return hash;
    }

    /** FNV-1a, mixed: near paths get far values. */
    private static long hash(String path) {
        long hash = fnv1a(path);
        hash = (hash ^ (hash >>> 33)) * 0xff51afd7ed558ccdL;
        return hash ^ (hash >>> 29);
    }
}
