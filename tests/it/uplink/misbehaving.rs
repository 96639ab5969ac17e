//! Against a broker that misbehaves on purpose: after each mischief the work goes on, every command is done once and every
//! event is pulled once.

use std::thread;

use super::{
    cloud::Cloud,
    mischief::{Mischief, Mischievous},
    work::{Work, showroom},
};

/// Works on while the box meets one mischief after the other, and then checks what came of it.
fn survive(list: &[Mischief]) {
    let broker = Mischievous::start(list);
    let mut showroom = showroom(broker.port, &["cloud"]);
    showroom.start();
    let service = showroom.token("service", "probe");
    let (mut cloud, mut work) = (Cloud::connect(broker.port, "hel-01", "cloud"), Work::default());
    work.go_on_until(&mut cloud, 8, || broker.met() >= list.len());
    work.check(&mut cloud);
    assert_eq!(showroom.metric(&service, "showfloor_unit_restarts_total"), 0, "no mischief makes a part fail");
    if list == [Mischief::Forget] {
        assert!(broker.seen(|seen| seen.subscribes) >= 2, "it asked for its subscriptions again");
    }
}

/// Each list with a broker and a box of its own, all at once: they mostly wait.
fn survive_each(lists: &[&[Mischief]]) {
    thread::scope(|scope| {
        for list in lists {
            thread::Builder::new().name(format!("{list:?}")).spawn_scoped(scope, || survive(list)).expect("a thread");
        }
    });
}

#[test]
fn connections_cut_at_any_packet() {
    use Mischief::{CutAt, CutWithin, Good};
    survive_each(&[
        &[CutAt(1), CutAt(2), CutAt(3), CutAt(4), Good],
        &[CutAt(5), CutAt(6), CutAt(9), CutAt(14), Good],
        &[CutWithin(1), CutWithin(2), CutWithin(3), Good],
        &[CutWithin(4), CutWithin(5), CutWithin(8), Good],
    ]);
}

#[test]
fn logins_that_are_refused_for_each_reason_or_answered_with_nonsense() {
    use Mischief::{Forbid, Good, NoWelcome, NonsenseForWelcome, Refuse};
    survive_each(&[
        &[Refuse(1), Refuse(2), Refuse(3), Good],
        &[Refuse(4), Refuse(5), Refuse(6), Good],
        &[NoWelcome, NonsenseForWelcome, Forbid, Good],
    ]);
}

/// What a client library knows of acknowledgements is its weakest point: a publish that is "Ok" is queued and no more,
/// packet ids come round, sessions are forgotten.
#[test]
fn acknowledgements_that_are_withheld_doubled_disordered_or_of_another_session() {
    use Mischief::{Backwards, ClaimSession, Good, NoPubAck, PassOver, TwoPubAcks};
    survive_each(&[
        &[NoPubAck, Good],
        &[PassOver, Good],
        &[Backwards],
        &[TwoPubAcks, TwoPubAcks, Good],
        &[ClaimSession, Good],
    ]);
}

#[test]
fn connections_that_stay_open_and_get_nowhere() {
    use Mischief::{Forget, ForgetForGood, Good, NoSubAck, Silent};
    survive_each(&[
        &[NoSubAck, Good],
        &[Silent(2), Silent(3), Good],
        &[Silent(7), Good],
        &[Forget],
        &[ForgetForGood, Good],
    ]);
}

#[test]
fn deliveries_that_are_doubled_late_senseless_or_giant() {
    use Mischief::{Giant, Good, Late, Nonsense, Repeat};
    survive_each(&[&[Repeat], &[Late], &[Nonsense, Giant, Good]]);
}

#[test]
fn what_the_box_says_to_a_broker_is_as_the_contract_has_it() {
    let broker = Mischievous::start(&[Mischief::Good]);
    let mut showroom = showroom(broker.port, &["cloud"]);
    showroom.start();
    let (mut cloud, mut work) = (Cloud::connect(broker.port, "hel-01", "cloud"), Work::default());
    work.go_on_until(&mut cloud, 4, || true);
    assert_eq!(showroom.stop(), 0);
    broker.seen(|seen| {
        let connect = &seen.connects[0];
        let will = connect.last_will.as_ref().expect("a last will");
        assert!(connect.clean_session && will.retain);
        assert_eq!(
            (will.topic.as_str(), &will.message[..]),
            ("showfloor/v1/hel-01/status", &b"{\"state\":\"offline\"}"[..])
        );
        for publish in &seen.published {
            let status = publish.topic == "showfloor/v1/hel-01/status";
            assert_eq!((publish.qos, publish.retain), (rumqttc::QoS::AtLeastOnce, status), "{}", publish.topic);
        }
        let last = seen.published.last().expect("something was said");
        assert_eq!(&last.payload[..], b"{\"state\":\"offline\"}", "the last word at an orderly end");
    });
}
