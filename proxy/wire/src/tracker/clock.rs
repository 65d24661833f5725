//! Stamps, and the times that are made of them once they are certain (timing rules: module docs of
//! [`Settled`](super::Settled)).
//!
//! The server sends its answers when its buffer is full, at Sync, at Flush or when it becomes ready, so arrival
//! times inside one flush group say nothing. The end of a statement is therefore held until its group is
//! complete: alone in its group it has its own time, otherwise only the group has one.

use super::queue::{Open, Run};
use super::{Protocol, Settled, Timing};
use crate::Micros;
use crate::limits::LATE_RELEASE_US;
use std::collections::VecDeque;

/// What lies between two of Sync, Flush and Query, as far as it holds Executes.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    statements: u32,
    ended: u32,
    /// Read that held the frame which lets the server flush (r); 0 = not yet.
    released_us: Micros,
    /// That frame was accepted by the server's socket (u1); 0 = not yet.
    forwarded_us: Micros,
    forwarded_stall_us: u64,
}

/// A statement that ended and whose times are not certain yet.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    begin_us: Micros,
    begin_stall_us: u64,
    received_us: Micros,
    wait_us: u64,
    first_row_us: Micros,
    first_row_stall_us: u64,
    end_us: Micros,
    end_stall_us: u64,
    forwarded_us: Micros,
    forwarded_stall_us: u64,
    empty: bool,
}

/// The session's stamps.
#[derive(Debug, Default)]
pub(super) struct Clock {
    client_written: Option<Micros>,
    server_written: Option<Micros>,
    stall_sum_us: u64,
    stalled_since: Option<Micros>,
    /// End of the session's previous statement, or the ReadyForQuery behind it (p).
    previous_end_us: Micros,
    previous_end_stall_us: u64,
    groups: VecDeque<Group>,
    first_group: u64,
    held: Option<Held>,
    /// The first member of the batch whose members are ending.
    batch_first: Option<Held>,
    batch_members: u32,
    /// ReadyForQuery was delivered; `Some(0)` = its delivery is pending.
    idle_since: Option<Micros>,
}

impl Clock {
    pub(super) fn client_written(&mut self, written: Option<Micros>) {
        self.client_written = written;
    }

    pub(super) fn server_written(&mut self, written: Option<Micros>) {
        self.server_written = written;
    }

    pub(super) fn stalled(&mut self, now: Micros) {
        self.stalled_since = Some(now);
    }

    /// Sum of the session's stalls up to `now`.
    pub(super) fn stall_us(&self, now: Micros) -> u64 {
        self.stall_sum_us + self.stalled_since.map_or(0, |since| now.saturating_sub(since))
    }

    pub(super) fn delivered(&mut self, now: Micros) {
        self.stall_sum_us = self.stall_us(now);
        self.stalled_since = None;
        if self.idle_since == Some(0) {
            self.idle_since = Some(now);
        }
    }

    pub(super) fn forwarded(&mut self, now: Micros) {
        let stall = self.stall_us(now);
        let is_open = |group: &&mut Group| group.released_us == 0;
        let pending = |group: &&mut Group| group.forwarded_us == 0;
        for group in self.groups.iter_mut().rev().skip_while(is_open).take_while(pending) {
            group.forwarded_us = now;
            group.forwarded_stall_us = stall;
        }
    }

    /// Everything asked was answered and the client may think.
    pub(super) fn idle(&mut self) {
        self.idle_since = Some(self.server_written.unwrap_or(0));
    }

    /// The client's next request began at `first_us`: how long it thought.
    pub(super) fn think_us(&mut self, first_us: Micros) -> u64 {
        match self.idle_since.take() {
            Some(since @ 1..) => first_us.saturating_sub(since),
            _ => 0,
        }
    }

    /// Fills in the stamps of a request that was read just now.
    pub(super) fn received<R>(&self, run: &mut Run<R>, now: Micros) {
        run.received_us = now;
        run.received_stall_us = self.stall_us(now);
        run.forwarded_us = self.client_written.unwrap_or(0);
        run.forwarded_stall_us = self.stall_us(now);
    }

    /// An Execute joins the open flush group, or begins one.
    pub(super) fn join_group(&mut self) -> u64 {
        if self.groups.back().is_none_or(|group| group.released_us > 0) {
            self.groups.push_back(Group::default());
        }
        let last = self.groups.len() - 1;
        self.groups[last].statements += 1;
        self.first_group + last as u64 + 1
    }

    /// Sync, Flush or Query: the open group is complete on the client's side.
    pub(super) fn release(&mut self, now: Micros) {
        let forwarded_us = self.client_written.unwrap_or(0);
        let forwarded_stall_us = self.stall_us(now);
        if let Some(group) = self.groups.back_mut().filter(|group| group.released_us == 0) {
            *group = Group { released_us: now.max(1), forwarded_us, forwarded_stall_us, ..*group };
        }
    }

    fn group_mut(&mut self, id: u64) -> Option<&mut Group> {
        let index = usize::try_from(id.checked_sub(self.first_group + 1)?).ok()?;
        self.groups.get_mut(index)
    }

    /// An Execute of group `id` will not run.
    pub(super) fn leave_group(&mut self, id: u64) {
        if let Some(group) = self.group_mut(id) {
            group.statements = group.statements.saturating_sub(1);
        }
    }

    /// Notes the end of a statement at `now`. Settle what was held before ([`Self::settle_as_member`]) first.
    pub(super) fn hold<R>(
        &mut self,
        run: &Run<R>,
        open: &Open,
        now: Micros,
        empty: bool,
    ) -> Micros {
        let stall = self.stall_us(now);
        let waited = self.previous_end_us > run.received_us;
        let (begin_us, begin_stall_us) = if waited {
            (self.previous_end_us, self.previous_end_stall_us)
        } else {
            (run.received_us, run.received_stall_us)
        };
        let no_row = open.first_row_us == 0;
        self.held = Some(Held {
            begin_us,
            begin_stall_us,
            received_us: run.received_us,
            wait_us: begin_us - run.received_us,
            first_row_us: if no_row { now } else { open.first_row_us.max(begin_us) },
            first_row_stall_us: if no_row { stall } else { open.first_row_stall_us },
            end_us: now.max(begin_us),
            end_stall_us: stall,
            forwarded_us: run.forwarded_us,
            forwarded_stall_us: run.forwarded_stall_us,
            empty,
        });
        if let Some(group) = self.group_mut(run.group) {
            group.ended += 1;
        }
        self.previous_end(now);
        begin_us
    }

    fn previous_end(&mut self, now: Micros) {
        self.previous_end_us = now;
        self.previous_end_stall_us = self.stall_us(now);
    }

    /// ReadyForQuery at `now`.
    pub(super) fn ready(&mut self, now: Micros) {
        if self.previous_end_us != 0 {
            self.previous_end(now);
        }
    }

    /// Another statement of the same group ends: what is held was a member of a batch.
    pub(super) fn settle_as_member(&mut self) -> Option<Settled> {
        let held = self.held.take()?;
        self.batch_first.get_or_insert(held);
        self.batch_members += 1;
        let timing = if held.empty { Timing::Empty } else { Timing::Batch };
        Some(Settled { timing, begin_us: held.begin_us, ..Settled::default() })
    }

    /// Settles the held statement if its flush group is complete on both sides.
    pub(super) fn settle_complete_group(&mut self) -> Option<Settled> {
        while let Some(group) = self.groups.front().copied() {
            if group.released_us == 0 || group.ended < group.statements {
                return None;
            }
            self.groups.pop_front();
            self.first_group += 1;
            if group.ended > 0 {
                return self.settle_last(Some(group));
            }
        }
        None
    }

    /// Settles what is held, whether or not its group is complete (simple query, end of the session).
    pub(super) fn settle_last_now(&mut self) -> Option<Settled> {
        self.settle_last(None)
    }

    /// Drops complete groups whose statements were all settled otherwise (parts of portals).
    pub(super) fn forget_complete_groups(&mut self) {
        let complete = |group: &Group| group.released_us > 0 && group.ended >= group.statements;
        while self.groups.front().is_some_and(complete) {
            self.groups.pop_front();
            self.first_group += 1;
        }
    }

    fn settle_last(&mut self, group: Option<Group>) -> Option<Settled> {
        let mut held = self.held.take()?;
        let first = self.batch_first.take();
        let members = std::mem::take(&mut self.batch_members) + 1;
        let released_us = group.map_or(held.received_us, |group| group.released_us);
        if let Some(group) = group {
            held.forwarded_us = group.forwarded_us;
            held.forwarded_stall_us = group.forwarded_stall_us;
        }
        let timing = match first {
            Some(_) => Timing::BatchLast,
            None if held.empty => Timing::Empty,
            None if released_us.saturating_sub(held.received_us) > LATE_RELEASE_US => Timing::Bound,
            None => Timing::Exact,
        };
        let whole = first.map_or(held, |first| Held {
            end_us: held.end_us,
            end_stall_us: held.end_stall_us,
            forwarded_us: held.forwarded_us,
            forwarded_stall_us: held.forwarded_stall_us,
            ..first
        });
        let batch_statements = if first.is_some() { members } else { 0 };
        Some(Settled { timing, batch_statements, ..phases(&whole) })
    }

    /// Settles the held statement as part of a suspended portal.
    pub(super) fn settle_part(&mut self) -> Option<Settled> {
        self.held.take().map(|held| Settled { timing: Timing::Part, ..phases(&held) })
    }
}

/// Four disjoint phases that add up to end - begin exactly.
fn phases(held: &Held) -> Settled {
    let (begin, end) = (held.begin_us, held.end_us);
    let first_row = held.first_row_us.clamp(begin, end);
    let (forwarded, forwarded_stall) = match held.forwarded_us {
        0 => (first_row, held.first_row_stall_us),
        at if at <= begin => (begin, held.begin_stall_us),
        at if at >= first_row => (first_row, held.first_row_stall_us),
        at => (at, held.forwarded_stall_us),
    };
    let until_row = first_row - forwarded;
    let after_row = end - first_row;
    let stall_until_row = held.first_row_stall_us.saturating_sub(forwarded_stall).min(until_row);
    let stall_after_row = held.end_stall_us.saturating_sub(held.first_row_stall_us).min(after_row);
    Settled {
        timing: Timing::Exact,
        begin_us: begin,
        queue_us: forwarded - begin,
        first_row_us: until_row - stall_until_row,
        transfer_us: after_row - stall_after_row,
        client_stall_us: stall_until_row + stall_after_row,
        wait_us: held.wait_us,
        batch_statements: 0,
    }
}

impl Settled {
    /// Adds the window of another part of the same portal.
    pub(super) fn add(&mut self, window: &Self) {
        self.queue_us += window.queue_us;
        self.transfer_us += window.first_row_us + window.transfer_us;
        self.client_stall_us += window.client_stall_us;
        self.wait_us += window.wait_us;
    }
}

/// Whether a run belongs to a flush group.
pub(super) fn is_grouped<R>(run: &Run<R>) -> bool {
    run.protocol == Protocol::Extended && run.group != 0
}
