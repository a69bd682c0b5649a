// Makes kafka-consumer.txt: what the classes of Apache Kafka's own coordinator (kafka-group-coordinator 4.4.0) say of consumer groups.
//
//   java -cp 'kafka_2.13-4.4.0/libs/*' ConsumerVectors.java > kafka-consumer.txt
//
//   broker ID RACK                                         a broker of the image that follows; ~ for no rack
//   topic ID NAME REPLICAS;REPLICAS..                      a topic of it, the replicas of each partition
//   hash NAMES = HASH                                      the hash of these topics in that image (Utils.computeGroupHash)
//   step MEMBER | TARGET-EPOCH TARGET CHANGED SUBSCRIBED OWNED | OWNERS = MEMBER
//                                                          a step of CurrentAssignmentBuilder, or fenced
//   regex PATTERN = NAMES                                  the names of the line `names` that RE2/J matches whole, or invalid
//
//   record KEY VALUE                                       a record of GroupCoordinatorRecordHelpers in hex, as GroupCoordinatorRecordSerde writes it
//
// A MEMBER is STATE EPOCH PREVIOUS ASSIGNED REVOKING. Assignments are topic:partition@epoch,partition@epoch;topic:.., targets and what a member
// says that it owns the same without epochs; - is nothing, ~ is null. OWNERS are the epochs of partitions that have an owner. Text is escaped as in
// Java, so that a line has only the spaces that this says.

import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.FencedMemberEpochException;
import org.apache.kafka.common.message.ConsumerGroupHeartbeatRequestData;
import org.apache.kafka.common.metadata.PartitionRecord;
import org.apache.kafka.common.metadata.RegisterBrokerRecord;
import org.apache.kafka.common.metadata.TopicRecord;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataImage;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.common.runtime.KRaftCoordinatorMetadataImage;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordHelpers;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.Utils;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupMemberMetadataValue;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.MemberState;
import org.apache.kafka.coordinator.group.modern.consumer.ConsumerGroupMember;
import org.apache.kafka.coordinator.group.modern.consumer.CurrentAssignmentBuilder;
import org.apache.kafka.coordinator.group.modern.consumer.ResolvedRegularExpression;
import org.apache.kafka.image.MetadataDelta;
import org.apache.kafka.image.MetadataImage;
import org.apache.kafka.image.MetadataProvenance;

public final class ConsumerVectors {
    private static final Random RANDOM = new Random(848);

    public static void main(String[] args) {
        for (int round = 0; round < 25; round++) hashes();
        for (int round = 0; round < 2000; round++) step();
        for (int round = 0; round < 60; round++) records();
        regexes();
    }

    private static String escape(String text) {
        StringBuilder out = new StringBuilder();
        for (char c : text.toCharArray()) out.append(c > ' ' && c < 127 && c != '\\' ? String.valueOf(c) : String.format("\\u%04x", (int) c));
        return out.toString();
    }

    // Hashes

    private static void hashes() {
        String[] racks = {null, "a", "rack-1", "", "z,z", "\u00e9", "\ud83d\ude00", "\uff5e", "a".repeat(300)};
        MetadataDelta delta = new MetadataDelta.Builder().setImage(MetadataImage.EMPTY).build();
        int brokers = 1 + RANDOM.nextInt(6);
        for (int id = 1; id <= brokers; id++) {
            String rack = racks[RANDOM.nextInt(racks.length)];
            delta.replay(new RegisterBrokerRecord().setBrokerId(id).setBrokerEpoch(id).setRack(rack).setFenced(false));
            System.out.println("broker " + id + " " + (rack == null ? "~" : "=" + escape(rack)));
        }
        List<String> names = new ArrayList<>();
        for (int topic = 0; topic < 1 + RANDOM.nextInt(5); topic++) {
            Uuid id = new Uuid(RANDOM.nextLong(), RANDOM.nextLong());
            String name = new String[] {"t", "T.", "topic-", "a_", "long".repeat(40)}[topic] + topic;
            names.add(name);
            delta.replay(new TopicRecord().setTopicId(id).setName(name));
            List<String> all = new ArrayList<>();
            for (int partition = 0; partition < 1 + RANDOM.nextInt(40); partition++) {
                List<Integer> replicas = new ArrayList<>();
                for (int broker = 1; broker <= brokers + 1; broker++) if (RANDOM.nextBoolean()) replicas.add(broker);
                if (replicas.isEmpty()) replicas.add(1);
                java.util.Collections.shuffle(replicas, RANDOM);
                delta.replay(new PartitionRecord().setTopicId(id).setPartitionId(partition).setReplicas(replicas).setIsr(replicas)
                    .setLeader(replicas.get(0)));
                all.add(replicas.stream().map(String::valueOf).collect(Collectors.joining(",")));
            }
            System.out.println("topic " + id + " " + name + " " + String.join(";", all));
        }
        CoordinatorMetadataImage image = new KRaftCoordinatorMetadataImage(delta.apply(MetadataProvenance.EMPTY));
        names.add("no-such-topic");
        for (int subset = 0; subset < 1 << names.size(); subset++) {
            Map<String, Long> hashes = new HashMap<>();
            List<String> asked = new ArrayList<>();
            for (int at = 0; at < names.size(); at++) {
                if ((subset & 1 << at) == 0) continue;
                asked.add(names.get(at));
                if (image.topicMetadata(names.get(at)).isPresent()) hashes.put(names.get(at), Utils.computeTopicHash(names.get(at), image));
            }
            System.out.println("hash " + (asked.isEmpty() ? "-" : String.join(",", asked)) + " = " + Utils.computeGroupHash(hashes));
        }
    }

    // Steps

    private static final int TOPICS = 4;

    private static CoordinatorMetadataImage small() {
        MetadataDelta delta = new MetadataDelta.Builder().setImage(MetadataImage.EMPTY).build();
        for (int topic = 1; topic <= TOPICS; topic++) {
            delta.replay(new TopicRecord().setTopicId(new Uuid(0, topic)).setName("t" + topic));
        }
        return new KRaftCoordinatorMetadataImage(delta.apply(MetadataProvenance.EMPTY));
    }

    private static Map<Uuid, Map<Integer, Integer>> withEpochs(int epoch, double density, Map<Uuid, Map<Integer, Integer>> without) {
        Map<Uuid, Map<Integer, Integer>> all = new HashMap<>();
        for (int topic = 1; topic <= TOPICS + 1; topic++) {
            Map<Integer, Integer> partitions = new HashMap<>();
            for (int partition = 0; partition < 4; partition++) {
                boolean isTaken = without.getOrDefault(new Uuid(0, topic), Map.of()).containsKey(partition);
                if (!isTaken && RANDOM.nextDouble() < density) partitions.put(partition, Math.max(0, epoch - RANDOM.nextInt(3)));
            }
            if (!partitions.isEmpty()) all.put(new Uuid(0, topic), partitions);
        }
        return all.isEmpty() ? Map.of() : all;
    }

    private static Map<Uuid, Set<Integer>> plain(Map<Uuid, Map<Integer, Integer>> from) {
        Map<Uuid, Set<Integer>> all = new HashMap<>();
        from.forEach((topic, partitions) -> all.put(topic, new HashSet<>(partitions.keySet())));
        return all;
    }

    private static String show(Map<Uuid, Map<Integer, Integer>> all) {
        return all.isEmpty() ? "-" : new TreeMap<>(all).entrySet().stream().map(topic -> topic.getKey().getLeastSignificantBits() + ":"
            + new TreeMap<>(topic.getValue()).entrySet().stream().map(one -> one.getKey() + "@" + one.getValue()).collect(Collectors.joining(",")))
            .collect(Collectors.joining(";"));
    }

    private static String showPlain(Map<Uuid, Set<Integer>> all) {
        return all.isEmpty() ? "-" : new TreeMap<>(all).entrySet().stream().map(topic -> topic.getKey().getLeastSignificantBits() + ":"
            + new TreeSet<>(topic.getValue()).stream().map(String::valueOf).collect(Collectors.joining(","))).collect(Collectors.joining(";"));
    }

    private static String show(ConsumerGroupMember member) {
        return member.state() + " " + member.memberEpoch() + " " + member.previousMemberEpoch() + " " + show(member.assignedPartitions()) + " "
            + show(member.partitionsPendingRevocation());
    }

    private static void step() {
        int epoch = RANDOM.nextInt(12);
        double[] densities = {0, 0.1, 0.4, 0.7};
        MemberState state = MemberState.values()[RANDOM.nextInt(10) == 0 ? 3 : RANDOM.nextInt(3)];
        Map<Uuid, Map<Integer, Integer>> assigned = withEpochs(epoch, densities[RANDOM.nextInt(4)], Map.of());
        boolean mayRevoke = state == MemberState.UNREVOKED_PARTITIONS || RANDOM.nextInt(8) == 0;
        Map<Uuid, Map<Integer, Integer>> revoking = mayRevoke ? withEpochs(epoch, densities[RANDOM.nextInt(4)], assigned) : Map.of();
        Set<String> names = new TreeSet<>();
        Set<String> byRegex = new TreeSet<>();
        for (int topic = 1; topic <= TOPICS + 2; topic++) {
            if (RANDOM.nextInt(3) > 0) names.add("t" + topic);
            if (RANDOM.nextInt(3) == 0) byRegex.add("t" + topic);
        }
        if (RANDOM.nextInt(12) == 0) names.clear();
        boolean hasRegex = RANDOM.nextInt(3) == 0;
        boolean isResolved = RANDOM.nextInt(4) > 0;
        ConsumerGroupMember member = new ConsumerGroupMember.Builder("m").setState(state).setMemberEpoch(epoch)
            .setPreviousMemberEpoch(Math.max(0, epoch - RANDOM.nextInt(2))).setSubscribedTopicNames(new ArrayList<>(names))
            .setSubscribedTopicRegex(hasRegex ? "regex" : "").setAssignedPartitions(assigned).setPartitionsPendingRevocation(revoking).build();
        int targetEpoch = epoch + RANDOM.nextInt(3);
        Map<Uuid, Set<Integer>> target = plain(RANDOM.nextInt(4) == 0 ? assigned : withEpochs(epoch, densities[RANDOM.nextInt(4)], Map.of()));
        boolean hasChanged = RANDOM.nextBoolean();
        Map<Uuid, Set<Integer>> owned = switch (RANDOM.nextInt(5)) {
            case 0 -> null;
            case 1 -> Map.of();
            case 2 -> plain(withEpochs(epoch, 0.3, Map.of()));
            case 3 -> plain(assigned);
            default -> {
                Map<Uuid, Set<Integer>> both = plain(assigned);
                plain(revoking).forEach((topic, partitions) -> both.computeIfAbsent(topic, t -> new HashSet<>()).addAll(partitions));
                yield both;
            }
        };
        Map<Uuid, Map<Integer, Integer>> owners = new HashMap<>();
        withEpochs(epoch, densities[RANDOM.nextInt(3)], Map.of()).forEach((topic, partitions) -> owners.put(topic, new HashMap<>(partitions)));
        for (Map<Uuid, Map<Integer, Integer>> own : List.of(assigned, revoking)) own.forEach((topic, partitions) ->
            partitions.keySet().forEach(partition -> owners.computeIfAbsent(topic, t -> new HashMap<>()).put(partition, epoch)));
        TreeSet<String> subscribed = new TreeSet<>(names);
        if (hasRegex && isResolved) subscribed.addAll(byRegex);
        String ids = subscribed.stream().map(name -> name.substring(1)).filter(id -> Integer.parseInt(id) <= TOPICS).collect(Collectors.joining(","));
        String after;
        try {
            after = show(new CurrentAssignmentBuilder(member)
                .withMetadataImage(small())
                .withTargetAssignment(targetEpoch, new Assignment(target))
                .withHasSubscriptionChanged(hasChanged)
                .withResolvedRegularExpressions(isResolved ? Map.of("regex", new ResolvedRegularExpression(byRegex, 1, 1)) : Map.of())
                .withCurrentPartitionEpoch((topic, partition) -> owners.getOrDefault(topic, Map.of()).getOrDefault(partition, -1))
                .withOwnedTopicPartitions(owned == null ? null : owned.entrySet().stream().map(topic ->
                    new ConsumerGroupHeartbeatRequestData.TopicPartitions().setTopicId(topic.getKey())
                        .setPartitions(new ArrayList<>(topic.getValue()))).toList())
                .build());
        } catch (FencedMemberEpochException e) {
            after = "fenced";
        }
        System.out.println("step " + show(member) + " | " + targetEpoch + " " + showPlain(target) + " " + hasChanged + " "
            + (ids.isEmpty() ? "-" : ids) + " " + (owned == null ? "~" : showPlain(owned)) + " | " + show(owners) + " = " + after);
    }

    // Records

    private static void show(CoordinatorRecord record) {
        GroupCoordinatorRecordSerde serde = new GroupCoordinatorRecordSerde();
        byte[] value = serde.serializeValue(record);
        System.out.println("record " + HexFormat.of().formatHex(serde.serializeKey(record)) + " " + (value == null ? "~" : HexFormat.of().formatHex(value)));
    }

    private static Map<Uuid, Map<Integer, Integer>> sorted(Map<Uuid, Map<Integer, Integer>> from) {
        Map<Uuid, Map<Integer, Integer>> all = new TreeMap<>();
        from.forEach((topic, partitions) -> all.put(topic, new TreeMap<>(partitions)));
        return all;
    }

    private static void records() {
        int epoch = RANDOM.nextInt(1000);
        Map<Uuid, Map<Integer, Integer>> assigned = sorted(withEpochs(epoch, 0.3, Map.of()));
        Map<Uuid, Map<Integer, Integer>> revoking = RANDOM.nextBoolean() ? Map.of() : sorted(withEpochs(epoch, 0.3, assigned));
        List<String> names = RANDOM.ints(RANDOM.nextInt(4), 0, 99).mapToObj(n -> "topic." + n).distinct().toList();
        ConsumerGroupMember.Builder builder = new ConsumerGroupMember.Builder("member").setState(MemberState.values()[RANDOM.nextInt(3)])
            .setMemberEpoch(epoch).setPreviousMemberEpoch(Math.max(0, epoch - 1)).setSubscribedTopicNames(names)
            .setInstanceId(RANDOM.nextBoolean() ? null : "instance").setRackId(RANDOM.nextBoolean() ? null : "rack")
            .setClientId("client").setClientHost("/127.0.0.1").setRebalanceTimeoutMs(RANDOM.nextInt(300_000))
            .setSubscribedTopicRegex(new String[] {null, "", "t.*"}[RANDOM.nextInt(3)])
            .setServerAssignorName(new String[] {null, "uniform", "range"}[RANDOM.nextInt(3)])
            .setAssignedPartitions(assigned).setPartitionsPendingRevocation(revoking);
        if (RANDOM.nextInt(4) == 0) {
            builder.setClassicMemberMetadata(new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata().setSessionTimeoutMs(RANDOM.nextInt(60_000))
                .setSupportedProtocols(List.of(new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName("range").setMetadata(new byte[] {1, 2, 3}))));
        }
        ConsumerGroupMember member = builder.build();
        Map<Uuid, Set<Integer>> target = new TreeMap<>();
        assigned.forEach((topic, partitions) -> target.put(topic, new TreeSet<>(partitions.keySet())));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupMemberSubscriptionRecord("g", member));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupEpochRecord("g", epoch, RANDOM.nextLong()));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentRecord("g", "member", target));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentMetadataRecord("g", epoch, RANDOM.nextBoolean() ? 0 : RANDOM.nextLong()));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupCurrentAssignmentRecord("g", member));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupRegularExpressionRecord("g", "t.*",
            new ResolvedRegularExpression(RANDOM.nextBoolean() ? Set.of() : Set.of("topic.1"), RANDOM.nextInt(), RANDOM.nextLong())));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupCurrentAssignmentTombstoneRecord("g", "member"));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentTombstoneRecord("g", "member"));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentMetadataTombstoneRecord("g"));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupMemberSubscriptionTombstoneRecord("g", "member"));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupRegularExpressionTombstone("g", "t.*"));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupSubscriptionMetadataTombstoneRecord("g"));
        show(GroupCoordinatorRecordHelpers.newConsumerGroupEpochTombstoneRecord("g"));
    }

    // Expressions

    private static void regexes() {
        List<String> names = List.of("a", "b", "ab", "abc", "A", "foo", "foo.bar", "foo-bar", "foo_bar", "fooxbar", "bar", "bar.1", "bar.22", "1", "12",
            "a.b", "axb", "a+b", "aab", "__consumer_offsets", "_x", "orders.eu", "orders.us", "Orders.EU", "x-y-z", "a-z", "aaaa", "-");
        System.out.println("names " + String.join(" ", names));
        String[] patterns = {
            "a", ".*", "", "a|b", "a|ab", "(a|b)", "a)|(?:b", "a)(b", "(", ")", "[", "[a", "a**", "*", "a{2,3}", "a{2", "a{,2}", "a{1001}", "a{1000}", "{", "a{", "}", "foo.*",
            "foo\\..*", "foo[.]bar", "foo[._-]bar", "^foo$", "^foo", "foo$", "\\Afoo\\z", "foo\\Z", "bar\\.\\d+", "\\w+", "\\W", "[\\w.]+", "\\d{1,2}",
            "(?i)orders.*", "(?i)ORDERS\\.(eu|us)", "orders\\.(?:eu|us)", "(?P<x>foo).*", "(?<x>foo).*", "(?=foo).*", "(?!foo).*", "(?<=a)b", "(a)\\1", "a++", "a*+",
            "\\Qa.b\\E", "\\Qa+b", "\\Qfoo\\E.*", "\\Q\\E", "[[:alpha:]]+", "[^a]", "[a-c]+", "[c-a]", "\\pL+", "\\p{L}+", "\\p{Greek}", "\\p{Nope}", "\\x61", "\\x{61}",
            "\\141", "\\u0061", "\\a", "\\y", "\\-", "x\\-y\\-z", "\\_x", "(?s).*", "(?m)^foo$", "(?U)a*", "(?x)a b", "(?-i)a", "(?z)a", "a#b", "a b",
            "[a-z&&[^b]]+", "[a&&b]", "[a--b]", "[a~~b]", "[[a]]", "[a[b]+", "[]a]", "[^]a]", "[a-]+", "[-a]+", "a.b", "a\\.b", "a\\+b", "__.*", "[^_].*", ".", "..", ".{4,}", "\\bfoo\\b.*",
            "\\Bfoo", "foo(\\.bar)?", "(foo|bar).*", "(a*)*", "(a+)+b", "((a{1,100}){1,100})", "\\C", "a|", "|a", "()", "(?:)", "(|a)+", "\\/", "\\<a", "a\\>", "\\ ", "\\!", "\\é",
            "\\p{IsLatin}", "\\p{Script=Latin}", "\\p{Lowercase}", "\\p{latin}", "\\p{LC}", "\\p{Cn}", "\\p{Cs}", "\\P{Cs}+", "\\p{Unknown}", "\\P{Unknown}+",
            "\\p{Any}+", "\\p{^Greek}+", "\\P{^Latin}+", "\\P{^Greek}", "\\p{^^Greek}", "\\p^L", "\\pX", "\\PN+", "\\p{Nd}+", "\\p{", "\\p{}", "\\p",
            "[\\p{^Greek}]+", "[^\\p{^Latin}]+", "[\\PL]+", "[[:foo:]]", "[[:Alpha:]]", "[[:^digit:]]+", "[[:word:]]+", "[[::]]", "[[:alpha]+", "(?P<1n>a).*",
            "(?P<n>a)(?P<n>b)", "(?P<n>a)(?<n>b)", "(?P<>a)", "(?P<n-m>a)", "(?P<é>a)", "(?P<n", "(?<n>a)|(?<m>b)", "(?P=n)", "(?P>n)", "(?'n'a)"};
        for (String pattern : patterns) {
            String found;
            try {
                Pattern compiled = Pattern.compile(pattern);
                found = names.stream().filter(name -> compiled.matcher(name).matches()).collect(Collectors.joining(","));
                if (found.isEmpty()) found = "-none";
            } catch (PatternSyntaxException e) {
                found = "-invalid";
            }
            System.out.println("regex =" + escape(pattern) + " = " + found);
        }
    }
}
