// A member of a consumer group, by the Node client: node member.mjs ADDRESS GROUP TOPIC [KEY=VALUE]..
//
// It says in lines what it does, in the order in which it does it, and ends at SIGTERM after it has said goodbye to its group:
//
//   generation G | assigned P | read P FROM TO | committed P OFFSET | refused WHY | end
//
// With seek=MS it begins at that time. The client joins, heartbeats and leaves; records are fetched with explicit offsets, from what the group has committed on. The
// client commits anew, in the next generation, what was refused in a rebalance: so a commit of its own may be of a partition that
// another member has by then.
import { Consumer } from '@platformatic/kafka'

const [address, groupId, topic, ...options] = process.argv.slice(2)
const settings = Object.fromEntries(options.map(option => option.split('=')).map(([key, value]) => [key, Number(value)]))
const seek = settings.seek
delete settings.seek
let stopping = false
process.on('SIGTERM', () => { stopping = true })
const say = (...words) => console.log(words.join(' '))
const consumer = new Consumer({
  clientId: 'conformance-member', bootstrapBrokers: [address], retries: 30, retryDelay: 100, groupId, autocommit: false,
  rebalanceTimeout: 30000, ...settings
})
consumer.on('error', error => say('refused', error.message))
// The generation is known when the member has joined, its partitions only when the group has synced: this event comes then.
let joined = null
consumer.on('consumer:group:join', event => { joined = event })

/** Where the group has committed, and the start where it has not; or what is found at the time. */
async function positions (partitions) {
  if (seek !== undefined) {
    const found = (await consumer.listOffsets({ topics: [topic], partitions: { [topic]: partitions }, timestamp: BigInt(seek) })).get(topic)
    return new Map(partitions.map(partition => [partition, found[partition]]))
  }
  const committed = (await consumer.listCommittedOffsets({ topics: [{ topic, partitions }] })).get(topic) ?? []
  return new Map(partitions.map(partition => [partition, (committed[partition] ?? -1n) < 0n ? 0n : committed[partition]]))
}

async function turn (known, at) {
  const asked = [...at].map(([partition, fetchOffset]) => ({
    topicId: known.id,
    partitions: [{ partition, currentLeaderEpoch: -1, fetchOffset, lastFetchedEpoch: -1, partitionMaxBytes: 1 << 18 }]
  }))
  const before = joined
  const answer = await consumer.fetch({ node: known.partitions[0].leader, topics: asked, maxWaitTime: 50, minBytes: 1, maxBytes: 1 << 20 })
  if (joined !== before || consumer.generationId !== before.generationId) return
  const offsets = []
  for (const one of answer.responses.flatMap(response => response.partitions)) {
    const from = at.get(one.partitionIndex)
    let to = from
    for (const batch of one.records ?? []) {
      for (const record of batch.records) {
        const offset = batch.firstOffset + BigInt(record.offsetDelta)
        if (offset < to) continue
        if (offset !== to) throw new Error(`partition ${one.partitionIndex}: ${offset} after ${to - 1n}`)
        to = offset + 1n
      }
    }
    if (to === from) continue
    say('read', one.partitionIndex, from, to)
    at.set(one.partitionIndex, to)
    offsets.push({ topic, partition: one.partitionIndex, offset: to, leaderEpoch: -1 })
  }
  if (offsets.length === 0) return
  await consumer.commit({ offsets })
  offsets.forEach(({ partition, offset }) => say('committed', partition, offset))
}

consumer.topics.trackAll(topic)

/** Until it works: the broker may be away for a moment. */
async function insist (work) {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      say('refused', error.message.replaceAll('\n', ' '))
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}

await insist(() => consumer.joinGroup({}))
const known = (await insist(() => consumer.metadata({ topics: [topic] }))).topics.get(topic)
let [current, at] = [null, new Map()]
while (!stopping) {
  try {
    if (current !== joined) {
      current = joined
      const mine = (current.assignments ?? []).filter(one => one.topic === topic).flatMap(one => one.partitions)
      at = mine.length > 0 ? await positions(mine) : new Map()
      say('generation', current.generationId)
      mine.forEach(partition => say('assigned', partition))
    }
    // A member without partitions has nothing to ask for: the loop takes a breath.
    await (at.size > 0 ? turn(known, at) : new Promise(resolve => setTimeout(resolve, 20)))
  } catch (error) {
    say('refused', error.message.replaceAll('\n', ' '))
    current = null
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
await consumer.leaveGroup(true)
await consumer.close(true)
say('end')
process.exit(0)
