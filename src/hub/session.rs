//! One client from its welcome to its end.
//!
//! It is subscribed before its picture is read, and skips what the picture holds: nothing is missed, nothing comes twice.
//! What it asks for is handed to the store in its order, many at once, and answered after the commit; beyond
//! [`IN_FLIGHT`] it is not read on.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::{
    connection::{Connection, Gone},
    feed::{Feed, FeedError},
    frame::{Frame, Told},
    front::{Opened, Shared},
    limits::Verdict,
    messages,
    payloads::{
        Ack, Car, Cursor, Error, HeatFrame, KioskInfo, KioskState, Reset, Resumed, StaffFrame, StaffState, VisitLine,
        Welcome,
    },
    rooms::{Audience, Member},
};
use crate::{
    access::Identity,
    domain::{Epoch, KioskId},
    showroom::Command,
    store::{ReadError, Receipt, RequestKey, SubmitError},
    telemetry::{Count, Gauge},
};

const IN_FLIGHT: usize = 32;
const CURSOR_EVERY: Duration = Duration::from_secs(15);
const PING_EVERY: Duration = Duration::from_secs(30);
/// Who missed more begins anew: it is quicker for both.
const MAX_MISSED: u64 = 5_000;
const RECENT: usize = 50;
/// Messages while refused after which a client is not worth its answers.
const MAX_REFUSED: u32 = 500;

type Answer = BoxFuture<'static, Frame>;

/// Serves a client until it goes, is closed, or the daemon stops.
pub(super) async fn serve(shared: Arc<Shared>, connection: Connection, opened: Opened) {
    let member = opened.identity.as_ref().and_then(|identity| Member::of(identity).ok());
    let (Some(member), Some(identity)) = (member, opened.identity.clone()) else {
        shared.telemetry.problem(Count::ClientsRefused, "websocket", &"a client without a valid token was refused");
        return connection.close(1008, "A valid token is needed").await;
    };
    let Ok(_permit) = shared.clients.try_acquire() else {
        shared.telemetry.problem(Count::ClientsRefused, "websocket", &"too many clients are connected");
        return connection.close(1013, "Too many clients").await;
    };
    shared.telemetry.count(Count::ClientsAccepted);
    shared.telemetry.shift(Gauge::Clients, 1);
    let mut session = Session::new(Arc::clone(&shared), connection, member, identity);
    let gone = match session.welcome(&opened).await {
        Ok(()) => session.converse().await,
        Err(gone) => gone,
    };
    shared.telemetry.shift(Gauge::Clients, -1);
    match gone {
        Gone::Left => {}
        Gone::Slow => {
            let source = session.member.source();
            shared.telemetry.problem(Count::ClientsDropped, &source, &"a client that does not read was dropped");
        }
        Gone::Closing(code, reason) => session.connection.close(code, reason).await,
    }
}

struct Session {
    shared: Arc<Shared>,
    connection: Connection,
    member: Member,
    identity: Identity,
    feed: Feed,
    state: broadcast::Receiver<Frame>,
    positions: watch::Receiver<Option<Frame>>,
    answers: FuturesOrdered<Answer>,
    refused: u32,
    alive: Instant,
}

impl Session {
    fn new(shared: Arc<Shared>, connection: Connection, member: Member, identity: Identity) -> Self {
        let feed = Feed::subscribe(Arc::clone(&shared));
        let (state, positions) = (shared.state.subscribe(), shared.positions.subscribe());
        let (answers, alive) = (FuturesOrdered::new(), Instant::now());
        Self { shared, connection, member, identity, feed, state, positions, answers, refused: 0, alive }
    }

    /// `WELCOME`, and what brings the client up to now.
    async fn welcome(&mut self, opened: &Opened) -> Result<(), Gone> {
        match &opened.resume {
            None => self.begin(None).await?,
            Some(Err(_)) => self.begin(Some("malformed")).await?,
            Some(Ok((epoch, pos))) => match self.missed(*epoch, *pos).await? {
                Ok(missed) => self.resume(*pos, missed).await?,
                Err(reason) => self.begin(Some(reason)).await?,
            },
        }
        let rooms = self.member.rooms(&self.shared.site.id);
        for room in opened.rooms.iter().filter(|room| !rooms.contains(room)) {
            let message = format!("this token may not enter the room {room:?}");
            self.complain(None, "FORBIDDEN", &message).await?;
        }
        let stale = self.shared.stale.borrow().clone();
        for stale in stale.iter().flatten().filter(|_| !self.member.is_kiosk()) {
            self.connection.send(stale).await?;
        }
        Ok(())
    }

    async fn greet(&mut self, pos: u64) -> Result<(), Gone> {
        let welcome = Welcome {
            connection_id: Uuid::new_v4().to_string(),
            user_id: self.member.id(),
            role: self.member.role(),
            server_time: self.shared.clock.now().wall,
            rooms: self.member.rooms(&self.shared.site.id),
            epoch: self.shared.store.epoch(),
            pos,
        };
        let frame = Frame::state("WELCOME", &welcome);
        self.connection.send(&frame).await
    }

    /// The picture as it is now, and everything after it.
    async fn begin(&mut self, reset: Option<&'static str>) -> Result<(), Gone> {
        let Greeting { pos, frames } = match self.member.clone() {
            Member::Kiosk(kiosk) => self.kiosk_greeting(&kiosk).await?,
            Member::Staff(_) | Member::Service(_) => self.staff_greeting().await?,
        };
        self.feed.begin(pos);
        self.greet(pos).await?;
        if let Some(reason) = reset {
            self.connection.send(&Frame::state("RESET", &Reset { reason })).await?;
        }
        for frame in &frames {
            self.connection.send(frame).await?;
        }
        Ok(())
    }

    /// What it should hear next was shed before it was heard.
    async fn begin_anew(&mut self) -> Result<(), Gone> {
        self.feed = Feed::subscribe(Arc::clone(&self.shared));
        self.begin(Some("gone")).await
    }

    async fn kiosk_greeting(&mut self, id: &KioskId) -> Result<Greeting, Gone> {
        let picture = self.shared.store.reader().picture().await.map_err(|_| UNREADABLE)?;
        let vehicles = picture.vehicles.iter().map(Car::from).collect();
        let session_id = picture.sessions.iter().find(|open| open.kiosk == *id).map(|open| open.id);
        let session_timeout_s = self.shared.options.session_timeout.as_secs();
        let state = KioskState { vehicles, kiosk: KioskInfo { id, session_timeout_s, session_id } };
        let frame = Frame::at("INITIAL_STATE", self.shared.store.epoch(), picture.pos, &state);
        Ok(Greeting { pos: picture.pos, frames: vec![frame] })
    }

    /// Made by one while the others wait: fifty tablets that come back at once cost what one does.
    async fn staff_greeting(&mut self) -> Result<Greeting, Gone> {
        let shared = Arc::clone(&self.shared);
        let mut last = shared.greeting.lock().await;
        let head = shared.store.heads().borrow().pos;
        if let Some(greeting) = last.as_ref().filter(|greeting| greeting.pos == head) {
            return Ok(greeting.clone());
        }
        let greeting = staff_greeting(&shared).await.map_err(|_| UNREADABLE)?;
        *last = Some(greeting.clone());
        Ok(greeting)
    }

    /// What the client missed since `pos`, or why it cannot be told: another database, too much, or, for a kiosk, the
    /// session of another guest. What was shed cannot be told either.
    async fn missed(&mut self, epoch: Epoch, pos: u64) -> Result<Result<Vec<Arc<Told>>, &'static str>, Gone> {
        let head = self.shared.store.heads().borrow().pos;
        if epoch != self.shared.store.epoch() {
            return Ok(Err("epoch_changed"));
        }
        if pos > head {
            return Ok(Err("beyond_head"));
        }
        if head - pos > MAX_MISSED {
            return Ok(Err("too_far_behind"));
        }
        let (mut missed, mut upto) = (Vec::new(), pos);
        loop {
            let page = self.shared.told_after(upto).await.map_err(|_| UNREADABLE)?;
            if page.gone {
                return Ok(Err("gone"));
            }
            missed.extend(page.told);
            upto = page.upto;
            if page.at_head {
                break;
            }
        }
        let other_guest = match &self.member {
            Member::Kiosk(me) => missed.iter().any(|told| told.boundary.as_ref() == Some(me)),
            Member::Staff(_) | Member::Service(_) => false,
        };
        Ok(if other_guest { Err("other_session") } else { Ok(missed) })
    }

    async fn resume(&mut self, from: u64, missed: Vec<Arc<Told>>) -> Result<(), Gone> {
        let to = missed.last().map_or(from, |told| told.pos);
        self.feed.begin(to);
        self.greet(to).await?;
        for told in missed {
            self.tell(&told).await?;
        }
        self.connection.send(&Frame::state("RESUMED", &Resumed { from, to })).await
    }

    /// Everything after the welcome.
    async fn converse(&mut self) -> Gone {
        let mut cursor = every(CURSOR_EVERY);
        let mut ping = every(PING_EVERY.min(self.shared.options.idle / 3));
        loop {
            let step = tokio::select! {
                () = self.shared.stop.cancelled() => Err(Gone::Closing(1001, "Server shutting down")),
                told = self.feed.next() => match told {
                    Ok(told) => self.tell(&told).await,
                    Err(FeedError::Unread) => Err(UNREADABLE),
                    Err(FeedError::Gone) => self.begin_anew().await,
                    Err(FeedError::Closed) => Err(Gone::Closing(1001, "Server shutting down")),
                },
                Some(answer) = self.answers.next() => self.connection.send(&answer).await,
                message = self.connection.next(), if self.answers.len() < IN_FLIGHT => match message {
                    Ok(message) => self.hear(message).await,
                    Err(gone) => Err(gone),
                },
                state = self.state.recv(), if !self.member.is_kiosk() => match state {
                    Ok(frame) => self.connection.send(&frame).await,
                    // State that was missed is old; news of it will come.
                    Err(_) => Ok(()),
                },
                positions = newest(&mut self.positions), if !self.member.is_kiosk() => {
                    self.connection.send(&positions).await
                }
                _ = cursor.tick() => self.tick().await,
                _ = ping.tick() => self.poke().await,
            };
            if let Err(gone) = step {
                return gone;
            }
        }
    }

    async fn tell(&mut self, told: &Told) -> Result<(), Gone> {
        for (audience, frame) in &told.frames {
            if self.member.sees(audience) {
                self.connection.send(frame).await?;
            }
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), Gone> {
        if !self.shared.gate.is_valid(&self.identity).await {
            return Err(Gone::Closing(1008, "The token was revoked"));
        }
        let cursor = Cursor { epoch: self.shared.store.epoch(), pos: self.feed.pos() };
        self.connection.send(&Frame::state("CURSOR", &cursor)).await
    }

    async fn poke(&mut self) -> Result<(), Gone> {
        if self.alive.elapsed() >= self.shared.options.idle {
            return Err(Gone::Closing(1001, "Idle timeout"));
        }
        self.connection.ping().await
    }

    async fn hear(&mut self, message: Message) -> Result<(), Gone> {
        self.alive = Instant::now();
        let text = match &message {
            Message::Text(text) => Some(text.as_str()),
            Message::Binary(_) => None,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return Ok(()),
        };
        self.shared.telemetry.count(Count::ClientMessages);
        if text.is_some_and(|text| text.len() > self.shared.options.message_bytes) {
            return Err(Gone::Closing(1009, "Message too big"));
        }
        let said = text.map(|text| messages::read(text, &self.member));
        let id = said.as_ref().and_then(|said| said.id.clone());
        if self.shared.take(&self.identity.token_id) != Verdict::Taken {
            return self.refuse(id).await;
        }
        self.refused = 0;
        match said.map(|said| said.command) {
            None => self.bad(None, "INVALID_MESSAGE", "messages are text").await,
            Some(Err(bad)) => self.bad(id, bad.code, &bad.message).await,
            Some(Ok(command)) => self.submit(id, command).await,
        }
    }

    async fn refuse(&mut self, id: Option<String>) -> Result<(), Gone> {
        self.refused += 1;
        if self.refused > MAX_REFUSED {
            return Err(Gone::Closing(1008, "Too many messages"));
        }
        let message = format!(
            "more than {} messages within a minute; this token is refused for {} s",
            self.shared.options.messages_per_minute,
            self.shared.options.blocked.as_secs()
        );
        self.complain(id.as_deref(), "RATE_LIMITED", &message).await
    }

    async fn bad(&mut self, id: Option<String>, code: &'static str, message: &str) -> Result<(), Gone> {
        self.shared.telemetry.problem(Count::ClientMessagesBad, &self.member.source(), &message);
        self.complain(id.as_deref(), code, message).await
    }

    async fn complain(&mut self, id: Option<&str>, code: &'static str, message: &str) -> Result<(), Gone> {
        self.connection.send(&Frame::answer("ERROR", id, &Error { code, message })).await
    }

    /// Hands a command to the store, in the order in which they came; the answer comes when it is on disk.
    async fn submit(&mut self, id: Option<String>, command: Command) -> Result<(), Gone> {
        let key = id.clone().map(|id| RequestKey { source: self.member.source(), id });
        match self.shared.store.queue(key, command).await {
            Ok(pending) => self.answers.push_back(pending.map(move |outcome| answer(id.as_deref(), outcome)).boxed()),
            Err(error) => self.connection.send(&answer(id.as_deref(), Err(error))).await?,
        }
        Ok(())
    }
}

/// What a client is greeted with, as of a position.
#[derive(Debug, Clone)]
pub(super) struct Greeting {
    pos: u64,
    frames: Vec<Frame>,
}

#[derive(serde::Serialize)]
struct RecentActivity {
    events: Vec<serde_json::Value>,
}

const UNREADABLE: Gone = Gone::Closing(1011, "The log cannot be read just now");

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The newest positions, when there are newer ones.
async fn newest(positions: &mut watch::Receiver<Option<Frame>>) -> Frame {
    loop {
        if positions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let frame = positions.borrow_and_update().clone();
        if let Some(frame) = frame {
            return frame;
        }
    }
}

fn answer(id: Option<&str>, outcome: Result<Receipt, SubmitError>) -> Frame {
    let (code, message) = match outcome {
        Ok(receipt) => return Frame::answer("ACK", id, &Ack { pos: receipt.pos }),
        Err(SubmitError::Refused(refusal)) => ("PROCESSING_ERROR", refusal.to_string()),
        Err(error @ (SubmitError::NotStored(_) | SubmitError::Closed)) => ("NOT_STORED", error.to_string()),
    };
    Frame::answer("ERROR", id, &Error { code, message: &message })
}

async fn staff_greeting(shared: &Shared) -> Result<Greeting, ReadError> {
    let picture = shared.store.reader().picture().await?;
    let pos = picture.pos;
    let floor = shared.snapshot.borrow().clone();
    let state = StaffState {
        customers: picture.visits.iter().map(VisitLine::from).collect(),
        vehicles: picture.vehicles.iter().map(Car::from).collect(),
        staff: picture.staff.iter().map(StaffFrame::from).collect(),
        heatmap: HeatFrame::from(floor.heat.as_ref()),
    };
    let state = Frame::at("INITIAL_STATE", shared.store.epoch(), pos, &state);
    let recent = shared.store.reader().recent(pos, RECENT).await?;
    let told: Vec<Told> = recent.iter().map(|entry| shared.tell(entry)).collect();
    let staff = told.iter().flat_map(|told| &told.frames).filter(|(audience, _)| *audience == Audience::Staff);
    let events = staff.filter_map(|(_, frame)| serde_json::from_str(frame.text()).ok()).collect();
    Ok(Greeting { pos, frames: vec![state, Frame::state("RECENT_ACTIVITY", &RecentActivity { events })] })
}
