//! Who of a topic's subscribers is next to get a partition, and who is next to give one up.
//!
//! Subscribers are sorted by load once. A range at the low end is filled round by round, level by level, and takes in whoever has the level
//! that it has reached; a range at the high end is emptied in the same way. So a step costs no search, and the order in which members take
//! turns is Kafka's.

/// What a member has, by its index.
pub(super) type Loads = [usize];

pub(super) struct Levels {
    /// Members by load, then by index; within the high range they change places.
    sorted: Vec<usize>,
    /// Members in the low range.
    low_end: usize,
    /// Who of the low range is next.
    low_next: usize,
    /// The load of the low range's members before the round that goes on.
    low_level: i64,
    high_start: usize,
    /// Those behind it have nothing that they could give up.
    high_end: usize,
    /// One behind who is next, down to `high_start`.
    high_next: usize,
    /// The load of the high range's members before the round that goes on.
    high_level: i64,
}

impl Levels {
    /// Nothing where there is no member.
    pub(super) fn new(members: &[usize], loads: &Loads) -> Option<Self> {
        let mut sorted = members.to_vec();
        sorted.sort_unstable_by_key(|member| (loads[*member], *member));
        let (low, high) = (level(loads[*sorted.first()?]), level(loads[*sorted.last()?]));
        Some(Self {
            low_end: 0,
            low_next: 0,
            low_level: low - 1,
            high_start: sorted.len(),
            high_end: sorted.len(),
            high_next: sorted.len(),
            high_level: high + 1,
            sorted,
        })
    }

    /// Whether moving a partition from the high to the low range would even nothing out.
    pub(super) fn is_balanced(&self) -> bool {
        self.high_level - self.low_level <= 1
    }

    /// The least loaded member; it is taken to have one more from now on.
    pub(super) fn next_low(&mut self, loads: &Loads) -> usize {
        if self.low_next >= self.low_end {
            self.low_level += 1;
            while self.sorted.get(self.low_end).is_some_and(|member| level(loads[*member]) == self.low_level) {
                self.low_end += 1;
            }
            self.low_next = 0;
        }
        let member = self.sorted[self.low_next];
        self.low_next += 1;
        member
    }

    /// The most loaded member that is not excluded; it is taken to have one less from now on.
    pub(super) fn next_high(&mut self, loads: &Loads) -> Option<usize> {
        if self.high_next <= self.high_start {
            let is_empty = self.high_end <= self.high_start;
            match self.high_start.checked_sub(1) {
                // All were excluded: begin with the level of the next one, however far below it is.
                Some(below) if is_empty => self.high_level = level(loads[self.sorted[below]]),
                _ => self.high_level -= 1,
            }
            while self.high_start > 0 && level(loads[self.sorted[self.high_start - 1]]) == self.high_level {
                self.high_start -= 1;
            }
            self.high_next = self.high_end;
        }
        self.high_next = self.high_next.checked_sub(1)?;
        Some(self.sorted[self.high_next])
    }

    /// Excludes the member that [`Levels::next_high`] has just given: it has nothing to give up.
    pub(super) fn exclude(&mut self) {
        self.high_end -= 1;
        self.sorted.swap(self.high_next, self.high_end);
    }
}

fn level(load: usize) -> i64 {
    i64::try_from(load).unwrap_or(i64::MAX)
}
