//! How long the room lasts, as foretold and as it turns out: simulated weeks of a showroom through the real store.

use std::time::Duration;

use crate::{
    domain::{GapReason, Lane, LaneItem},
    showroom::Dating,
    store::{
        LaneQuery, StorageOptions,
        room::WAL_BYTES,
        testing::{Place, Running, entered, exited, fact, kiosk, moved, stock, traced},
    },
};

const HOUR_NS: i64 = 3_600_000_000_000;
/// Hours.
const AWAY_FROM: i64 = 4 * 24;

async fn settle(store: &Running, upto: [u64; 3]) {
    for (lane, upto) in Lane::ALL.into_iter().zip(upto) {
        let cloud = "cloud".parse().expect("id");
        store.handle.acknowledge(cloud, lane, store.handle.epoch(), upto).await.expect("moves");
    }
}

/// One hour: open from 9 to 21, but on Sundays; Saturdays are twice as busy.
async fn hour(place: &Place, store: &Running, hour: i64, visit: &mut u128) {
    let (day, of_day) = (hour / 24, hour % 24);
    let busy = match day % 7 {
        6 => 0,
        5 => 2,
        _ => 1,
    };
    if (9..21).contains(&of_day) {
        for _ in 0..busy {
            *visit += 1;
            let record = async |presence| {
                store.handle.record(fact(5, presence), Dating::Ago(Duration::ZERO)).await.expect("is open");
            };
            record(entered(*visit, None, "t")).await;
            for _ in 0..5 {
                record(moved(*visit)).await;
                record(traced(*visit, 60)).await;
            }
            record(exited(*visit)).await;
            store.done(kiosk(crate::showroom::KioskCommand::StartSession)).await;
        }
        store.done(stock(&format!("V{hour}"))).await;
    }
    place.clock.set(|now| {
        now.mono_ns += HOUR_NS;
        now.wall = now.wall.plus_micros(HOUR_NS / 1_000);
    });
}

/// Whether anything was shed that the cloud does not have.
async fn has_lost(store: &Running, acked: [u64; 3]) -> bool {
    for lane in [Lane::Trace, Lane::Presence] {
        let query = LaneQuery { lane, after: acked[lane as usize], max_items: 1, max_bytes: 1 };
        let page = store.handle.reader().lane_page(query).await.expect("reads");
        if matches!(page.first(), Some(LaneItem::Gap(gap)) if gap.reason == GapReason::DiskFull) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_month_foretold_is_right_within_a_fifth() {
    let mut place = Place::new();
    place.storage = StorageOptions { limit_bytes: WAL_BYTES + 2_200_000, ..place.storage };
    let mut store = place.run();
    assert_eq!(store.handle.disk().borrow().days_left, None);
    let (mut acked, mut visit, mut foretold) = ([0; 3], 0, Vec::new());
    let mut now = 0;
    // The cloud comes every hour for four days, then no more. The box is started anew on the tenth.
    while !has_lost(&store, acked).await {
        hour(&place, &store, now, &mut visit).await;
        now += 1;
        if now <= AWAY_FROM {
            acked = store.handle.heads().borrow().lanes;
            settle(&store, acked).await;
        }
        if now == 10 * 24 {
            store.close().await;
            store = place.run();
        }
        let days_left = store.handle.disk().borrow().days_left;
        if now > AWAY_FROM && now % 72 == 12 {
            foretold.push((now, days_left.expect("a day was measured")));
        }
        assert!(now < 90 * 24, "the room never ends: {foretold:?}");
    }
    let lasted = |from: i64| (now - from) as f64 / 24.0;
    assert!((20.0..45.0).contains(&lasted(AWAY_FROM)), "about a month: {}", lasted(AWAY_FROM));
    for (at, days) in &foretold {
        let truth = lasted(*at);
        // In the last week it errs to the early side: pages that lost some of their events give back the rest later.
        let least = if truth > 7.0 { truth * 0.8 } else { 0.0 };
        assert!(
            (least..=truth * 1.2 + 0.1).contains(days),
            "{days} days were foretold at {at} h, {truth:.1} it was: {foretold:?}"
        );
    }
    store.close().await;
}
