// Makes kafka-assignors.txt: groups made at random, and what Apache Kafka's own assignors (kafka-group-coordinator 4.4.0) give them.
//
//   java -cp 'kafka_2.13-4.4.0/libs/*' AssignorVectors.java > kafka-assignors.txt
//
// The file is a list of scenarios. A step names the assignor; then come the topics with their partitions, and a line for every member: id,
// instance id or -, topics subscribed to, =, and what Kafka's assignor gave it; a topic is its place in the line of topics. What a member has at the beginning of a step is what the step
// before gave it; the first step of a scenario begins with nothing. A member `new<old` is a static one that comes back and takes what the old
// one had.
//
// Kafka's coordinator hands its assignors members and topics in the order of hash maps. Here they come sorted, so that the result is
// determined. One order stays Kafka's own: the uniform assignor walks the topics of a homogeneous group as a HashSet has them. Ids below 16
// come sorted out of that; where ids are random such a step is called `loose`, and only sizes and what was kept can be compared.
//
// Every step is assigned a second time with racks everywhere: an assignor that looked at them would be reported.

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

public final class AssignorVectors {
    /** A member; {@code took} names whom it replaced in this step. */
    private static final class Member {
        Optional<String> instance = Optional.empty();
        String took = "";
        TreeSet<Uuid> topics = new TreeSet<>();
        TreeMap<Uuid, TreeSet<Integer>> has = new TreeMap<>();
    }

    private enum Shape { SAME, MIXED, NESTED, ALIKE }

    private final Random random;
    private final Shape shape;
    private final boolean isLarge;
    private final boolean hasRandomIds;
    private final TreeMap<Uuid, Integer> counts = new TreeMap<>();
    private final TreeMap<String, Member> members = new TreeMap<>();
    private int nextId = 0;
    private int nextTopic = 1;

    private AssignorVectors(long seed) {
        random = new Random(seed);
        shape = Shape.values()[(int) (seed % 4)];
        isLarge = seed % 24 >= 20;
        hasRandomIds = seed % 8 >= 6;
        int topics = 1 + random.nextInt(isLarge ? 8 : 5);
        for (int i = 0; i < topics; i++) addTopic();
        int count = 1 + random.nextInt(isLarge ? 40 : 7);
        for (int i = 0; i < count; i++) join();
    }

    public static void main(String[] args) {
        StringBuilder out = new StringBuilder();
        for (long seed = 0; seed < 240; seed++) {
            AssignorVectors group = new AssignorVectors(seed);
            out.append("scenario ").append(seed).append('\n');
            int steps = group.isLarge ? 3 : 5;
            for (int step = 0; step < steps; step++) {
                if (step > 0) group.change();
                group.assign(seed, out);
            }
        }
        System.out.print(out);
    }

    private void addTopic() {
        Uuid id = hasRandomIds ? new Uuid(random.nextLong(), random.nextLong()) : new Uuid(0, nextTopic++);
        counts.put(id, 1 + random.nextInt(isLarge ? 30 : 12));
    }

    private void join() {
        Member member = new Member();
        if (random.nextInt(4) == 0) {
            String[] marks = {"", "\uFFFD", "\uD83D\uDE00", "-", "Z"};
            member.instance = Optional.of("i" + marks[random.nextInt(marks.length)] + (1000 - nextId));
        }
        subscribe(member);
        // Sorted by id, those that come later shall not always be last.
        members.put((char) ('a' + random.nextInt(26)) + "" + nextId++, member);
    }

    private void subscribe(Member member) {
        List<Uuid> all = new ArrayList<>(counts.keySet());
        member.topics.clear();
        switch (shape) {
            case SAME -> member.topics.addAll(all);
            case MIXED -> all.stream().filter(id -> random.nextBoolean()).forEach(member.topics::add);
            // Everybody has the first topics, some have more of them.
            case NESTED -> member.topics.addAll(all.subList(0, 1 + random.nextInt(all.size())));
            // All but a few are alike.
            case ALIKE -> {
                member.topics.addAll(all);
                if (random.nextInt(5) == 0) member.topics.remove(all.get(random.nextInt(all.size())));
            }
        }
    }

    private String anyone() {
        return new ArrayList<>(members.keySet()).get(random.nextInt(members.size()));
    }

    private void change() {
        members.values().forEach(member -> member.took = "");
        int changes = 1 + random.nextInt(isLarge ? 6 : 2);
        for (int i = 0; i < changes; i++) changeOnce();
    }

    private void changeOnce() {
        switch (random.nextInt(8)) {
            case 0, 1 -> { if (members.size() > 1) members.remove(anyone()); }
            case 2, 3 -> join();
            case 4 -> counts.merge(new ArrayList<>(counts.keySet()).get(random.nextInt(counts.size())), 1 + random.nextInt(3), Integer::sum);
            case 5 -> replaceTopic();
            case 6 -> { if (shape == Shape.SAME) addForAll(); else subscribe(members.get(anyone())); }
            default -> comeBack();
        }
    }

    private void addForAll() {
        if (nextTopic > 15) return;
        addTopic();
        members.values().forEach(this::subscribe);
    }

    /** A topic is deleted; one of another id takes its place. */
    private void replaceTopic() {
        if (nextTopic > 15) return;
        Uuid gone = new ArrayList<>(counts.keySet()).get(random.nextInt(counts.size()));
        Set<Uuid> before = new HashSet<>(counts.keySet());
        counts.remove(gone);
        addTopic();
        Uuid created = counts.keySet().stream().filter(id -> !before.contains(id)).findFirst().orElseThrow();
        members.values().forEach(member -> { if (member.topics.remove(gone)) member.topics.add(created); });
    }

    private void comeBack() {
        String old = anyone();
        Member member = members.get(old);
        if (member.instance.isEmpty() || !member.took.isEmpty() || member.has.isEmpty()) return;
        members.remove(old);
        member.took = old;
        members.put((char) ('a' + random.nextInt(26)) + "" + nextId++, member);
    }

    private GroupAssignment run(ConsumerGroupPartitionAssignor assignor, SubscriptionType type, boolean hasRacks) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new TreeMap<>();
        Map<Uuid, Map<Integer, String>> owners = new HashMap<>();
        int number = 0;
        for (Map.Entry<String, Member> entry : members.entrySet()) {
            Member member = entry.getValue();
            Optional<String> rack = hasRacks ? Optional.of("rack" + number++ % 3) : Optional.empty();
            Map<Uuid, Set<Integer>> has = new TreeMap<>(member.has);
            specs.put(entry.getKey(), new MemberSubscriptionAndAssignmentImpl(rack, member.instance, member.topics, new Assignment(has)));
            member.has.forEach((topic, partitions) -> partitions.forEach(partition -> {
                String other = owners.computeIfAbsent(topic, key -> new HashMap<>()).put(partition, entry.getKey());
                if (other != null) throw new IllegalStateException(topic + "-" + partition + " has two owners");
            }));
        }
        return assignor.assign(new GroupSpecImpl(Collections.unmodifiableMap(specs), type, owners), new SubscribedTopicDescriber() {
            @Override
            public int numPartitions(Uuid topic) {
                return counts.getOrDefault(topic, -1);
            }

            @Override
            public Set<String> racksForPartition(Uuid topic, int partition) {
                return hasRacks ? Set.of("rack" + partition % 3) : Set.of();
            }
        });
    }

    private void assign(long seed, StringBuilder out) {
        boolean isSame = members.values().stream().map(member -> member.topics).distinct().count() == 1;
        SubscriptionType type = isSame ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        // Every third scenario has both assignors in turn; else three of four have the uniform one.
        boolean isUniform = seed % 3 == 0 ? random.nextBoolean() : seed / 4 % 4 != 0;
        ConsumerGroupPartitionAssignor assignor = isUniform ? new UniformAssignor() : new RangeAssignor();
        Map<String, TreeMap<Uuid, TreeSet<Integer>>> result = sorted(run(assignor, type, false));
        if (!result.equals(sorted(run(assignor, type, true)))) throw new IllegalStateException("racks matter");
        out.append("step ").append(assignor.name());
        out.append(isUniform && isSame && hasRandomIds ? " loose" : "").append('\n');
        List<Uuid> order = new ArrayList<>(counts.keySet());
        order.forEach(id -> out.append(name(id)).append(':').append(counts.get(id)).append(' '));
        out.setLength(out.length() - 1);
        out.append('\n');
        members.forEach((id, member) -> {
            member.has = result.getOrDefault(id, new TreeMap<>());
            out.append(id).append(member.took.isEmpty() ? "" : "<" + member.took).append(' ').append(member.instance.orElse("-"));
            out.append(' ');
            member.topics.forEach(topic -> out.append(order.indexOf(topic)).append(','));
            if (!member.topics.isEmpty()) out.setLength(out.length() - 1);
            out.append(" =");
            member.has.forEach((topic, partitions) -> out.append(' ').append(order.indexOf(topic)).append(':').append(ranges(partitions)));
            out.append('\n');
        });
    }

    private static Map<String, TreeMap<Uuid, TreeSet<Integer>>> sorted(GroupAssignment assignment) {
        Map<String, TreeMap<Uuid, TreeSet<Integer>>> result = new TreeMap<>();
        assignment.members().forEach((id, member) -> {
            TreeMap<Uuid, TreeSet<Integer>> has = new TreeMap<>();
            member.partitions().forEach((topic, partitions) -> has.put(topic, new TreeSet<>(partitions)));
            result.put(id, has);
        });
        return result;
    }

    private static String name(Uuid id) {
        return id.getMostSignificantBits() == 0 ? Long.toString(id.getLeastSignificantBits()) : id.toString();
    }

    private static String ranges(TreeSet<Integer> partitions) {
        StringBuilder text = new StringBuilder();
        Integer first = null;
        for (int partition : partitions) {
            if (!partitions.contains(partition - 1)) first = partition;
            if (partitions.contains(partition + 1)) continue;
            text.append(text.length() > 0 ? "," : "").append(first).append(first == partition ? "" : "-" + partition);
        }
        return text.toString();
    }
}
