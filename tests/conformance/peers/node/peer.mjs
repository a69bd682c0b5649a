// A Node client as a black box.
//
//   node peer.mjs produce ADDRESS TOPIC CODEC FILE    each line of FILE becomes a record of partition 0
//   node peer.mjs consume ADDRESS FOLDER TOPIC..      writes partition 0 from its start to its end to FOLDER/TOPIC, a line a record
//
// No consumer group: it fetches with explicit offsets.
import fs from 'node:fs'
import zlib from 'node:zlib'
import { compress, decompress, init } from '@bokuweb/zstd-wasm'

// Node has zstd only from version 22 on; the client takes it from node:zlib when it is loaded.
if (!zlib.zstdCompressSync) {
  await init()
  zlib.zstdCompressSync = data => Buffer.from(compress(data))
  zlib.zstdDecompressSync = data => Buffer.from(decompress(data))
}
const { Consumer, Producer, ListOffsetTimestamps } = await import('@platformatic/kafka')

const [task, address, ...rest] = process.argv.slice(2)
const common = { clientId: 'conformance-node', bootstrapBrokers: [address], retries: 10, retryDelay: 100 }

async function produce (topic, codec, file) {
  const producer = new Producer({ ...common, compression: codec, idempotent: true, acks: -1, autocreateTopics: true })
  const lines = fs.readFileSync(file)
  const messages = []
  for (let at = 0; at < lines.length;) {
    const end = lines.indexOf(10, at)
    messages.push({ topic, partition: 0, value: lines.subarray(at, end < 0 ? lines.length : end) })
    at = end < 0 ? lines.length : end + 1
  }
  for (let at = 0; at < messages.length; at += 500) {
    await producer.send({ messages: messages.slice(at, at + 500) })
  }
  await producer.close()
}

async function consume (consumer, folder, topic) {
  const metadata = await consumer.metadata({ topics: [topic] })
  const known = metadata.topics.get(topic)
  const ask = async timestamp => (await consumer.listOffsets({ topics: [topic], timestamp })).get(topic)[0]
  let at = await ask(ListOffsetTimestamps.EARLIEST)
  const end = await ask(ListOffsetTimestamps.LATEST)
  const values = []
  while (at < end) {
    const partition = { partition: 0, currentLeaderEpoch: -1, fetchOffset: at, lastFetchedEpoch: -1, partitionMaxBytes: 1 << 20 }
    const topics = [{ topicId: known.id, partitions: [partition] }]
    const answer = await consumer.fetch({ node: known.partitions[0].leader, topics, maxWaitTime: 500, minBytes: 1, maxBytes: 1 << 22 })
    const before = at
    for (const batch of answer.responses[0].partitions[0].records ?? []) {
      for (const record of batch.records) {
        const offset = batch.firstOffset + BigInt(record.offsetDelta)
        if (offset < at) continue
        values.push(record.value, '\n')
        at = offset + 1n
      }
    }
    if (at === before) throw new Error(`nothing at offset ${at} of ${end}`)
  }
  fs.writeFileSync(`${folder}/${topic}`, Buffer.concat(values.map(value => Buffer.from(value))))
}

if (task === 'produce') {
  await produce(...rest)
} else {
  const [folder, ...topics] = rest
  const consumer = new Consumer({ ...common, groupId: 'unused', autocommit: false })
  for (const topic of topics) {
    await consume(consumer, folder, topic)
  }
  await consumer.close(true)
}
