// The Node client as a peer of the table of scenarios: commands in, canonical lines out (see the README of tests/conformance).
//
//   node table.mjs ADDRESS [partitioner=default]
//
// Records are fetched with explicit offsets; joining, heartbeats, commits and everything else are the client's. Its default partitioner is not
// Java's, its compatible one is: the first is for the tests of the rig.
import crypto from 'node:crypto'
import readline from 'node:readline'
import zlib from 'node:zlib'
import { compress, decompress, init } from '@bokuweb/zstd-wasm'

// Node has zstd only from version 22 on; the client takes it from node:zlib when it is loaded.
if (!zlib.zstdCompressSync) {
  await init()
  zlib.zstdCompressSync = data => Buffer.from(compress(data))
  zlib.zstdDecompressSync = data => Buffer.from(decompress(data))
}
const { Admin, Consumer, Producer, compatibilityPartitioner, defaultPartitioner, protocolErrors } = await import('@platformatic/kafka')

const DEADLINE_MS = 40_000
const FIRST_TIME = 1_700_000_000_000n
const [address, ...settings] = process.argv.slice(2)
const common = { clientId: 'conformance-table', bootstrapBrokers: [address], retries: 20, retryDelay: 50, metadataMaxAge: 0 }
const partitioner = settings.includes('partitioner=default') ? defaultPartitioner : compatibilityPartitioner
const admin = new Admin(common)
const reader = new Consumer({ ...common, groupId: 'unused', autocommit: false })
const producers = new Map()
const members = new Map()
let lines = []
const say = (...words) => { lines.push(words.join(' ')) }

/** The names of refusals that stand in what the client throws, at any depth. */
function namesIn (error) {
  const deeper = [error.cause, ...(error.errors ?? [])].filter(one => one instanceof Error)
  return [error.apiId, ...deeper.flatMap(namesIn)].filter(Boolean)
}

/** A broker's refusal by its name in the protocol; what is said of single records comes as an unknown error beside it. */
function named (error) {
  const names = namesIn(error)
  if (names.length > 0) return names.find(name => name !== 'UNKNOWN_SERVER_ERROR') ?? names[0]
  if (error.message.startsWith('Unknown topic ')) return 'UNKNOWN_TOPIC_OR_PARTITION'
  return /CRC/i.test(error.message) ? 'CORRUPT_MESSAGE' : undefined
}

async function until (what, done) {
  const deadline = Date.now() + DEADLINE_MS
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`no ${what} in time`)
  }
}

/** `~` is null, `*N` is N times x. */
function unshown (word) {
  if (word === '~') return null
  if (word.startsWith('*')) return Buffer.alloc(Number(word.slice(1)), 'x')
  return Buffer.from(word.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), 'latin1')
}

function shown (bytes) {
  if (bytes === null || bytes === undefined) return '~'
  if (bytes.length > 64) return `*${bytes.length}:${sha256(bytes).slice(0, 8)}`
  return [...bytes].map(byte => /[0-9A-Za-z._-]/.test(String.fromCharCode(byte)) && byte < 128
    ? String.fromCharCode(byte)
    : '%' + byte.toString(16).toUpperCase().padStart(2, '0')).join('')
}

const sha256 = bytes => crypto.createHash('sha256').update(bytes).digest('hex')

function optionsOf (words) {
  return Object.fromEntries(words.filter(word => word.includes('=') && !word.includes(';')).map(word => {
    const at = word.indexOf('=')
    return [word.slice(0, at), word.slice(at + 1)]
  }))
}

function parsed (topic, word) {
  const record = { topic, headers: new Map() }
  for (const piece of word.split(';')) {
    const at = piece.indexOf('=')
    const [name, value] = [piece.slice(0, at), piece.slice(at + 1)]
    if (name === 'partition') record.partition = Number(value)
    else if (name === 'ts') record.timestamp = BigInt(value)
    else if (name === 'header') record.headers.set(unshown(value.split(':')[0]), unshown(value.slice(value.indexOf(':') + 1)))
    else record[name] = unshown(value)
  }
  if (record.key === null) delete record.key
  return record
}

function producer (options) {
  const acks = options.acks ?? 'all'
  const idempotent = (options.idempotent ?? (acks === 'all' ? 'true' : 'false')) === 'true'
  const codec = options.codec ?? 'none'
  const name = [acks, idempotent, codec].join()
  if (!producers.has(name)) {
    producers.set(name, new Producer({ ...common, acks: acks === 'all' ? -1 : Number(acks), idempotent, compression: codec, partitioner }))
  }
  return producers.get(name)
}

/** The record lines of a fetch from `from` on, with the offset after the last. */
async function fetch (consumer, topic, wanted) {
  const known = (await consumer.metadata({ topics: [topic] })).topics.get(topic)
  const partitions = [...wanted].map(([partition, fetchOffset]) =>
    ({ partition, currentLeaderEpoch: -1, fetchOffset, lastFetchedEpoch: -1, partitionMaxBytes: 1 << 20 }))
  const node = known.partitions[0].leader
  const answer = await consumer.fetch({ node, topics: [{ topicId: known.id, partitions }], maxWaitTime: 50, minBytes: 1, maxBytes: 1 << 22 })
  const found = []
  for (const one of answer.responses.flatMap(response => response.partitions)) {
    for (const batch of one.records ?? []) {
      for (const record of batch.records) {
        const offset = batch.firstOffset + BigInt(record.offsetDelta)
        if (offset < wanted.get(one.partitionIndex)) continue
        const time = (batch.attributes & 8) !== 0 ? batch.maxTimestamp : batch.firstTimestamp + record.timestampDelta
        const headers = [...record.headers].map(([key, value]) => `${shown(key)}:${shown(value)}`).join(',')
        const line = `record ${one.partitionIndex} ${offset} key=${shown(record.key)} value=${shown(record.value)} ts=${time} headers=${headers}`
        found.push({ partition: one.partitionIndex, offset, line })
      }
    }
  }
  return found
}

async function records (topic, partition, from, to) {
  const found = []
  let at = from
  await until(`records up to ${to}`, async () => {
    for (const one of await fetch(reader, topic, new Map([[partition, at]]))) {
      if (one.offset < to) found.push(one.line)
      at = one.offset + 1n
    }
    return at >= to
  })
  return found
}

async function listed (topic, partition, timestamp) {
  const [found] = await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp }] }] })
  return found.partitions[0].offset
}

const bounds = async (topic, partition) => [await listed(topic, partition, -2n), await listed(topic, partition, -1n)]

/** Where the group has committed, and the start where it has not. */
async function positions (consumer, topic, partitions) {
  const committed = (await consumer.listCommittedOffsets({ topics: [{ topic, partitions }] })).get(topic) ?? []
  return new Map(partitions.map(partition => [partition, (committed[partition] ?? -1n) < 0n ? 0n : committed[partition]]))
}

/** Takes what the group says, and at most one more record. */
async function poll (member) {
  if (member.stream) return await pollStream(member)
  if (member.consumer && member.joined !== member.current) {
    const joined = member.joined
    const mine = (joined.assignments ?? []).filter(one => one.topic === member.topic).flatMap(one => one.partitions)
    member.at = mine.length > 0 ? await positions(member.consumer, member.topic, mine) : new Map()
    member.buffer = []
    member.current = joined
  }
  const wanted = new Map([...member.at].filter(([partition]) => !member.paused.has(partition)))
  if (member.buffer.length > 0) return
  if (wanted.size === 0) return await new Promise(resolve => setTimeout(resolve, 20))
  const before = member.joined
  const found = await fetch(member.consumer ?? reader, member.topic, wanted)
  if (member.joined === before && found.length > 0) {
    member.buffer.push(found[0])
    member.at.set(found[0].partition, found[0].offset + 1n)
  }
}

/** By the consumer protocol the client joins only for a stream, which fetches by itself. */
async function joinForStream (member) {
  const options = { topics: [member.topic], mode: 'committed', fallbackMode: 'earliest', maxWaitTime: 50 }
  member.stream = await member.consumer.consume(options)
  member.stream.on('error', () => {})
  member.stream.on('data', ({ partition, offset, key, value, timestamp, headers }) => {
    const shownHeaders = [...headers].map(([key, value]) => `${shown(key)}:${shown(value)}`).join(',')
    const line = `record ${partition} ${offset} key=${shown(key)} value=${shown(value)} ts=${timestamp} headers=${shownHeaders}`
    member.buffer.push({ partition, offset, line })
    member.at.set(partition, offset + 1n)
  })
}

async function pollStream (member) {
  const mine = (member.consumer.assignments ?? []).filter(one => one.topic === member.topic).flatMap(one => one.partitions)
  if (mine.length !== member.at.size || !mine.every(partition => member.at.has(partition))) {
    member.at = mine.length > 0 ? await positions(member.consumer, member.topic, mine) : new Map()
  }
  await new Promise(resolve => setTimeout(resolve, 20))
}

async function join (name, groupId, topic, ...words) {
  const options = optionsOf(words)
  const further = options.protocol === 'consumer'
    ? { groupProtocol: 'consumer' }
    : { heartbeatInterval: 100, sessionTimeout: 10_000, rebalanceTimeout: 20_000 }
  const consumer = new Consumer({ ...common, groupId, autocommit: false, ...further })
  const member = { consumer, topic, at: new Map(), paused: new Set(), buffer: [], joined: null, current: null }
  consumer.on('error', () => {})
  members.set(name, member)
  if (options.protocol === 'consumer') {
    await joinForStream(member)
  } else {
    // The generation is known when the member has joined, its partitions only when the group has synced: this event comes then.
    consumer.on('consumer:group:join', event => { member.joined = event })
    consumer.topics.trackAll(topic)
    await consumer.joinGroup({})
  }
  say('joined')
}

const resource = topic => ({ resourceType: 2, resourceName: topic })

const COMMANDS = {
  async create (name, partitions, ...words) {
    const { replicas, ...configs } = optionsOf(words)
    await admin.createTopics({
      topics: [decodeURIComponent(name)],
      partitions: Number(partitions),
      replicas: Number(replicas ?? 1),
      configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
    })
    say('created')
  },
  async grow (name, count) {
    await admin.createPartitions({ topics: [{ name, count: Number(count), assignments: null }] })
    say('grown')
  },
  async describe (name) {
    const found = (await admin.metadata({ topics: [name], forceUpdate: true })).topics.get(name)
    found.partitions.forEach((one, partition) =>
      say('partition', partition, `leader=${one.leader} replicas=${one.replicas.length} isr=${one.isr.length}`))
  },
  async delete (name) {
    await admin.deleteTopics({ topics: [name] })
    say('deleted')
  },
  async list (prefix) {
    const names = await admin.listTopics()
    names.filter(name => name.startsWith(prefix)).sort().forEach(name => say('topic', name))
  },
  async configs (topic, ...names) {
    const [found] = await admin.describeConfigs({ resources: [{ ...resource(topic), configurationKeys: null }] })
    for (const name of names) {
      const config = found.configs.find(one => one.name === name)
      say('config', `${name}=${config.value}`, config.configSource === 1 ? 'topic' : 'default')
    }
  },
  async alter (topic, ...changes) {
    const configs = changes.map(change => {
      const at = change.indexOf('=')
      const value = change.slice(at + 1)
      return { name: change.slice(0, at), configOperation: value === '' ? 1 : 0, value: value === '' ? null : value }
    })
    await admin.incrementalAlterConfigs({ resources: [{ ...resource(topic), configs }] })
    say('altered')
  },
  async cut (name, partition, offset) {
    const [found] = await admin.deleteRecords({ topics: [{ name, partitions: [{ partition: Number(partition), offset: BigInt(offset) }] }] })
    say('low', partition, found.partitions[0].lowWatermark)
  },
  async send (topic, ...words) {
    const options = optionsOf(words)
    const by = producer(options)
    for (const word of words.filter(word => word.includes(';'))) {
      const record = parsed(topic, word)
      const answer = await by.send({ messages: [record] })
      const sent = answer.offsets?.[0]
      say('sent', sent?.partition ?? record.partition, options.acks === '0' ? 'unknown' : sent.offset)
    }
  },
  async fill (topic, count, size, ...words) {
    const by = producer(optionsOf(words))
    const messages = []
    for (let i = 0; i < Number(count); i++) {
      const value = Buffer.from(`value-${i}-`.padEnd(Number(size), 'x'))
      messages.push({ topic, key: Buffer.from(`key-${i % 23}`), value, timestamp: FIRST_TIME + BigInt(i) * 1000n })
    }
    for (let at = 0; at < messages.length; at += 100) await by.send({ messages: messages.slice(at, at + 100) })
    say('filled', count)
  },
  async read (topic, partition, from, to) {
    (await records(topic, Number(partition), BigInt(from), BigInt(to))).forEach(line => say(line))
  },
  async digest (topic, partitions) {
    for (let partition = 0; partition < Number(partitions); partition++) {
      const [first, end] = await bounds(topic, partition)
      const found = end > first ? await records(topic, partition, first, end) : []
      say('digest', partition, found.length, sha256(found.map(line => line + '\n').join('')).slice(0, 16))
    }
  },
  async offsets (topic, partition) {
    say('offsets', partition, ...(await bounds(topic, Number(partition))))
  },
  async at (topic, partition, time) {
    const offset = await listed(topic, Number(partition), BigInt(time))
    say('at', partition, offset < 0n ? 'none' : offset)
  },
  async open (name, topic, partitions) {
    const at = new Map()
    for (const partition of partitions.split(',').map(Number)) at.set(partition, (await bounds(topic, partition))[0])
    members.set(name, { topic, at, paused: new Set(), buffer: [] })
    say('opened')
  },
  join,
  async shares (names, wanted) {
    const want = wanted.split(',').map(Number).sort().join()
    let last
    await until(`shares of ${names}`, async () => {
      const all = names.split(',').map(name => members.get(name))
      for (const member of all) await poll(member)
      const have = all.map(member => member.at.size).sort().join()
      const distinct = new Set(all.flatMap(member => [...member.at.keys()])).size
      last = `${have} of ${distinct}`
      return have === want && distinct === wanted.split(',').map(Number).reduce((one, other) => one + other, 0)
    }).catch(late => { throw new Error(`${late.message}: ${last}`) })
    say('shares', wanted)
  },
  async take (names, count) {
    const taken = []
    await until(`${count} records`, async () => {
      for (const member of names.split(',').map(name => members.get(name))) {
        if (taken.length < Number(count)) await poll(member)
        while (member.buffer.length > 0 && taken.length < Number(count)) taken.push(member.buffer.shift().line)
      }
      return taken.length === Number(count)
    })
    taken.sort().forEach(line => say(line))
  },
  async idle (name) {
    for (let i = 0; i < 5; i++) await poll(members.get(name))
    const [first] = members.get(name).buffer
    say(first ? `something: ${first.line}` : 'nothing')
  },
  pause (name, partition) {
    members.get(name).paused.add(Number(partition))
    say('paused')
  },
  resume (name, partition) {
    members.get(name).paused.delete(Number(partition))
    say('resumed')
  },
  seek (name, partition, offset) {
    members.get(name).at.set(Number(partition), BigInt(offset))
    say('sought')
  },
  position (name, partition) {
    say('position', partition, members.get(name).at.get(Number(partition)))
  },
  async commit (names) {
    for (const member of names.split(',').map(name => members.get(name))) {
      const offsets = [...member.at].map(([partition, offset]) => ({ topic: member.topic, partition, offset, leaderEpoch: -1 }))
      await member.consumer.commit({ offsets })
    }
    say('committed')
  },
  async leave (name) {
    const { consumer, stream } = members.get(name)
    members.delete(name)
    if (stream) await stream.close()
    if (consumer) {
      await consumer.leaveGroup(true)
      await consumer.close(true)
    }
    say('left')
  },
  async committed (group, topic, partitions) {
    const [found] = await admin.listConsumerGroupOffsets({ groups: [group] })
    const of = found.topics.find(one => one.name === topic)?.partitions ?? []
    for (let partition = 0; partition < Number(partitions); partition++) {
      const one = of.find(one => one.partitionIndex === partition)
      say('committed', partition, !one || one.committedOffset < 0n ? 'none' : one.committedOffset)
    }
  },
  async reset (groupId, name, partition, offset) {
    const partitionOffsets = [{ partition: Number(partition), offset: BigInt(offset) }]
    await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name, partitionOffsets }] })
    say('reset')
  },
  async groups (prefix) {
    const found = await admin.listGroups({})
    const mine = [...found.values()].filter(group => group.id.startsWith(prefix)).sort((a, b) => a.id < b.id ? -1 : 1)
    mine.forEach(group => say('group', group.id, stateOf(group.state)))
  },
  async group (name) {
    const group = (await admin.describeGroups({ groups: [name] })).get(name)
    say('group', stateOf(group.state), `members=${group.members.size}`)
  },
  async 'delete-group' (name) {
    await admin.deleteGroups({ groups: [name] })
    say('deleted')
  }
}

/** The client has its states in capitals. */
const stateOf = state => state.toLowerCase().replace(/(^|_)(.)/g, (_, __, first) => first.toUpperCase())

for await (const line of readline.createInterface({ input: process.stdin })) {
  lines = []
  const [word, ...words] = line.split(' ')
  try {
    await (COMMANDS[word] ? COMMANDS[word](...words) : say('unsupported'))
  } catch (error) {
    const name = named(error)
    const text = [error.message, ...(error.errors ?? []).map(one => one.message)].join(' / ').replaceAll('\n', ' ')
    say(name ? `error ${name}` : `failed ${text}`)
  }
  process.stdout.write(lines.map(line => line + '\n').join('') + '.\n')
}
process.exit(0)
