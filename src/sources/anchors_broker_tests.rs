//! The subscriber against a real broker: the embedded one, which these tests prove as well.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, Publish, QoS};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{AnchorBook, Anchors, AnchorsError, DEFAULT_TOPICS, Options, Simulator, SimulatorOptions, Stamping};
use crate::{
    broker::{self, EmbeddedBroker},
    domain::{Anchor, AnchorId, Reading, Registry, Site, SiteId, Survey, Timestamp},
    sim,
    telemetry::{Count, Telemetry},
};

const LIMIT: Duration = Duration::from_secs(20);

fn broker() -> EmbeddedBroker {
    let users = vec![("anchors".to_owned(), "right".to_owned())];
    EmbeddedBroker::start(broker::Options { listen: ([127, 0, 0, 1], 0).into(), users }).expect("a broker")
}

fn mqtt(broker: &EmbeddedBroker, name: &str, password: &str) -> MqttOptions {
    let mut options = MqttOptions::new(name, "127.0.0.1", broker.listen().port());
    options.set_credentials("anchors", password).set_max_packet_size(4 << 20, 4 << 20).set_inflight(50);
    options
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("in time")
}

async fn next_publish(events: &mut EventLoop) -> Publish {
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.expect("connected") {
            return publish;
        }
    }
}

async fn until(events: &mut EventLoop, wanted: impl Fn(&Packet) -> bool) {
    loop {
        if let Event::Incoming(packet) = events.poll().await.expect("connected")
            && wanted(&packet)
        {
            return;
        }
    }
}

/// Polls a publisher's event loop for as long as the test lasts.
fn pump(tasks: &mut JoinSet<()>, mut events: EventLoop) {
    tasks.spawn(async move { while events.poll().await.is_ok() {} });
}

struct Running {
    book: Arc<AnchorBook>,
    telemetry: Telemetry,
    readings: mpsc::Receiver<Vec<Reading>>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), AnchorsError>>,
}

async fn start(broker: &EmbeddedBroker, stamping: Stamping, room: usize) -> Running {
    let options = Options {
        host: "127.0.0.1".to_owned(),
        port: broker.listen().port(),
        user: Some("anchors".to_owned()),
        password: Some("right".to_owned()),
        tls: None,
        client_id: "box".to_owned(),
        topics: DEFAULT_TOPICS.map(str::to_owned).to_vec(),
        stamping,
    };
    let book = Arc::new(AnchorBook::new(["n", "s"].map(|id| AnchorId::new(id).expect("valid"))));
    let (out, readings) = mpsc::channel(room);
    let telemetry = Telemetry::default();
    let now: super::Now = Arc::new(|| Timestamp::from_micros(1_700_000_000_000_000));
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Anchors::new(options, book.clone(), out, now, telemetry.clone()).run(stop.clone()));
    let mut connected = book.connection();
    within(connected.wait_for(|connected| *connected)).await.expect("the book lives");
    Running { book, telemetry, readings, stop, tasks }
}

#[tokio::test]
async fn readings_arrive_in_order_and_nonsense_between_them_harms_nothing() {
    let broker = broker();
    let mut running = start(&broker, Stamping::Payload, 4).await;
    let (client, events) = AsyncClient::new(mqtt(&broker, "esp", "right"), 100);
    let mut tasks = JoinSet::new();
    pump(&mut tasks, events);
    let total = 600;
    tasks.spawn(async move {
        for i in 0..total {
            let payload = format!(r#"{{"id":"iBeacon:u-1-{i}","rssi":-70,"t":{}}}"#, 1_581_252_411 + i);
            client.publish("espresense/devices/x/n", QoS::AtLeastOnce, false, payload).await.expect("queued");
            let nonsense: &[u8] = if i % 2 == 0 { b"\xff\x00{" } else { b"{\"id\":[],\"rssi\":{}}" };
            client.publish("espresense/devices/x/s", QoS::AtMostOnce, false, nonsense).await.expect("queued");
        }
        let big = vec![b' '; (1 << 20) + 1];
        client.publish("showfloor/anchor/s/adverts", QoS::AtLeastOnce, false, big).await.expect("queued");
        let last = r#"{"t":1581253411,"adverts":[{"mac":"aabbccddeeff","rssi":-60}]}"#;
        client.publish("showfloor/anchor/s/adverts", QoS::AtLeastOnce, false, last).await.expect("queued");
        std::future::pending::<()>().await;
    });
    let mut got: Vec<Reading> = Vec::new();
    while got.last().is_none_or(|reading| reading.anchor.as_str() != "s") {
        got.extend(within(running.readings.recv()).await.expect("the source runs"));
    }
    assert_eq!(got.len(), total + 1);
    for (i, reading) in got[..total].iter().enumerate() {
        assert_eq!(reading.tag.as_str(), format!("ibeacon:u:1:{i}"));
        assert_eq!(reading.at.whole_second(), 1_581_252_411 + i64::try_from(i).expect("small"));
    }
    let telemetry = &running.telemetry;
    assert_eq!(telemetry.get(Count::ReadingsDropped), 0);
    assert_eq!(telemetry.get(Count::AnchorMessagesBad), total as u64 / 2 + 1);
    assert_eq!(telemetry.get(Count::ReadingsBad), total as u64 / 2);
    running.stop.cancel();
    assert!(matches!(within(running.tasks.join_next()).await, Some(Ok(Ok(())))));
    assert!(!*running.book.connection().borrow());
}

#[tokio::test]
async fn live_readings_are_dropped_and_counted_when_the_engine_is_behind() {
    let broker = broker();
    let mut running = start(&broker, Stamping::Arrival, 1).await;
    let (client, mut events) = AsyncClient::new(mqtt(&broker, "esp", "right"), 100);
    let total = 50;
    // Each is acknowledged before the next is sent, so that no two share a batch; nobody takes what comes.
    for _ in 0..total {
        let payload = r#"{"id":"x","rssi":-70}"#;
        client.publish("espresense/devices/x/n", QoS::AtLeastOnce, false, payload).await.expect("queued");
        within(until(&mut events, |packet| matches!(packet, Packet::PubAck(_)))).await;
    }
    // What follows the readings on the same connection is seen after them.
    client.publish("showfloor/anchor/n/state", QoS::AtLeastOnce, false, "online").await.expect("queued");
    within(until(&mut events, |packet| matches!(packet, Packet::PubAck(_)))).await;
    let seen = async {
        while running.book.snapshot()[0].1.online.is_none() {
            tokio::task::yield_now().await;
        }
    };
    within(seen).await;
    let first = within(running.readings.recv()).await.expect("the source runs").len() as u64;
    let dropped = running.telemetry.get(Count::ReadingsDropped);
    assert!(dropped > 0);
    assert_eq!(first + dropped, total);
}

#[tokio::test]
async fn simulated_visitors_are_heard_through_the_broker() {
    let broker = broker();
    let mut running = start(&broker, Stamping::Arrival, 64).await;
    let options = SimulatorOptions {
        host: "127.0.0.1".to_owned(),
        port: broker.listen().port(),
        user: Some("anchors".to_owned()),
        password: Some("right".to_owned()),
        site: Arc::new(site()),
        visitors: 3,
        speed: 50.0,
        seed: 1,
    };
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Simulator::new(options).run(stop.clone()));
    let mut tags = BTreeSet::new();
    while tags.len() < 3 {
        let batch = within(running.readings.recv()).await.expect("the source runs");
        tags.extend(batch.into_iter().map(|reading| reading.tag));
    }
    let registered: BTreeSet<_> = (0..3).map(|n| sim::tag(n).expect("a tag")).collect();
    assert_eq!(tags, registered);
    assert_eq!(running.telemetry.get(Count::AnchorMessagesBad) + running.telemetry.get(Count::AnchorUnknown), 0);
    stop.cancel();
    within(tasks.join_next()).await.expect("it ran").expect("it ended");
}

fn site() -> Site {
    let anchor = |id: &str, x| Anchor {
        id: AnchorId::new(id).expect("valid"),
        x,
        y: 0.0,
        z: 2.5,
        rssi_at_1m: None,
        path_loss: None,
        survey: Survey::default(),
    };
    Site {
        id: SiteId::new("s").expect("valid"),
        name: "S".to_owned(),
        timezone: "Etc/UTC".to_owned(),
        bounds: [0.0, 0.0, 10.0, 10.0],
        tag_height_m: 1.2,
        anchors: vec![anchor("n", 0.0), anchor("s", 10.0)],
        zones: Vec::new(),
        spots: Vec::new(),
        tags: Registry::default(),
    }
}

#[tokio::test]
async fn an_engine_that_is_gone_ends_the_source() {
    let broker = broker();
    let mut running = start(&broker, Stamping::Arrival, 1).await;
    drop(running.readings);
    let (client, events) = AsyncClient::new(mqtt(&broker, "esp", "right"), 10);
    let mut tasks = JoinSet::new();
    pump(&mut tasks, events);
    let payload = r#"{"id":"x","rssi":-70}"#;
    client.publish("espresense/devices/x/n", QoS::AtLeastOnce, false, payload).await.expect("queued");
    assert!(matches!(within(running.tasks.join_next()).await, Some(Ok(Err(AnchorsError::Closed)))));
}

#[tokio::test]
async fn the_source_comes_back_when_the_broker_does() {
    let broker = broker();
    let mut running = start(&broker, Stamping::Arrival, 4).await;
    let listen = broker.listen();
    let mut connected = running.book.connection();
    drop(broker);
    within(connected.wait_for(|connected| !connected)).await.expect("the book lives");
    let users = vec![("anchors".to_owned(), "right".to_owned())];
    let broker = EmbeddedBroker::start(broker::Options { listen, users }).expect("the port is free again");
    within(connected.wait_for(|connected| *connected)).await.expect("the book lives");
    let (client, events) = AsyncClient::new(mqtt(&broker, "esp", "right"), 10);
    let mut tasks = JoinSet::new();
    pump(&mut tasks, events);
    let payload = r#"{"id":"x","rssi":-70}"#;
    client.publish("espresense/devices/x/n", QoS::AtLeastOnce, false, payload).await.expect("queued");
    assert_eq!(within(running.readings.recv()).await.expect("the source runs").len(), 1);
}

#[tokio::test]
async fn the_broker_keeps_retained_messages_and_delivers_last_wills() {
    let broker = broker();
    let mut options = mqtt(&broker, "site", "right");
    options.set_last_will(LastWill::new("showfloor/v1/s/status", r#"{"state":"offline"}"#, QoS::AtLeastOnce, true));
    let (site, mut site_events) = AsyncClient::new(options, 10);
    site.publish("showfloor/v1/s/status", QoS::AtLeastOnce, true, "online").await.expect("queued");
    within(until(&mut site_events, |packet| matches!(packet, Packet::PubAck(_)))).await;

    let (cloud, mut cloud_events) = AsyncClient::new(mqtt(&broker, "cloud", "right"), 10);
    cloud.subscribe("showfloor/v1/+/status", QoS::AtLeastOnce).await.expect("queued");
    let first = within(next_publish(&mut cloud_events)).await;
    assert_eq!((first.payload.as_ref(), first.retain), (b"online".as_slice(), true));

    // Dropping the socket without a good-bye is what the will is for.
    drop(site_events);
    let will = within(next_publish(&mut cloud_events)).await;
    assert_eq!(will.payload.as_ref(), br#"{"state":"offline"}"#);

    let (late, mut late_events) = AsyncClient::new(mqtt(&broker, "late", "right"), 10);
    late.subscribe("showfloor/v1/s/#", QoS::AtLeastOnce).await.expect("queued");
    let kept = within(next_publish(&mut late_events)).await;
    assert_eq!((kept.payload.as_ref(), kept.retain), (br#"{"state":"offline"}"#.as_slice(), true));
}

#[tokio::test]
async fn the_broker_passes_two_megabytes_whole_and_refuses_wrong_passwords() {
    let broker = broker();
    let (reader, mut reader_events) = AsyncClient::new(mqtt(&broker, "reader", "right"), 10);
    reader.subscribe("a/+/c", QoS::AtLeastOnce).await.expect("queued");
    within(until(&mut reader_events, |packet| matches!(packet, Packet::SubAck(_)))).await;
    let (writer, writer_events) = AsyncClient::new(mqtt(&broker, "writer", "right"), 10);
    let mut tasks = JoinSet::new();
    pump(&mut tasks, writer_events);
    let body: Vec<u8> = (0..(2_usize << 20) - 64).map(|i| i as u8).collect();
    writer.publish("a/b/c", QoS::AtLeastOnce, false, body.clone()).await.expect("queued");
    assert!(within(next_publish(&mut reader_events)).await.payload == body);

    let (_client, mut events) = AsyncClient::new(mqtt(&broker, "stranger", "wrong"), 10);
    assert!(within(events.poll()).await.is_err());
}
