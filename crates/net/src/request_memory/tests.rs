use super::*;
use base::SeededRng;
use std::sync::atomic::AtomicBool;
use std::task::Wake;

/// Whether a task was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A connection with a frame of its own.
struct Asking {
    share: Share,
    frame: usize,
    flag: Arc<Flag>,
}

impl Asking {
    fn new(memory: &Arc<RequestMemory>, frame: usize) -> Asking {
        Asking { share: Share::of(memory), frame, flag: Arc::default() }
    }

    fn grow(&mut self, bytes: usize) -> Grant {
        let waker = Waker::from(Arc::clone(&self.flag));
        self.share.grow(bytes, self.frame, Some(&Context::from_waker(&waker)))
    }
}

const LARGE: usize = 10 << 20;

#[test]
fn who_waits_is_served_in_the_order_of_coming() {
    let memory = RequestMemory::new(100);
    let (mut holder, mut first, mut second) =
        (Asking::new(&memory, LARGE), Asking::new(&memory, LARGE), Asking::new(&memory, LARGE));
    assert_eq!(holder.grow(80), Grant::Given);
    assert_eq!((first.grow(40), second.grow(20)), (Grant::Refused, Grant::Refused));
    assert_eq!((memory.used(), memory.waiting()), (80, 2), "what is small enough does not overtake");
    assert!(first.share.is_waiting() && holder.share.is_wanted());
    holder.share.shrink(0);
    assert!(first.flag.take() && !second.flag.take());
    assert_eq!(second.grow(20), Grant::Refused, "it is not its turn, though there is room");
    assert_eq!(first.grow(40), Grant::Given);
    assert!(second.flag.take());
    assert_eq!(second.grow(20), Grant::Given);
    assert_eq!((memory.used(), memory.waiting()), (60, 0));
}

#[test]
fn a_small_frame_comes_before_large_ones() {
    let memory = RequestMemory::new(100);
    let (mut holder, mut large, mut small) =
        (Asking::new(&memory, LARGE), Asking::new(&memory, LARGE), Asking::new(&memory, 1 << 20));
    assert_eq!((holder.grow(90), large.grow(50)), (Grant::Given, Grant::Refused));
    assert_eq!(small.grow(5), Grant::Given);
    assert_eq!(small.grow(20), Grant::Refused);
    holder.share.shrink(0);
    large.flag.take();
    assert!(small.flag.take());
    assert_eq!((small.grow(20), large.grow(50)), (Grant::Given, Grant::Given));
}

#[test]
fn when_all_that_hold_memory_wait_one_may_finish() {
    let memory = RequestMemory::new(100);
    let (mut one, mut other) = (Asking::new(&memory, LARGE), Asking::new(&memory, LARGE));
    assert_eq!((one.grow(50), other.grow(50)), (Grant::Given, Grant::Given));
    assert_eq!(one.grow(60), Grant::Refused, "the other one may yet finish");
    assert_eq!(other.grow(60), Grant::Refused);
    assert!(one.flag.take());
    assert_eq!((one.grow(60), one.grow(400)), (Grant::Given, Grant::Given), "until its frame is whole");
    assert_eq!(other.grow(60), Grant::Refused, "one at a time");
    one.share.frame_is_whole();
    other.flag.take();
    one.share.shrink(0);
    assert!(other.flag.take());
    assert_eq!((other.grow(60), memory.used()), (Grant::Given, 60));
}

#[test]
fn who_goes_away_gives_back_what_it_holds_and_its_turn() {
    let memory = RequestMemory::new(100);
    let mut holder = Asking::new(&memory, LARGE);
    assert_eq!(holder.grow(90), Grant::Given);
    let (mut first, mut second) = (Asking::new(&memory, LARGE), Asking::new(&memory, LARGE));
    assert_eq!((first.grow(10), first.grow(20), second.grow(10)), (Grant::Given, Grant::Refused, Grant::Refused));
    drop(first);
    assert!(second.flag.take());
    assert_eq!((second.grow(10), memory.used(), memory.waiting()), (Grant::Given, 100, 0));
    drop((holder, second));
    assert_eq!((memory.used(), memory.state.lock().active), (0, 0));
}

/// Connections that each send frames of any size as fast as they are read: whoever is woken goes on, in any order, and nobody is left
/// behind. They could not without going beyond the limit, and that never by more than a frame.
#[test]
fn s03_every_frame_gets_whole_and_the_bound_holds() {
    const FRAME_MAX: usize = 4 << 20;
    const LIMIT: usize = 6 << 20;
    let mut beyond = 0;
    for seed in 0..200 {
        let mut rng = SeededRng::new(seed);
        let memory = RequestMemory::new(LIMIT);
        let mut connections: Vec<_> = (0..20).map(|_| Asking::new(&memory, 0)).collect();
        let mut frames_left = [3; 20];
        let mut ready: Vec<usize> = (0..20).collect();
        while !ready.is_empty() {
            let at = ready.swap_remove(rng.below(ready.len() as u64) as usize);
            let one = &mut connections[at];
            if one.frame == 0 {
                one.frame = 1 + rng.below(FRAME_MAX as u64) as usize;
            }
            let wanted = (one.share.bytes() * 2).clamp(16 << 10, one.frame.max(16 << 10));
            if one.grow(wanted) == Grant::Given {
                if one.share.bytes() >= one.frame {
                    one.share.frame_is_whole();
                    one.share.shrink(0);
                    one.frame = 0;
                    frames_left[at] -= 1;
                }
                if frames_left[at] > 0 {
                    ready.push(at);
                }
            }
            assert!(memory.used() <= LIMIT + FRAME_MAX, "seed {seed}: {} bytes", memory.used());
            beyond = beyond.max(memory.used());
            let woken = (0..20).filter(|at| connections[*at].flag.take() && !ready.contains(at)).collect::<Vec<_>>();
            ready.extend(woken.into_iter().filter(|at| frames_left[*at] > 0));
        }
        assert_eq!(frames_left, [0; 20], "seed {seed}: {} bytes are used and nobody goes on", memory.used());
        assert_eq!((memory.used(), memory.waiting()), (0, 0));
    }
    assert!(beyond > LIMIT, "it has never come to the last way out");
}
