#!/usr/bin/env bash
# Makes the golden data dir anew, with the jars of an Apache Kafka 4.4.0 broker and those of its tools:
# KAFKA_LIBS=folder KAFKA_TOOLS=folder ./make.sh
# A broker writes data/ and says what is in it (expected.txt); its own dump tool reads the snapshots of producers and the aborted
# transactions (dumped.txt).
set -euo pipefail
cd "$(dirname "$0")"
libs=${KAFKA_LIBS:?the folder with the jars of the broker}
tools=${KAFKA_TOOLS:?the folder with the jars of its tools}
work=$(mktemp -d)
port=${PORT:-18092}
broker=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null; rm -rf "$work"' EXIT
cat >"$work/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$work/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.backoff.ms=100
P
java -cp "$libs/*" kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c "$work/server.properties" --standalone >/dev/null 2>&1
start() {
  java -Xmx512m -cp "$libs/*" kafka.Kafka "$work/server.properties" >"$work/broker.log" 2>&1 &
  broker=$!
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do kill -0 "$broker"; sleep 0.2; done
}
stop() {
  kill "$broker"
  wait "$broker" || true
  broker=
}
golden() { java -cp "$libs/*" Golden.java "127.0.0.1:$port" "$@" 2>/dev/null; }
start
golden write
# The cleaner is done once its checkpoint stands at the compacted topic's last segment.
until grep -q '^compacted 0 ' "$work/data/cleaner-offset-checkpoint" 2>/dev/null; do sleep 0.2; done
stop
start
golden write-again
golden expect >expected.txt
golden drop
until ls -d "$work"/data/gone-0.*-delete >/dev/null 2>&1; do sleep 0.1; done
stop
rm -rf data
mkdir data
cp -r "$work"/data/{codecs,compacted,epochs,rolled,trimmed,txn}-0 "$work"/data/gone-0.*-delete data/
cp "$work"/data/*-checkpoint "$work"/data/meta.properties "$work"/data/.kafka_cleanshutdown data/
find data -name '*.deleted' -delete
# A log in use has indexes of 10 MiB, nearly all of it holes.
rm -f data/gone-0.*-delete/*index
: >dumped.txt
for file in data/*-0/*.{snapshot,txnindex}; do
  java -cp "$tools/*" org.apache.kafka.tools.DumpLogSegments --files "$file" 2>/dev/null | grep -v '^Dumping' | sed "s|^|$file |" >>dumped.txt || true
done
