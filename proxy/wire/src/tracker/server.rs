//! Frames from the server: each one is matched against the head of the queue.

use super::clock::is_grouped;
use super::queue::{Copying, Early, Entry, Kind, Run};
use super::{Ended, ExchangeTracker, Observer, Outcome, Protocol, Settled, Suspended, Timing};
use crate::backend::{
    DataRow, ErrorFields, RowDescription, Status, command_tag, error_fields, error_message,
    leading_u32, parameter_status, parameter_types, ready_status, tag, tag_rows,
};
use crate::frame::Frame;
use crate::limits::SUSPENDED_PORTALS_MAX;
use crate::{Error, Micros};

/// What the head of the queue is, without its content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Nothing,
    Query,
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    FunctionCall,
    Sync,
}

impl<O: Observer> ExchangeTracker<O> {
    /// A complete frame from the server.
    ///
    /// # Errors
    /// The session can't be followed any more.
    pub fn server_frame(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        match frame.tag {
            tag::NOTICE | tag::NOTIFICATION => return Ok(()),
            tag::PARAMETER_STATUS => {
                let (name, value) = parameter_status(frame)?;
                observer.parameter_status(name, value);
                return Ok(());
            }
            _ => {}
        }
        if self.starting {
            return self.starting_frame(observer, frame);
        }
        self.open.bytes += frame.size;
        let seen = self.main_frame(observer, frame);
        self.queue.drop_markers();
        seen
    }

    /// Start-up ends with the first ReadyForQuery; an error ends the session.
    fn starting_frame(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        match frame.tag {
            tag::AUTHENTICATION => {
                if let Some((code, rest)) = frame.body.split_first_chunk() {
                    observer.authentication(u32::from_be_bytes(*code), rest);
                }
            }
            tag::BACKEND_KEY_DATA => {
                if let Ok(pid) = leading_u32(frame) {
                    observer.server_process(pid);
                }
            }
            tag::READY_FOR_QUERY => {
                self.starting = false;
                self.status = ready_status(frame)?;
                self.clock.idle();
                observer.opened(frame.last_us);
            }
            tag::ERROR => {
                let ErrorFields { sqlstate, fatal } = error_fields(frame);
                self.startup_error = Some(sqlstate);
                self.last_error_fatal = fatal;
            }
            _ => {}
        }
        Ok(())
    }

    fn head(&self) -> Head {
        match self.queue.head().map(|entry| &entry.kind) {
            None | Some(Kind::Flush | Kind::CopyEnd) => Head::Nothing,
            Some(Kind::Query(..)) => Head::Query,
            Some(Kind::Parse(..)) => Head::Parse,
            Some(Kind::Bind(..)) => Head::Bind,
            Some(Kind::DescribeStatement(_) | Kind::DescribePortal(_)) => Head::Describe,
            Some(Kind::Execute(..)) => Head::Execute,
            Some(Kind::Close(..)) => Head::Close,
            Some(Kind::FunctionCall(_)) => Head::FunctionCall,
            Some(Kind::Sync) => Head::Sync,
        }
    }

    fn main_frame(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        match (frame.tag, self.head()) {
            (tag::DATA_ROW, Head::Query | Head::Execute) => self.on_row(observer, frame),
            (tag::COMMAND_COMPLETE | tag::EMPTY_QUERY, Head::Query | Head::Execute) => {
                self.on_complete(observer, frame)
            }
            (tag::READY_FOR_QUERY, Head::Query | Head::FunctionCall | Head::Sync) => {
                self.on_ready(observer, frame)
            }
            (tag::PARSE_COMPLETE, Head::Parse) => {
                self.on_parsed(observer, frame.last_us);
                Ok(())
            }
            (tag::NO_DATA, Head::Describe) => {
                self.queue.pop();
                Ok(())
            }
            (tag::BIND_COMPLETE, Head::Bind) => {
                self.on_bound(observer);
                Ok(())
            }
            (tag::CLOSE_COMPLETE, Head::Close) => {
                self.on_closed(observer);
                Ok(())
            }
            (tag::ROW_DESCRIPTION, Head::Query | Head::Describe) => {
                self.on_columns(observer, frame)
            }
            (tag::PARAMETER_DESCRIPTION, Head::Describe) => self.on_parameters(observer, frame),
            (tag::PORTAL_SUSPENDED, Head::Execute) => {
                self.on_suspended(observer, frame.last_us);
                Ok(())
            }
            (tag::ERROR, head) => self.on_error(observer, frame, head),
            (tag::COPY_IN, Head::Query | Head::Execute) => {
                self.on_copy_in(observer, frame);
                Ok(())
            }
            (tag::COPY_OUT, Head::Query | Head::Execute) => {
                self.open.first_row(frame, self.clock.stall_us(frame.first_us));
                self.open.copying = Copying::Out;
                Ok(())
            }
            (tag::COPY_DATA | tag::COPY_DONE, Head::Query | Head::Execute)
                if self.open.copying == Copying::Out =>
            {
                Ok(())
            }
            (tag::COPY_BOTH, _) => Err(Error::Replication),
            (tag::FUNCTION_RESULT, Head::FunctionCall) => {
                self.end_member(observer, Outcome::Ok, b"", frame.last_us);
                Ok(())
            }
            _ => Err(Self::desync(frame.tag)),
        }
    }

    fn on_parsed(&mut self, observer: &mut O, now: Micros) {
        let alone = self.queue.only_prepares();
        let Some(Entry { kind: Kind::Parse(early, _), .. }) = self.queue.pop() else { return };
        if let Some(statement) = early.statement.filter(|_| alone) {
            let begin_us = early.received_us.max(self.ready_us);
            observer.prepared(statement, now.saturating_sub(begin_us));
        }
    }

    fn on_row(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        self.open.first_row(frame, self.clock.stall_us(frame.first_us));
        self.open.rows += 1;
        if !frame.body.is_empty()
            && let Some(run) = self.queue.head_run()
        {
            observer.row(run.request, &DataRow::read(frame)?);
        }
        Ok(())
    }

    fn on_columns(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        let columns = RowDescription::read(frame)?;
        match self.queue.head().map(|entry| &entry.kind) {
            Some(Kind::Query(run, _)) => observer.columns(run.request, &columns),
            Some(Kind::DescribeStatement(early) | Kind::DescribePortal(early)) => {
                if let Some(statement) = early.statement {
                    observer.described(statement, &columns);
                }
                self.queue.pop();
            }
            _ => {}
        }
        Ok(())
    }

    fn on_parameters(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        let mut types = parameter_types(frame)?;
        match self.queue.head().map(|entry| &entry.kind) {
            Some(Kind::DescribeStatement(Early { statement: Some(statement), .. })) => {
                observer.parameters(*statement, &mut types);
                Ok(())
            }
            Some(Kind::DescribeStatement(_)) => Ok(()),
            _ => Err(Self::desync(frame.tag)),
        }
    }

    fn on_complete(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        let completion = match frame.tag {
            tag::EMPTY_QUERY => EMPTY_TAG,
            _ => command_tag(frame)?,
        };
        if matches!(completion, b"DEALLOCATE ALL" | b"DISCARD ALL") {
            self.names.clear_statements();
        }
        if self.head() == Head::Query {
            self.end_member(observer, Outcome::Ok, completion, frame.last_us);
        } else if let Some(Entry { kind: Kind::Execute(run, _), .. }) = self.queue.pop() {
            self.end_run(observer, &run, Outcome::Ok, completion, frame.last_us);
            self.settle_group_end(observer);
        }
        Ok(())
    }

    /// One result of the simple query (or the function call) at the head ended.
    fn end_member(&mut self, observer: &mut O, outcome: Outcome, completion: &[u8], now: Micros) {
        let Some(run) = self.queue.head_run().copied() else { return };
        self.end_run(observer, &run, outcome, completion, now);
        self.open.members += 1;
    }

    /// Tells the observer how a run ended and holds its times until they are certain.
    fn end_run(
        &mut self,
        observer: &mut O,
        run: &Run<O::Request>,
        outcome: Outcome,
        completion: &[u8],
        now: Micros,
    ) {
        self.settle_member(observer);
        let is_empty = completion == EMPTY_TAG;
        let begin = self.clock.hold(run, &self.open, now, is_empty);
        let completion = if is_empty { b"" } else { completion };
        if let Some(ended) = self.transactions.statement(completion, begin, now) {
            observer.transaction(&ended);
        }
        let mut ended = self.ended(run, outcome, completion);
        self.add_earlier_parts(run.portal, &mut ended);
        observer.ended(run.request, &ended);
        self.open.next_result();
    }

    fn ended<'a>(
        &self,
        run: &Run<O::Request>,
        outcome: Outcome,
        completion: &'a [u8],
    ) -> Ended<'a> {
        let first = self.open.members == 0;
        Ended {
            tag: completion,
            rows: tag_rows(completion),
            outcome,
            protocol: run.protocol,
            sent_bytes: self.open.bytes,
            received_bytes: if first { run.received_bytes } else { 0 },
            member: u16::try_from(self.open.members).unwrap_or(u16::MAX),
            round_trip: self.round_trip,
            transaction: self.transactions.current(),
            in_transaction: run.in_transaction,
            think_us: if first { run.think_us } else { 0 },
            part: false,
            row_limited: run.row_limited,
        }
    }

    /// The end of a suspended portal's statement counts all its parts.
    fn add_earlier_parts(&mut self, portal: u64, ended: &mut Ended<'_>) {
        let is_it = |parts: &&Suspended<O::Statement>| portal != 0 && parts.portal == portal;
        let Some(parts) = self.suspended.iter().find(is_it) else { return };
        ended.rows = ended.rows.saturating_add(parts.rows);
        ended.sent_bytes += parts.sent_bytes;
        ended.received_bytes += parts.received_bytes;
        ended.think_us += parts.think_us;
        ended.row_limited = true;
        self.draining = Some(portal);
    }

    /// Another statement of the group ends: settles the one before as member of a batch.
    fn settle_member(&mut self, observer: &mut O) {
        if let Some(settled) = self.clock.settle_as_member() {
            self.settle(observer, settled);
        }
    }

    /// Settles what is held if its flush group is complete on both sides.
    pub(super) fn settle_group_end(&mut self, observer: &mut O) {
        if let Some(settled) = self.clock.settle_complete_group() {
            self.settle(observer, settled);
        }
    }

    /// Settles what is held, whatever the client may still send.
    pub(super) fn settle_now(&mut self, observer: &mut O) {
        if let Some(settled) = self.clock.settle_last_now() {
            self.settle(observer, settled);
        }
    }

    fn settle(&mut self, observer: &mut O, mut settled: Settled) {
        let drained = self.draining.take();
        if let Some(index) = self.suspended.iter().position(|parts| Some(parts.portal) == drained) {
            let parts = self.suspended.swap_remove(index);
            let window = settled;
            // A member of a batch has no time, whatever its earlier parts took.
            if window.timing != Timing::Batch {
                settled = Settled { timing: window.timing, ..parts.times };
                settled.add(&window);
                settled.batch_statements = window.batch_statements;
            }
        }
        observer.settled(&settled);
    }

    /// A portal was read to its row limit: the same statement goes on with the next Execute.
    fn on_suspended(&mut self, observer: &mut O, now: Micros) {
        let Some(Entry { kind: Kind::Execute(run, statement), .. }) = self.queue.pop() else {
            return;
        };
        // What ended before in the same group can't share a time with a portal that stays open.
        self.settle_now(observer);
        let rows = self.open.rows;
        self.clock.hold(&run, &self.open, now, false);
        let part = self.can_be_suspended(run.portal);
        let ended = Ended { rows, part, ..self.ended(&run, Outcome::Ok, b"") };
        self.open.next_result();
        observer.ended(run.request, &ended);
        let Some(window) = self.clock.settle_part() else { return };
        let timing = if part { Timing::Part } else { Timing::Exact };
        observer.settled(&Settled { timing, ..window });
        self.clock.forget_complete_groups();
        if part {
            self.add_part(&run, statement, &ended, window);
        }
    }

    /// A portal whose Bind wasn't seen (a cursor of SQL), or that finds no room, is counted at each Execute.
    fn can_be_suspended(&self, portal: u64) -> bool {
        let is_known = self.suspended.iter().any(|parts| parts.portal == portal);
        portal != 0 && (is_known || self.suspended.len() < SUSPENDED_PORTALS_MAX)
    }

    /// A Bind replaced a portal: its undrained statement ends.
    fn on_bound(&mut self, observer: &mut O) {
        let Some(Entry { kind: Kind::Bind(_, replaced @ 1..), .. }) = self.queue.pop() else {
            return;
        };
        self.end_portal(observer, replaced);
    }

    fn end_portal(&mut self, observer: &mut O, portal: u64) {
        if let Some(at) = self.suspended.iter().position(|parts| parts.portal == portal) {
            let parts = self.suspended.swap_remove(at);
            self.end_undrained(observer, &parts);
        }
    }

    fn add_part(
        &mut self,
        run: &Run<O::Request>,
        statement: Option<O::Statement>,
        ended: &Ended<'_>,
        window: Settled,
    ) {
        if let Some(parts) = self.suspended.iter_mut().find(|parts| parts.portal == run.portal) {
            parts.rows = parts.rows.saturating_add(ended.rows);
            parts.think_us += ended.think_us;
            parts.sent_bytes += ended.sent_bytes;
            parts.received_bytes += ended.received_bytes;
            parts.times.add(&window);
        } else {
            self.suspended.push(Suspended {
                portal: run.portal,
                statement,
                rows: ended.rows,
                sent_bytes: ended.sent_bytes,
                received_bytes: ended.received_bytes,
                think_us: ended.think_us,
                in_transaction: ended.in_transaction,
                times: window,
            });
        }
    }

    /// Portals bound up to `ordinal` are gone: their undrained statements end now.
    pub(super) fn end_suspended(&mut self, observer: &mut O, ordinal: u64) {
        while let Some(at) = self.suspended.iter().position(|parts| parts.portal <= ordinal) {
            let parts = self.suspended.swap_remove(at);
            self.end_undrained(observer, &parts);
        }
    }

    fn end_undrained(&mut self, observer: &mut O, parts: &Suspended<O::Statement>) {
        self.settle_now(observer);
        let request = observer.unbound(parts.statement);
        observer.ended(
            request,
            &Ended {
                rows: parts.rows,
                protocol: Protocol::Extended,
                sent_bytes: parts.sent_bytes,
                received_bytes: parts.received_bytes,
                round_trip: self.round_trip,
                transaction: self.transactions.current(),
                think_us: parts.think_us,
                in_transaction: parts.in_transaction,
                row_limited: true,
                ..Ended::default()
            },
        );
        observer.settled(&Settled { timing: Timing::Exact, ..parts.times });
    }

    fn on_closed(&mut self, observer: &mut O) {
        let Some(Entry { kind: Kind::Close(_, Some(portal)), .. }) = self.queue.pop() else {
            return;
        };
        self.end_portal(observer, portal);
    }

    fn on_ready(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        let status = ready_status(frame)?;
        let Some(entry) = self.queue.pop() else { return Ok(()) };
        match &entry.kind {
            Kind::Sync => self.settle_group_end(observer),
            _ if self.open.members == 0 => return Err(Self::desync(frame.tag)),
            _ => self.settle_now(observer),
        }
        if status == Status::Idle {
            self.end_suspended(observer, entry.ordinal);
            self.names.end_portals(entry.ordinal);
        }
        if let Some(ended) = self.transactions.ready(status, frame.last_us) {
            observer.transaction(&ended);
        }
        self.status = status;
        self.round_trip = self.round_trip.wrapping_add(1);
        self.open.end_round_trip();
        self.ready_us = frame.last_us;
        self.clock.ready(frame.last_us);
        self.queue.drop_markers();
        if self.queue.is_empty() {
            self.clock.idle();
        }
        Ok(())
    }

    fn on_copy_in(&mut self, observer: &mut O, frame: &Frame<'_>) {
        self.open.first_row(frame, self.clock.stall_us(frame.first_us));
        self.open.copying = Copying::In;
        while self.open.copying == Copying::In && self.queue.len() > 1 {
            match self.queue.at(1).map(|entry| &entry.kind) {
                Some(Kind::Sync | Kind::Flush) => drop(self.queue.remove(1)),
                Some(Kind::CopyEnd) => {
                    self.queue.remove(1);
                    self.open.copying = Copying::InEnded;
                }
                _ => {
                    self.names.take_back(&mut self.queue, 1);
                    self.skip_run(observer, 1);
                    self.queue.remove(1);
                    self.open.copying = Copying::InEnded;
                }
            }
        }
    }

    fn on_error(&mut self, observer: &mut O, frame: &Frame<'_>, head: Head) -> Result<(), Error> {
        let ErrorFields { sqlstate, fatal } = error_fields(frame);
        self.last_error_fatal = fatal;
        let outcome = Outcome::Error(sqlstate);
        observer.failing(error_message(frame).unwrap_or_default());
        match head {
            Head::Nothing if fatal => return Ok(()),
            Head::Nothing => return Err(Self::desync(frame.tag)),
            Head::Query | Head::FunctionCall => {
                self.end_member(observer, outcome, b"", frame.last_us);
            }
            Head::Sync => {}
            _ => {
                self.fail_head(observer, outcome, frame.last_us);
                self.skip_to_sync(observer);
                self.settle_group_end(observer);
            }
        }
        self.transactions.failed();
        Ok(())
    }

    /// An extended-protocol frame failed: a statement that got no further than Parse, Bind or Describe still
    /// is the statement that failed.
    fn fail_head(&mut self, observer: &mut O, outcome: Outcome, now: Micros) {
        match self.head() {
            Head::Parse => self.take_back_failed_parse(),
            Head::Close => self.names.take_back(&mut self.queue, 0),
            _ => {}
        }
        let Some(entry) = self.queue.pop() else { return };
        match entry.kind {
            Kind::Execute(run, _) => self.end_run(observer, &run, outcome, b"", now),
            Kind::Parse(early, _)
            | Kind::Bind(early, _)
            | Kind::DescribeStatement(early)
            | Kind::DescribePortal(early) => self.fail_early(observer, early, outcome, now),
            _ => {}
        }
    }

    /// The named statement of before stays; the unnamed one is gone, unless it was parsed again.
    fn take_back_failed_parse(&mut self) {
        let (head, _) = self.queue.split_at_mut(1);
        if let Some(undo) = head.first_mut().and_then(Entry::undo_mut) {
            undo.forget_unnamed();
        }
        self.names.take_back(&mut self.queue, 0);
    }

    fn fail_early(
        &mut self,
        observer: &mut O,
        early: Early<O::Statement>,
        outcome: Outcome,
        now: Micros,
    ) {
        self.settle_now(observer);
        self.open_think_us += self.queue.take_think_before_sync();
        let request = observer.unbound(early.statement);
        let mut run = self.unqueued_run(request, Protocol::Extended);
        run.received_us = early.received_us;
        run.forwarded_us = early.received_us;
        self.end_alone(observer, run, outcome, now);
    }

    fn unqueued_run(&mut self, request: O::Request, protocol: Protocol) -> Run<O::Request> {
        Run {
            request,
            protocol,
            received_us: 0,
            received_stall_us: 0,
            forwarded_us: 0,
            forwarded_stall_us: 0,
            think_us: std::mem::take(&mut self.open_think_us),
            in_transaction: self.status != Status::Idle,
            received_bytes: 0,
            group: 0,
            portal: 0,
            row_limited: false,
        }
    }

    /// Ends a statement with a time of its own, outside any group.
    pub(super) fn end_alone(
        &mut self,
        observer: &mut O,
        run: Run<O::Request>,
        outcome: Outcome,
        now: Micros,
    ) {
        self.settle_now(observer);
        self.end_run(observer, &run, outcome, b"", now);
        if is_grouped(&run) {
            self.clock.leave_group(run.group);
        }
        self.settle_now(observer);
    }

    /// After an error the server discards everything up to the next Sync.
    fn skip_to_sync(&mut self, observer: &mut O) {
        let end = self.queue.first_sync();
        self.skipping = end.is_none();
        let end = end.unwrap_or(self.queue.len());
        self.names.take_back_before(&mut self.queue, end);
        for index in (0..end).rev() {
            self.skip_run(observer, index);
        }
        for _ in 0..end {
            self.queue.pop();
        }
        self.request_bytes = 0;
    }

    fn skip_run(&mut self, observer: &mut O, index: usize) {
        let Some(run) = self.queue.at(index).and_then(Entry::run).copied() else { return };
        self.tally.skipped += 1;
        observer.skipped(run.request);
        if is_grouped(&run) {
            self.clock.leave_group(run.group);
        }
    }
}

/// Stands for EmptyQueryResponse among the completion tags; no tag begins with a NUL.
const EMPTY_TAG: &[u8] = b"\0";
