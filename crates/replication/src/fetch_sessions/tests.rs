use super::{FetchKind, FetchSessions, Fetched, PartitionKey, PartitionRequest, SessionRequest, SessionTopic};
use base::{ErrorCode, Monotonic, SeededRng, Uuid};

fn key(partition: i32) -> PartitionKey {
    (SessionTopic::Id(Uuid(9)), partition)
}

fn request(session_id: i32, epoch: i32, partitions: &[i32]) -> SessionRequest {
    let asked = PartitionRequest { fetch_offset: 0, current_leader_epoch: -1, last_fetched_epoch: -1, bytes_max: 100 };
    SessionRequest {
        session_id,
        epoch,
        partitions: partitions.iter().map(|p| (key(*p), asked)).collect(),
        forgotten: vec![],
        uses_ids: true,
    }
}

fn quiet(high_watermark: i64) -> Fetched {
    Fetched { high_watermark, log_start: 0, must_tell: false, failed: false }
}

fn opened(sessions: &mut FetchSessions, partitions: &[i32]) -> i32 {
    let (kind, _) = sessions.begin(Monotonic(0), request(0, 0, partitions)).unwrap();
    let FetchKind::Full(id) = kind else { panic!("{kind:?}") };
    let answers: Vec<_> = partitions.iter().map(|p| (key(*p), quiet(0))).collect();
    assert_eq!(sessions.answer(kind, &answers), vec![true; partitions.len()]);
    id
}

#[test]
fn only_what_changed_is_answered() {
    let mut sessions = FetchSessions::new(10, SeededRng::new(1));
    let id = opened(&mut sessions, &[0, 1, 2]);
    let (kind, all) = sessions.begin(Monotonic(0), request(id, 1, &[])).unwrap();
    assert_eq!((kind, all.len()), (FetchKind::Incremental(id), 3));
    let busy = Fetched { must_tell: true, ..quiet(0) };
    assert_eq!(sessions.answer(kind, &[(key(0), quiet(0)), (key(1), quiet(5)), (key(2), busy)]), [false, true, true]);
}

#[test]
fn partitions_are_added_changed_and_forgotten() {
    let mut sessions = FetchSessions::new(10, SeededRng::new(1));
    let id = opened(&mut sessions, &[0, 1]);
    let mut next = request(id, 1, &[2]);
    next.forgotten = vec![key(0)];
    let (_, all) = sessions.begin(Monotonic(0), next).unwrap();
    assert_eq!(all.iter().map(|(k, _)| k.1).collect::<Vec<_>>(), [1, 2]);
    let mut last = request(id, 2, &[]);
    last.forgotten = vec![key(1), key(2)];
    assert_eq!(sessions.begin(Monotonic(0), last).unwrap(), (FetchKind::Sessionless, vec![]));
    assert!(sessions.is_empty());
}

#[test]
fn epochs_ids_and_topic_naming_are_checked() {
    let mut sessions = FetchSessions::new(10, SeededRng::new(1));
    let id = opened(&mut sessions, &[0]);
    let code = |sessions: &mut FetchSessions, request| sessions.begin(Monotonic(0), request).unwrap_err();
    assert_eq!(code(&mut sessions, request(id, 7, &[])), ErrorCode::InvalidFetchSessionEpoch);
    assert_eq!(code(&mut sessions, request(id.wrapping_add(1), 1, &[])), ErrorCode::FetchSessionIdNotFound);
    let named = SessionRequest { uses_ids: false, ..request(id, 1, &[]) };
    assert_eq!(code(&mut sessions, named), ErrorCode::FetchSessionTopicIdError);
    assert_eq!(sessions.begin(Monotonic(0), request(id, -1, &[0])).unwrap().0, FetchKind::Sessionless);
    assert!(sessions.is_empty(), "epoch -1 ends the session");
}

#[test]
fn busy_partitions_do_not_starve_the_others() {
    let mut sessions = FetchSessions::new(10, SeededRng::new(1));
    let id = opened(&mut sessions, &[0, 1, 2]);
    let (kind, _) = sessions.begin(Monotonic(0), request(id, 1, &[])).unwrap();
    sessions.answer(kind, &[(key(0), Fetched { must_tell: true, ..quiet(1) }), (key(1), quiet(0)), (key(2), quiet(0))]);
    let (_, all) = sessions.begin(Monotonic(0), request(id, 2, &[])).unwrap();
    assert_eq!(all.iter().map(|(k, _)| k.1).collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn s48_slots_are_bounded_and_only_old_sessions_are_evicted() {
    let mut sessions = FetchSessions::new(2, SeededRng::new(1));
    let first = opened(&mut sessions, &[0]);
    opened(&mut sessions, &[0]);
    let refused = sessions.begin(Monotonic(0).plus_millis(119_999), request(0, 0, &[0])).unwrap();
    assert_eq!(refused.0, FetchKind::Sessionless);
    let taken = sessions.begin(Monotonic(0).plus_millis(120_000), request(0, 0, &[0])).unwrap();
    assert!(matches!(taken.0, FetchKind::Full(_)));
    assert_eq!(sessions.len(), 2);
    assert!(sessions.begin(Monotonic(0), request(first, 1, &[])).is_err() || sessions.len() == 2);
}

#[test]
fn s48_sessions_are_bounded_in_partitions_too() {
    let mut sessions = FetchSessions { held_max: 10, ..FetchSessions::new(100, SeededRng::new(1)) };
    let id = opened(&mut sessions, &[0, 1, 2, 3]);
    opened(&mut sessions, &[0, 1, 2, 3, 4]);
    // Two more do not fit: the client is served, but not remembered.
    let begun = sessions.begin(Monotonic(0), request(0, 0, &[5, 6])).unwrap();
    assert_eq!((begun.0, begun.1.len()), (FetchKind::Sessionless, 2));
    // A session may grow while there is room, and one that wants more has to begin anew.
    assert!(sessions.begin(Monotonic(0), request(id, 1, &[7])).is_ok());
    assert!(sessions.begin(Monotonic(0), request(id, 2, &[0, 1, 2, 3, 7])).is_ok());
    assert_eq!(sessions.begin(Monotonic(0), request(id, 3, &[8])).unwrap_err(), ErrorCode::FetchSessionIdNotFound);
    assert_eq!((sessions.len(), sessions.held), (1, 5));
    // What closes, forgets or is evicted makes room.
    let other = opened(&mut sessions, &[0, 1, 2, 3, 4]);
    let mut forgetful = request(other, 1, &[]);
    forgetful.forgotten = vec![key(0), key(1)];
    sessions.begin(Monotonic(0), forgetful).unwrap();
    assert_eq!(sessions.held, 8);
    let later = Monotonic(0).plus_millis(super::EVICTION_AGE_MS + 1);
    assert!(matches!(sessions.begin(later, request(0, 0, &[1, 2, 3, 4, 5, 6, 7, 8])), Ok((FetchKind::Full(_), _))));
    assert_eq!((sessions.len(), sessions.held), (1, 8));
    assert!(matches!(sessions.begin(later, request(0, 0, &[0; 11])), Ok((FetchKind::Sessionless, _))));
}
