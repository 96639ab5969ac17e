//! A broker of our own, MQTT 3.1.1, that misbehaves towards the box's uplink and is good to everybody else: it cuts,
//! forgets, repeats, delays, falls silent, refuses, and talks nonsense. Each connection of the box gets the next mischief
//! of a list, the last for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use bytes::{BufMut, BytesMut};
use rumqttc::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, QoS, SubAck, SubscribeReasonCode,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// What a connection of the box has to live with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// None.
    Good,
    /// The connection is cut instead of handling its n-th packet, from 1: CONNECT is the first.
    CutAt(usize),
    /// Half of the broker's n-th packet is sent, then the connection is cut.
    CutWithin(usize),
    /// Nothing is ever said, not even to CONNECT.
    NoWelcome,
    /// CONNACK with this return code.
    Refuse(u8),
    /// Bytes that are no packet instead of CONNACK.
    NonsenseForWelcome,
    /// Bytes that are no packet after the subscriptions.
    Nonsense,
    /// The header of a packet of 256 MB after the subscriptions.
    Giant,
    /// SUBSCRIBE is never answered.
    NoSubAck,
    /// SUBSCRIBE is answered with refusals.
    Forbid,
    /// Subscriptions are confirmed and then forgotten; asking again helps.
    Forget,
    /// As `Forget`, and asking again is not answered.
    ForgetForGood,
    /// A session is claimed that a clean client cannot have, and old ids are acknowledged.
    ClaimSession,
    /// No PUBACK.
    NoPubAck,
    /// No PUBACK for the packet id 1, everything else is acknowledged.
    PassOver,
    /// PUBACKs come in reverse order, three at a time.
    Backwards,
    /// Each PUBACK comes twice.
    TwoPubAcks,
    /// Silence from the n-th packet on: nothing is read, answered or closed.
    Silent(usize),
    /// Each delivery to the box comes three times.
    Repeat,
    /// Each delivery to the box comes again, three deliveries late.
    Late,
}

/// What was seen of the box.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its logins.
    pub connects: Vec<Connect>,
    /// What it published.
    pub published: Vec<Publish>,
    /// The subscriptions it asked for, over all connections.
    pub subscribes: usize,
}

struct Client {
    filters: Vec<String>,
    inbox: mpsc::Sender<Publish>,
    will: Option<LastWill>,
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, Client>,
    retained: HashMap<String, Publish>,
    seen: Seen,
    list: Vec<Mischief>,
    met: usize,
    counter: u64,
}

type Shared = Arc<Mutex<State>>;

/// The broker, in a thread of its own.
pub struct Mischievous {
    pub port: u16,
    state: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Mischievous {
    pub fn start(list: &[Mischief]) -> Self {
        let state = Shared::new(Mutex::new(State { list: list.to_vec(), ..State::default() }));
        let (stop, stopped) = oneshot::channel();
        let (tell, port) = std::sync::mpsc::sync_channel(1);
        let ours = Arc::clone(&state);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
                tell.send(listener.local_addr().expect("bound").port()).expect("told");
                let mut connections = JoinSet::new();
                let accept = async {
                    loop {
                        let (socket, _) = listener.accept().await.expect("accepted");
                        connections.spawn(serve(socket, Arc::clone(&ours)));
                    }
                };
                tokio::select! { () = accept => {}, _ = stopped => {} }
            });
        });
        Self { port: port.recv().expect("a port"), state, stop: Some(stop), thread: Some(thread) }
    }

    /// How many of the list the box has met.
    pub fn met(&self) -> usize {
        lock(&self.state).met
    }

    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&lock(&self.state).seen)
    }
}

impl Drop for Mischievous {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client's connection.
struct Connection {
    state: Shared,
    mischief: Mischief,
    of_box: bool,
    number: u64,
    out: OwnedWriteHalf,
    received: usize,
    sent: usize,
    next_id: u16,
    acks: Vec<u16>,
    late: Vec<Publish>,
    forgetful: bool,
    inbox: Option<mpsc::Sender<Publish>>,
}

/// The connection is over.
struct Over;

async fn serve(socket: TcpStream, state: Shared) {
    let (input, out) = socket.into_split();
    let (inbox, mut deliveries) = mpsc::channel(10_000);
    let mut connection = Connection {
        state: Arc::clone(&state),
        mischief: Mischief::Good,
        of_box: false,
        number: 0,
        out,
        received: 0,
        sent: 0,
        next_id: 0,
        acks: Vec::new(),
        late: Vec::new(),
        forgetful: false,
        inbox: Some(inbox),
    };
    let mut packets = Packets { input, buffer: BytesMut::new() };
    loop {
        let outcome = tokio::select! {
            packet = packets.next() => match packet {
                Some(packet) => connection.handle(packet).await,
                None => Err(Over),
            },
            Some(publish) = deliveries.recv() => connection.deliver(publish).await,
        };
        if outcome.is_err() {
            break;
        }
    }
    let gone = lock(&state).clients.remove(&connection.number);
    if let Some(will) = gone.and_then(|client| client.will) {
        let mut publish = Publish::new(will.topic, will.qos, will.message.to_vec());
        publish.retain = will.retain;
        route(&state, &publish);
    }
}

struct Packets {
    input: OwnedReadHalf,
    buffer: BytesMut,
}

impl Packets {
    async fn next(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.buffer, 1 << 28) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the box sent nonsense: {error}"),
            }
            match self.input.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

impl Connection {
    async fn handle(&mut self, packet: Packet) -> Result<(), Over> {
        self.received += 1;
        if let Packet::Connect(connect) = &packet {
            self.meet(connect);
        }
        match self.mischief {
            Mischief::CutAt(n) if n == self.received => return Err(Over),
            Mischief::Silent(n) if n <= self.received => return std::future::pending().await,
            _ => {}
        }
        match packet {
            Packet::Connect(connect) => self.welcome(connect).await,
            Packet::Subscribe(subscribe) => {
                let topics: Vec<_> = subscribe.filters.into_iter().map(|filter| filter.path).collect();
                self.subscribe(subscribe.pkid, topics).await
            }
            Packet::Publish(publish) => self.publish(publish).await,
            Packet::PingReq => self.send(&Packet::PingResp).await,
            Packet::Disconnect => {
                if let Some(client) = lock(&self.state).clients.get_mut(&self.number) {
                    client.will = None;
                }
                Err(Over)
            }
            _ => Ok(()),
        }
    }

    /// The box gets the next mischief.
    fn meet(&mut self, connect: &Connect) {
        let mut state = lock(&self.state);
        state.counter += 1;
        self.number = state.counter;
        if connect.client_id.ends_with("-uplink") {
            self.of_box = true;
            self.mischief = state.list.get(state.met).or(state.list.last()).copied().unwrap_or(Mischief::Good);
            state.met += 1;
            state.seen.connects.push(connect.clone());
        }
    }

    async fn welcome(&mut self, connect: Connect) -> Result<(), Over> {
        match self.mischief {
            Mischief::NoWelcome => return Ok(()),
            Mischief::NonsenseForWelcome => return self.nonsense().await,
            // Not by the library's own type, which knows no other codes.
            Mischief::Refuse(code) => {
                let _ = self.out.write_all(&[0x20, 2, 0, code]).await;
                return Err(Over);
            }
            _ => {}
        }
        let Some(inbox) = self.inbox.take() else { return Err(Over) };
        lock(&self.state).clients.insert(self.number, Client { filters: Vec::new(), inbox, will: connect.last_will });
        let claims = self.mischief == Mischief::ClaimSession;
        self.send(&Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, claims))).await?;
        if claims {
            self.send(&Packet::PubAck(PubAck::new(3))).await?;
        }
        Ok(())
    }

    async fn subscribe(&mut self, id: u16, topics: Vec<String>) -> Result<(), Over> {
        let again = std::mem::replace(&mut self.forgetful, true);
        if self.of_box {
            lock(&self.state).seen.subscribes += 1;
        }
        match self.mischief {
            Mischief::NoSubAck => return Ok(()),
            Mischief::ForgetForGood if again => return Ok(()),
            Mischief::Forbid => {
                let codes = vec![SubscribeReasonCode::Failure; topics.len()];
                return self.send(&Packet::SubAck(SubAck::new(id, codes))).await;
            }
            _ => {}
        }
        let codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); topics.len()];
        self.send(&Packet::SubAck(SubAck::new(id, codes))).await?;
        let forgets = matches!(self.mischief, Mischief::Forget | Mischief::ForgetForGood) && !again;
        if !forgets {
            let retained = self.keep_filters(topics);
            for publish in retained {
                self.push(publish).await?;
            }
        }
        match self.mischief {
            Mischief::Nonsense => self.nonsense().await,
            Mischief::Giant => self.raw(&[0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1]).await,
            _ => Ok(()),
        }
    }

    /// Returns what is retained there.
    fn keep_filters(&self, topics: Vec<String>) -> Vec<Publish> {
        let mut state = lock(&self.state);
        let retained: Vec<_> = state.retained.values().filter(|kept| fits(&topics, &kept.topic)).cloned().collect();
        if let Some(client) = state.clients.get_mut(&self.number) {
            client.filters.extend(topics);
        }
        retained
    }

    async fn publish(&mut self, publish: Publish) -> Result<(), Over> {
        if self.of_box {
            lock(&self.state).seen.published.push(publish.clone());
        }
        let id = publish.pkid;
        route(&self.state, &publish);
        if publish.qos == QoS::AtMostOnce {
            return Ok(());
        }
        match self.mischief {
            Mischief::NoPubAck => return Ok(()),
            Mischief::PassOver if id == 1 => return Ok(()),
            Mischief::Backwards => {
                self.acks.push(id);
                if self.acks.len() < 3 {
                    return Ok(());
                }
            }
            Mischief::TwoPubAcks => self.acks.extend([id, id]),
            _ => self.acks.push(id),
        }
        while let Some(id) = self.acks.pop() {
            self.send(&Packet::PubAck(PubAck::new(id))).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, publish: Publish) -> Result<(), Over> {
        match self.mischief {
            Mischief::Repeat => {
                for _ in 0..2 {
                    self.push(publish.clone()).await?;
                }
            }
            Mischief::Late => {
                self.late.push(publish.clone());
                if self.late.len() > 3 {
                    let old = self.late.remove(0);
                    self.push(old).await?;
                }
            }
            _ => {}
        }
        self.push(publish).await
    }

    async fn push(&mut self, mut publish: Publish) -> Result<(), Over> {
        self.next_id = self.next_id % 60_000 + 1;
        (publish.pkid, publish.qos) = (self.next_id, QoS::AtLeastOnce);
        self.send(&Packet::Publish(publish)).await
    }

    async fn send(&mut self, packet: &Packet) -> Result<(), Over> {
        self.sent += 1;
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, 1 << 28).expect("fits");
        if self.mischief == Mischief::CutWithin(self.sent) {
            let _ = self.out.write_all(&bytes[..bytes.len() / 2]).await;
            return Err(Over);
        }
        self.raw(&bytes).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.out.write_all(bytes).await.map_err(|_| Over)
    }

    async fn nonsense(&mut self) -> Result<(), Over> {
        let mut bytes = BytesMut::new();
        bytes.put_bytes(0xff, 64);
        self.raw(&bytes).await
    }
}

/// Gives a message to everybody who asked for it.
fn route(state: &Shared, publish: &Publish) {
    let mut state = lock(state);
    if publish.retain {
        state.retained.insert(publish.topic.clone(), publish.clone());
    }
    for client in state.clients.values().filter(|client| fits(&client.filters, &publish.topic)) {
        let delivered = Publish { retain: false, dup: false, ..publish.clone() };
        // Full only when a client has not read ten thousand messages.
        let _ = client.inbox.try_send(delivered);
    }
}

fn fits(filters: &[String], topic: &str) -> bool {
    filters.iter().any(|filter| rumqttc::matches(topic, filter))
}
