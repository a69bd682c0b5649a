// franz-go as a peer of the table of scenarios: commands in, canonical lines out (see the README of tests/conformance).
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	deadline  = 40 * time.Second
	firstTime = 1_700_000_000_000
)

type member struct {
	client   *kgo.Client
	topic    string
	mutex    sync.Mutex
	assigned map[int32]bool
	position map[int32]int64
	buffer   []*kgo.Record
}

var (
	address   string
	client    *kgo.Client
	admin     *kadm.Client
	members   = map[string]*member{}
	producers = map[string]*kgo.Client{}
	lines     []string
)

func say(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }

func main() {
	address = os.Args[1]
	var err error
	client, err = kgo.NewClient(kgo.SeedBrokers(address), kgo.MetadataMinAge(10*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	admin = kadm.NewClient(client)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		lines = nil
		words := strings.Split(in.Text(), " ")
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		if err := run(ctx, words[0], words[1:]); err != nil {
			say("%s", named(err))
		}
		cancel()
		for _, line := range lines {
			fmt.Fprintln(out, line)
		}
		fmt.Fprintln(out, ".")
		out.Flush()
	}
}

// A broker's refusal by its name in the protocol.
func named(err error) string {
	var known *kerr.Error
	if errors.As(err, &known) {
		return "error " + known.Message
	}
	if strings.Contains(err.Error(), "invalid crc") || strings.Contains(err.Error(), "encoded crc") {
		return "error CORRUPT_MESSAGE"
	}
	return "failed " + strings.ReplaceAll(err.Error(), "\n", " ")
}

func number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func run(ctx context.Context, command string, w []string) error {
	switch command {
	case "create":
		return create(ctx, w)
	case "grow":
		answer, err := admin.UpdatePartitions(ctx, int(number(w[1])), w[0])
		return done(err, answer.Error, "grown")
	case "describe":
		return describe(ctx, w[0])
	case "delete":
		answer, err := admin.DeleteTopics(ctx, w[0])
		return done(err, answer.Error, "deleted")
	case "list":
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			return err
		}
		for _, name := range topics.Names() {
			if strings.HasPrefix(name, w[0]) {
				say("topic %s", name)
			}
		}
		return nil
	case "configs":
		return configs(ctx, w)
	case "alter":
		return alter(ctx, w)
	case "cut":
		return cut(ctx, w[0], int32(number(w[1])), number(w[2]))
	case "send":
		return send(ctx, w)
	case "fill":
		return fill(ctx, w)
	case "read":
		records, err := read(ctx, w[0], int32(number(w[1])), number(w[2]), number(w[3]))
		for _, record := range records {
			say("%s", shown(record))
		}
		return err
	case "digest":
		return digest(ctx, w[0], int(number(w[1])))
	case "offsets":
		first, end, err := bounds(ctx, w[0], int32(number(w[1])))
		if err == nil {
			say("offsets %s %d %d", w[1], first, end)
		}
		return err
	case "at":
		offset, err := listOffset(ctx, w[0], int32(number(w[1])), number(w[2]))
		if err == nil && offset < 0 {
			say("at %s none", w[1])
		} else if err == nil {
			say("at %s %d", w[1], offset)
		}
		return err
	case "open":
		return open(w)
	case "join":
		return join(w)
	default:
		return runOnMembers(ctx, command, w)
	}
}

func runOnMembers(ctx context.Context, command string, w []string) error {
	switch command {
	case "shares":
		return shares(ctx, strings.Split(w[0], ","), w[1])
	case "take":
		return take(ctx, strings.Split(w[0], ","), int(number(w[1])))
	case "idle":
		m := members[w[0]]
		for i := 0; i < 5 && len(m.buffer) == 0; i++ {
			m.poll(ctx, 40*time.Millisecond)
		}
		if len(m.buffer) == 0 {
			say("nothing")
		} else {
			say("something: %s", shown(m.buffer[0]))
		}
	case "pause":
		members[w[0]].client.PauseFetchPartitions(members[w[0]].partition(w[1]))
		say("paused")
	case "resume":
		members[w[0]].client.ResumeFetchPartitions(members[w[0]].partition(w[1]))
		say("resumed")
	case "seek":
		m := members[w[0]]
		to := kgo.EpochOffset{Epoch: -1, Offset: number(w[2])}
		m.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{m.topic: {int32(number(w[1])): to}})
		m.position[int32(number(w[1]))] = to.Offset
		say("sought")
	case "position":
		say("position %s %d", w[1], members[w[0]].position[int32(number(w[1]))])
	case "commit":
		for _, name := range strings.Split(w[0], ",") {
			if err := members[name].commit(ctx); err != nil {
				return err
			}
		}
		say("committed")
	case "leave":
		m := members[w[0]]
		delete(members, w[0])
		m.client.Close()
		say("left")
	case "committed":
		return committed(ctx, w[0], w[1], int(number(w[2])))
	case "reset":
		offsets := kadm.Offsets{}
		offsets.AddOffset(w[1], int32(number(w[2])), number(w[3]), -1)
		answer, err := admin.CommitOffsets(ctx, w[0], offsets)
		return done(err, answer.Error, "reset")
	case "groups":
		return groups(ctx, w[0])
	case "group":
		found, err := admin.DescribeGroups(ctx, w[0])
		if err := first(err, found.Error()); err != nil {
			return err
		}
		say("group %s members=%d", found[w[0]].State, len(found[w[0]].Members))
	case "delete-group":
		answer, err := admin.DeleteGroups(ctx, w[0])
		return done(err, answer.Error, "deleted")
	default:
		say("unsupported")
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func done(err error, inside func() error, what string) error {
	if err := first(err); err != nil {
		return err
	}
	if err := inside(); err != nil {
		return err
	}
	say("%s", what)
	return nil
}

func create(ctx context.Context, w []string) error {
	configs := map[string]*string{}
	replicas := int16(1)
	for _, word := range w[2:] {
		name, value, _ := strings.Cut(word, "=")
		if name == "replicas" {
			replicas = int16(number(value))
		} else {
			configs[name] = &value
		}
	}
	answer, err := admin.CreateTopics(ctx, int32(number(w[1])), replicas, configs, text(w[0]))
	return done(err, answer.Error, "created")
}

func describe(ctx context.Context, topic string) error {
	found, err := admin.ListTopics(ctx, topic)
	if err := first(err, found.Error()); err != nil {
		return err
	}
	for _, one := range found[topic].Partitions.Sorted() {
		say("partition %d leader=%d replicas=%d isr=%d", one.Partition, one.Leader, len(one.Replicas), len(one.ISR))
	}
	return nil
}

func configs(ctx context.Context, w []string) error {
	found, err := admin.DescribeTopicConfigs(ctx, w[0])
	if err != nil {
		return err
	}
	of, err := found.On(w[0], nil)
	if err := first(err, of.Err); err != nil {
		return err
	}
	for _, name := range w[1:] {
		for _, config := range of.Configs {
			if config.Key == name {
				source := "default"
				if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
					source = "topic"
				}
				say("config %s=%s %s", name, config.MaybeValue(), source)
			}
		}
	}
	return nil
}

func alter(ctx context.Context, w []string) error {
	var changes []kadm.AlterConfig
	for _, word := range w[1:] {
		name, value, _ := strings.Cut(word, "=")
		change := kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
		if value == "" {
			change.Op = kadm.DeleteConfig
		}
		changes = append(changes, change)
	}
	answer, err := admin.AlterTopicConfigs(ctx, changes, w[0])
	if err != nil {
		return err
	}
	one, err := answer.On(w[0], nil)
	return done(err, func() error { return one.Err }, "altered")
}

func cut(ctx context.Context, topic string, partition int32, offset int64) error {
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, offset, -1)
	answer, err := admin.DeleteRecords(ctx, offsets)
	if err := first(err, answer.Error()); err != nil {
		return err
	}
	say("low %d %d", partition, answer[topic][partition].LowWatermark)
	return nil
}

func text(word string) string {
	plain, err := url.PathUnescape(word)
	if err != nil {
		panic(err)
	}
	return plain
}

// `~` is null, `*N` is N times x.
func unshown(word string) []byte {
	if word == "~" {
		return nil
	}
	if rest, many := strings.CutPrefix(word, "*"); many {
		return []byte(strings.Repeat("x", int(number(rest))))
	}
	return []byte(text(word))
}

func shownBytes(bytes []byte) string {
	if bytes == nil {
		return "~"
	}
	if len(bytes) > 64 {
		return fmt.Sprintf("*%d:%.8s", len(bytes), fmt.Sprintf("%x", sha256.Sum256(bytes)))
	}
	var out strings.Builder
	for _, b := range bytes {
		plain := b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '.' || b == '_' || b == '-'
		if plain {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}

func shown(r *kgo.Record) string {
	var headers []string
	for _, header := range r.Headers {
		headers = append(headers, shownBytes([]byte(header.Key))+":"+shownBytes(header.Value))
	}
	return fmt.Sprintf("record %d %d key=%s value=%s ts=%d headers=%s", r.Partition, r.Offset, shownBytes(r.Key), shownBytes(r.Value),
		r.Timestamp.UnixMilli(), strings.Join(headers, ","))
}

// A producer per set of options, kept: what a program would do.
func producer(w []string, manual bool) *kgo.Client {
	options := map[string]string{"acks": "all", "codec": "none"}
	for _, word := range w {
		if name, value, found := strings.Cut(word, "="); found && !strings.Contains(word, ";") {
			options[name] = value
		}
	}
	name := fmt.Sprint(options, manual)
	if known := producers[name]; known != nil {
		return known
	}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	opts := []kgo.Opt{kgo.SeedBrokers(address), kgo.MetadataMinAge(10 * time.Millisecond), kgo.ProducerBatchCompression(codecs[options["codec"]]), kgo.RequiredAcks(acks[options["acks"]]),
		kgo.ProducerBatchMaxBytes(4 << 20)}
	if options["acks"] != "all" || options["idempotent"] == "false" {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if manual {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	made, err := kgo.NewClient(opts...)
	if err != nil {
		panic(err)
	}
	producers[name] = made
	return made
}

func parsed(topic, word string) *kgo.Record {
	record := &kgo.Record{Topic: topic, Partition: -1}
	for _, piece := range strings.Split(word, ";") {
		name, value, _ := strings.Cut(piece, "=")
		switch name {
		case "partition":
			record.Partition = int32(number(value))
		case "ts":
			record.Timestamp = time.UnixMilli(number(value))
		case "key":
			record.Key = unshown(value)
		case "value":
			record.Value = unshown(value)
		case "header":
			key, value, _ := strings.Cut(value, ":")
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: text(key), Value: unshown(value)})
		}
	}
	return record
}

// One after the other, each answered before the next is sent; a record has a `;` in it.
func send(ctx context.Context, w []string) error {
	for _, word := range w[1:] {
		if !strings.Contains(word, ";") {
			continue
		}
		record := parsed(w[0], word)
		if err := producer(w[1:], record.Partition >= 0).ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
		offset := strconv.FormatInt(record.Offset, 10)
		for _, option := range w[1:] {
			if option == "acks=0" {
				offset = "unknown"
			}
		}
		say("sent %d %s", record.Partition, offset)
	}
	return nil
}

func fill(ctx context.Context, w []string) error {
	made := producer(w[3:], false)
	count, size := int(number(w[1])), int(number(w[2]))
	var records []*kgo.Record
	for i := 0; i < count; i++ {
		value := fmt.Sprintf("value-%d-", i)
		value += strings.Repeat("x", max(0, size-len(value)))
		records = append(records, &kgo.Record{Topic: w[0], Key: []byte(fmt.Sprintf("key-%d", i%23)), Value: []byte(value),
			Timestamp: time.UnixMilli(firstTime + int64(i)*1000)})
	}
	if err := made.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	say("filled %d", count)
	return nil
}

func listOffset(ctx context.Context, topic string, partition int32, time int64) (int64, error) {
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = partition, time
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic, asked.Partitions = topic, []kmsg.ListOffsetsRequestTopicPartition{part}
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID, request.Topics = -1, []kmsg.ListOffsetsRequestTopic{asked}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	found := answer.Topics[0].Partitions[0]
	return found.Offset, kerr.ErrorForCode(found.ErrorCode)
}

func bounds(ctx context.Context, topic string, partition int32) (int64, int64, error) {
	earliest, err := listOffset(ctx, topic, partition, -2)
	if err != nil {
		return 0, 0, err
	}
	latest, err := listOffset(ctx, topic, partition, -1)
	return earliest, latest, err
}

func read(ctx context.Context, topic string, partition int32, from, to int64) ([]*kgo.Record, error) {
	start := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}}
	reader, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.MetadataMinAge(10*time.Millisecond), kgo.UnknownTopicRetries(-1), kgo.ConsumePartitions(start), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var records []*kgo.Record
	for at := from; at < to; {
		fetches := reader.PollFetches(ctx)
		for _, record := range fetches.Records() {
			at = record.Offset + 1
			if record.Offset < to {
				records = append(records, record)
			}
		}
		if err := fetches.Err(); err != nil {
			return records, err
		}
	}
	return records, nil
}

func digest(ctx context.Context, topic string, partitions int) error {
	for partition := 0; partition < partitions; partition++ {
		first, end, err := bounds(ctx, topic, int32(partition))
		if err != nil {
			return err
		}
		records, err := read(ctx, topic, int32(partition), first, end)
		if err != nil {
			return err
		}
		hash := sha256.New()
		for _, record := range records {
			hash.Write([]byte(shown(record) + "\n"))
		}
		say("digest %d %d %.16s", partition, len(records), fmt.Sprintf("%x", hash.Sum(nil)))
	}
	return nil
}

func (m *member) partition(word string) map[string][]int32 {
	return map[string][]int32{m.topic: {int32(number(word))}}
}

// Polls at most one record, so that the position is right behind what was taken.
func (m *member) poll(ctx context.Context, wait time.Duration) error {
	short, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	fetches := m.client.PollRecords(short, 1)
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, record := range fetches.Records() {
		m.buffer = append(m.buffer, record)
		m.position[record.Partition] = record.Offset + 1
	}
	kept := m.buffer[:0]
	for _, record := range m.buffer {
		if m.assigned[record.Partition] {
			kept = append(kept, record)
		}
	}
	m.buffer = kept
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (m *member) commit(ctx context.Context) error {
	offsets := map[int32]kgo.EpochOffset{}
	for partition, offset := range m.position {
		offsets[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	var refused error
	m.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			refused = err
			if answer == nil {
				return
			}
			for _, topic := range answer.Topics {
				for _, partition := range topic.Partitions {
					refused = first(refused, kerr.ErrorForCode(partition.ErrorCode))
				}
			}
		})
	return refused
}

func open(w []string) error {
	m := &member{topic: w[1], assigned: map[int32]bool{}, position: map[int32]int64{}}
	start := map[int32]kgo.Offset{}
	for _, word := range strings.Split(w[2], ",") {
		start[int32(number(word))] = kgo.NewOffset().AtStart()
		m.assigned[int32(number(word))] = true
	}
	made, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.MetadataMinAge(10*time.Millisecond), kgo.UnknownTopicRetries(-1), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w[1]: start}),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	m.client = made
	members[w[0]] = m
	say("opened")
	return nil
}

func (m *member) change(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		for _, partition := range partitions[m.topic] {
			if has {
				m.assigned[partition] = true
			} else {
				delete(m.assigned, partition)
				delete(m.position, partition)
			}
		}
	}
}

func join(w []string) error {
	m := &member{topic: w[2], assigned: map[int32]bool{}, position: map[int32]int64{}}
	ctx := context.Background()
	balancers := map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
		"cooperative": kgo.CooperativeStickyBalancer()}
	opts := []kgo.Opt{kgo.SeedBrokers(address), kgo.ConsumerGroup(w[1]), kgo.ConsumeTopics(w[2]), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50 * time.Millisecond), kgo.MetadataMinAge(10 * time.Millisecond),
		kgo.OnPartitionsAssigned(m.change(true)), kgo.OnPartitionsRevoked(m.change(false)), kgo.OnPartitionsLost(m.change(false))}
	balancer := "range"
	for _, word := range w[3:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "protocol":
			ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true)
		case "instance":
			opts = append(opts, kgo.InstanceID(value))
		case "assignor":
			balancer = value
		}
	}
	opts = append(opts, kgo.WithContext(ctx), kgo.Balancers(balancers[balancer]))
	if ctx == context.Background() {
		opts = append(opts, kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(10*time.Second))
	}
	made, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	m.client = made
	members[w[0]] = m
	say("joined")
	return nil
}

// Until the members have so many partitions each, in any order, and none is had twice.
func shares(ctx context.Context, names []string, wanted string) error {
	var want []int
	all := 0
	for _, word := range strings.Split(wanted, ",") {
		want = append(want, int(number(word)))
		all += int(number(word))
	}
	sort.Ints(want)
	for {
		var have []int
		distinct := map[int32]bool{}
		for _, name := range names {
			m := members[name]
			if err := m.poll(ctx, 20*time.Millisecond); err != nil {
				return err
			}
			m.mutex.Lock()
			have = append(have, len(m.assigned))
			for partition := range m.assigned {
				distinct[partition] = true
			}
			m.mutex.Unlock()
		}
		sort.Ints(have)
		if fmt.Sprint(have) == fmt.Sprint(want) && len(distinct) == all {
			say("shares %s", wanted)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no shares in time: %v of %d", have, len(distinct))
		}
	}
}

func take(ctx context.Context, names []string, count int) error {
	var taken []string
	for len(taken) < count {
		for _, name := range names {
			m := members[name]
			if len(m.buffer) == 0 && len(taken) < count {
				if err := m.poll(ctx, 50*time.Millisecond); err != nil {
					return err
				}
			}
			for len(m.buffer) > 0 && len(taken) < count {
				taken = append(taken, shown(m.buffer[0]))
				m.buffer = m.buffer[1:]
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no %d records in time, only %v", count, taken)
		}
	}
	sort.Strings(taken)
	for _, line := range taken {
		say("%s", line)
	}
	return nil
}

func committed(ctx context.Context, group, topic string, partitions int) error {
	found, err := admin.FetchOffsets(ctx, group)
	if err := first(err, found.Error()); err != nil {
		return err
	}
	for partition := 0; partition < partitions; partition++ {
		offset, there := found.Lookup(topic, int32(partition))
		if there && offset.At >= 0 {
			say("committed %d %d", partition, offset.At)
		} else {
			say("committed %d none", partition)
		}
	}
	return nil
}

func groups(ctx context.Context, prefix string) error {
	found, err := admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	for _, group := range found.Sorted() {
		if strings.HasPrefix(group.Group, prefix) {
			say("group %s %s", group.Group, group.State)
		}
	}
	return nil
}
