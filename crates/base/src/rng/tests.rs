use super::SeededRng;

#[test]
fn one_seed_is_one_sequence() {
    let (mut a, mut b, mut c) = (SeededRng::new(1), SeededRng::new(1), SeededRng::new(2));
    let first: Vec<u64> = (0..32).map(|_| a.next_u64()).collect();
    assert_eq!(first, (0..32).map(|_| b.next_u64()).collect::<Vec<_>>());
    assert_ne!(first, (0..32).map(|_| c.next_u64()).collect::<Vec<_>>());
}

#[test]
fn below_stays_below_and_reaches_all() {
    let mut rng = SeededRng::new(3);
    let mut seen = [false; 7];
    for _ in 0..1_000 {
        seen[usize::try_from(rng.below(7)).unwrap()] = true;
    }
    assert!(seen.iter().all(|&s| s));
}
