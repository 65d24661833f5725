//! Frames from the client: each one that will be answered joins the queue.

use super::names::{Portal, Undo};
use super::queue::{Copying, Early, Kind, Run};
use super::{ExchangeTracker, Observer, Protocol};
use crate::Error;
use crate::backend::Status;
use crate::frame::Frame;
use crate::frontend::{Bind, Execute, Parse, Target, query, tag};

/// Whether the frame belongs to a request (COPY data, Flush and Terminate begin none).
fn begins_a_request(tag: u8) -> bool {
    !matches!(
        tag,
        tag::COPY_DATA
            | tag::COPY_DONE
            | tag::COPY_FAIL
            | tag::FLUSH
            | tag::TERMINATE
            | tag::PASSWORD
    )
}

impl<O: Observer> ExchangeTracker<O> {
    /// A complete frame from the client.
    ///
    /// # Errors
    /// The session can't be followed any more.
    pub fn client_frame(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        if self.skipping && frame.tag != tag::SYNC {
            self.skip_client_frame(frame.tag);
            return Ok(());
        }
        if self.is_copy_in() {
            self.client_frame_in_copy(frame);
            return Ok(());
        }
        if begins_a_request(frame.tag) {
            self.request_bytes += frame.size;
            self.note_think(frame);
        }
        match frame.tag {
            tag::QUERY => self.on_query(observer, frame),
            tag::PARSE => self.on_parse(observer, frame),
            tag::BIND => self.on_bind(observer, frame),
            tag::DESCRIBE => self.on_describe(frame),
            tag::EXECUTE => self.on_execute(observer, frame),
            tag::CLOSE => self.on_close(frame),
            tag::FUNCTION_CALL => self.on_function_call(observer, frame),
            tag::SYNC => self.on_sync(observer, frame),
            tag::FLUSH => self.on_flush(observer, frame),
            tag::COPY_DONE | tag::COPY_FAIL => self.push_marker(Kind::CopyEnd),
            tag::TERMINATE => {
                self.terminated = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The server reads and discards until Sync.
    fn skip_client_frame(&mut self, tag: u8) {
        if matches!(tag, tag::QUERY | tag::EXECUTE | tag::FUNCTION_CALL) {
            self.tally.skipped += 1;
        }
    }

    /// While it copies in, the server swallows Sync and Flush; anything else but copy frames breaks the copy.
    fn client_frame_in_copy(&mut self, frame: &Frame<'_>) {
        if let Some(run) = self.queue.head_run_mut() {
            run.received_bytes += frame.size;
        }
        match frame.tag {
            tag::COPY_DATA | tag::SYNC | tag::FLUSH => {}
            tag => {
                self.skip_client_frame(tag);
                self.open.copying = Copying::InEnded;
            }
        }
    }

    /// Where nothing is owed, a marker marks nothing.
    fn push_marker(&mut self, marker: Kind<O>) -> Result<(), Error> {
        if self.queue.is_empty() { Ok(()) } else { self.queue.push(marker) }
    }

    /// Think time: from the delivery of ReadyForQuery to the first byte of the next request.
    fn note_think(&mut self, frame: &Frame<'_>) {
        let think_us = self.clock.think_us(frame.first_us);
        self.open_think_us += think_us;
        if self.status != Status::Idle {
            self.transactions.think(think_us);
        }
    }

    fn new_run(
        &mut self,
        request: O::Request,
        protocol: Protocol,
        frame: &Frame<'_>,
    ) -> Run<O::Request> {
        let mut run = Run {
            request,
            protocol,
            received_us: 0,
            received_stall_us: 0,
            forwarded_us: 0,
            forwarded_stall_us: 0,
            think_us: std::mem::take(&mut self.open_think_us),
            in_transaction: self.status != Status::Idle,
            received_bytes: std::mem::take(&mut self.request_bytes),
            group: 0,
            portal: 0,
            row_limited: false,
        };
        self.clock.received(&mut run, frame.last_us);
        run
    }

    fn on_query(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        self.clock.release(frame.last_us);
        let request = observer.queried(query(frame)?);
        let run = self.new_run(request, Protocol::Simple, frame);
        let undo = self.names.set_statement(b"", None).unwrap_or_default();
        self.names.close_portal(b"");
        self.queue.push(Kind::Query(run, undo))?;
        self.settle_group_end(observer);
        Ok(())
    }

    fn on_parse(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        let parse = Parse::read(frame)?;
        let prepares = match parse.name {
            b"" => &mut self.tally.prepares_unnamed,
            _ => &mut self.tally.prepares_named,
        };
        *prepares += 1;
        let statement = observer.parsed(&parse);
        // A name without room stands for nothing: what it executes is counted as `untracked`.
        let undo = self.names.set_statement(parse.name, Some(statement)).unwrap_or_default();
        let early = Early { statement: Some(statement), received_us: frame.last_us };
        self.queue.push(Kind::Parse(early, undo))
    }

    fn on_bind(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        let bind = Bind::read(frame)?;
        let statement = self.names.statement(bind.statement);
        let ordinal = self.queue.next_ordinal();
        let mut replaced = 0;
        // As above for a portal without room.
        if let Some(portal) = self.names.portal_to_bind(bind.portal) {
            let Portal { ordinal: at, statement: of, data } = portal;
            replaced = std::mem::replace(at, ordinal);
            *of = statement;
            observer.bound(data, statement, &bind)?;
        }
        self.queue.push(Kind::Bind(Early { statement, received_us: frame.last_us }, replaced))
    }

    fn on_describe(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let early = |statement| Early { statement, received_us: frame.last_us };
        let kind = match Target::read(frame)? {
            Target::Statement(name) => Kind::DescribeStatement(early(self.names.statement(name))),
            Target::Portal(name) => {
                let statement = self.names.portal(name).and_then(|portal| portal.statement);
                Kind::DescribePortal(early(statement))
            }
        };
        self.queue.push(kind)
    }

    fn on_execute(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        let execute = Execute::read(frame)?;
        let portal = self.names.portal(execute.portal);
        let request = observer.executed(portal.map(|portal| &portal.data));
        let ordinal = portal.map_or(0, |portal| portal.ordinal);
        let statement = portal.and_then(|portal| portal.statement);
        let mut run = self.new_run(request, Protocol::Extended, frame);
        run.portal = ordinal;
        run.row_limited = execute.row_limited;
        run.group = self.clock.join_group();
        self.queue.push(Kind::Execute(run, statement))
    }

    fn on_close(&mut self, frame: &Frame<'_>) -> Result<(), Error> {
        let kind = match Target::read(frame)? {
            Target::Statement(name) => {
                let undo = self.names.set_statement(name, None).unwrap_or_default();
                Kind::Close(undo, None)
            }
            Target::Portal(name) => Kind::Close(Undo::Nothing, self.names.close_portal(name)),
        };
        self.queue.push(kind)
    }

    fn on_function_call(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        self.clock.release(frame.last_us);
        let request = observer.called();
        let run = self.new_run(request, Protocol::FunctionCall, frame);
        self.queue.push(Kind::FunctionCall(run))?;
        self.settle_group_end(observer);
        Ok(())
    }

    fn on_sync(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        self.skipping = false;
        self.request_bytes = 0;
        self.clock.release(frame.last_us);
        self.queue.push(Kind::Sync)?;
        self.settle_group_end(observer);
        Ok(())
    }

    fn on_flush(&mut self, observer: &mut O, frame: &Frame<'_>) -> Result<(), Error> {
        self.clock.release(frame.last_us);
        self.push_marker(Kind::Flush)?;
        self.settle_group_end(observer);
        Ok(())
    }
}
