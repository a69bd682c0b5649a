//! The requests that the loads send.

use super::Writer;

/// What the load calls itself.
const CLIENT_ID: &str = "bench";

/// An API and the version that is sent: non-flexible, and served by Kafka 4.4 and by Thalweg.
struct Api(i16, i16);

const PRODUCE: Api = Api(0, 7);
const FETCH: Api = Api(1, 11);
const METADATA: Api = Api(3, 4);
const OFFSET_COMMIT: Api = Api(8, 5);
const FIND_COORDINATOR: Api = Api(10, 1);
const JOIN_GROUP: Api = Api(11, 3);
const HEARTBEAT: Api = Api(12, 2);
const LEAVE_GROUP: Api = Api(13, 1);
const SYNC_GROUP: Api = Api(14, 2);
const CREATE_TOPICS: Api = Api(19, 4);
const DELETE_TOPICS: Api = Api(20, 3);
const CREATE_PARTITIONS: Api = Api(37, 1);

/// A request with correlation id 0, which its sender overwrites.
fn request(api: &Api, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer(vec![0; 4]);
    out.i16(api.0).i16(api.1).i32(0).text(CLIENT_ID);
    body(&mut out);
    out.sized()
}

/// Produce v7 of one batch to each of these partitions.
pub fn produce(topic: &str, acks: i16, partitions: impl ExactSizeIterator<Item = i32>, batch: &[u8]) -> Vec<u8> {
    request(&PRODUCE, |out| {
        out.null().i16(acks).i32(30_000).count(1).text(topic).count(partitions.len());
        for partition in partitions {
            out.i32(partition).bytes(batch);
        }
    })
}

/// Fetch v11 of one partition without a session, which waits up to half a second for the first byte.
pub fn fetch(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> Vec<u8> {
    request(&FETCH, |out| {
        out.i32(-1).i32(500).i32(1).i32(max_bytes).i8(0).i32(0).i32(-1);
        out.count(1).text(topic).count(1);
        out.i32(partition).i32(-1).i64(offset).i64(-1).i32(max_bytes);
        out.count(0).text("");
    })
}

/// Metadata v4 of these topics, which it does not create; of none, the smallest request that any client sends all day.
pub fn metadata(topics: &[&str]) -> Vec<u8> {
    request(&METADATA, |out| {
        out.count(topics.len());
        topics.iter().for_each(|topic| {
            out.text(topic);
        });
        out.i8(0);
    })
}

/// CreateTopics v4 of one topic with one replica a partition.
pub fn create_topic(topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Vec<u8> {
    request(&CREATE_TOPICS, |out| {
        out.count(1).text(topic).i32(partitions).i16(1).count(0).count(configs.len());
        for (key, value) in configs {
            out.text(key).text(value);
        }
        out.i32(60_000).i8(0);
    })
}

/// CreatePartitions v1 of one topic: it shall have so many.
pub fn create_partitions(topic: &str, partitions: i32) -> Vec<u8> {
    request(&CREATE_PARTITIONS, |out| {
        out.count(1).text(topic).i32(partitions).i32(-1).i32(60_000).i8(0);
    })
}

/// DeleteTopics v3 of one topic.
pub fn delete_topic(topic: &str) -> Vec<u8> {
    request(&DELETE_TOPICS, |out| {
        out.count(1).text(topic).i32(60_000);
    })
}

/// FindCoordinator v1 of a group.
pub fn find_coordinator(group: &str) -> Vec<u8> {
    request(&FIND_COORDINATOR, |out| {
        out.text(group).i8(0);
    })
}

/// JoinGroup v3 as a consumer with one protocol, whose metadata nobody but other loads reads.
pub fn join_group(group: &str, member: &str) -> Vec<u8> {
    request(&JOIN_GROUP, |out| {
        out.text(group).i32(30_000).i32(30_000).text(member).text("consumer");
        // Subscription v0 without topics: version, topics, user data.
        out.count(1).text("range").bytes(&[0; 10]);
    })
}

/// SyncGroup v2; a leader's assignments, or none.
pub fn sync_group(group: &str, generation: i32, member: &str, assignments: &[(String, Vec<u8>)]) -> Vec<u8> {
    request(&SYNC_GROUP, |out| {
        out.text(group).i32(generation).text(member).count(assignments.len());
        for (member, assignment) in assignments {
            out.text(member).bytes(assignment);
        }
    })
}

/// Heartbeat v2.
pub fn heartbeat(group: &str, generation: i32, member: &str) -> Vec<u8> {
    request(&HEARTBEAT, |out| {
        out.text(group).i32(generation).text(member);
    })
}

/// OffsetCommit v5 of one partition.
pub fn offset_commit(group: &str, generation: i32, member: &str, topic: &str, offset: i64) -> Vec<u8> {
    request(&OFFSET_COMMIT, |out| {
        out.text(group).i32(generation).text(member).count(1).text(topic).count(1).i32(0).i64(offset).null();
    })
}

/// LeaveGroup v1.
pub fn leave_group(group: &str, member: &str) -> Vec<u8> {
    request(&LEAVE_GROUP, |out| {
        out.text(group).text(member);
    })
}

#[cfg(test)]
mod tests {
    use super::{fetch, metadata, produce};

    #[test]
    fn a_request_starts_with_its_size() {
        for bytes in [produce("t", 1, 0..3, b"batch"), fetch("t", 0, 0, 100), metadata(&[])] {
            let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            assert_eq!(size as usize, bytes.len() - 4);
        }
    }
}
